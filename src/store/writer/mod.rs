//! The one writer, and what guards the disk that it writes to.
//!
//! Owns: the writer thread, the disk budget, the watchdog over a flush that hangs.
//! Must never: answer a write before it would survive a power cut.
//! Called by: `store`; `vault` and `access` hand it changes through `Store`.

pub(super) mod change;
pub(super) mod decision;
pub(super) mod thread;
pub(super) mod transaction;
