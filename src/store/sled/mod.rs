//! What fences sled in: opening it, syncing it, and what sled 0.34 does not do for us.
//!
//! Owns: the files below `<data_dir>/db` and the marks beside them.
//! Must never: know what a row means.
//! Called by: `store`.

pub(super) mod compact;
pub(super) mod compaction_files;
pub(super) mod disk;
pub(super) mod durable_mark;
pub(super) mod flush_watchdog;
pub(super) mod holes;
pub(super) mod leftovers;
pub(super) mod open_error;
pub(super) mod open_sled;
pub(super) mod opening_mark;
pub(super) mod restoring_mark;
pub(super) mod snapshots;
pub(super) mod unsynced;
