//! Everything that handles sled's files: opening them, syncing them, and what sled 0.34 does not do
//! itself.
//!
//! Owns: the files in `<data dir>/db` and the markers next to it.
//! Must never: interpret rows, apart from the number of the newest audit row.
//! Called by: the rest of `store`.

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
