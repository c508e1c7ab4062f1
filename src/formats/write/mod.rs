//! Writing pairs in another program's format.
//!
//! Owns: how each format quotes, and what it cannot hold.
//! Must never: write what the format's readers do not agree on.
//! Called by: `formats`.

pub(super) mod dotenv;
pub(super) mod lines;
pub(super) mod structured;
