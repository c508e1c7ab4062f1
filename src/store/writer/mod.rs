//! The single writer, and the changes that it runs.
//!
//! Owns: the writer thread, and a change from its description to its outcome.
//! Must never: acknowledge a write before it would survive a power cut.
//! Called by: `store`; `vault` and `access` submit changes through `Store`.

pub(super) mod change;
pub(super) mod decision;
pub(super) mod thread;
pub(super) mod transaction;
