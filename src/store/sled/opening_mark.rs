//! The marker that says that sled is opening, or was cut off while it did.
//!
//! Owns: `<data dir>/opening`.
//! Must never: be removed before what sled has overwritten is on the disk.
//! Called by: `disk`, around each opening.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::directory::{ignore_missing, sync_directory};

/// Stands in the data directory while sled opens: then it overwrites segments that
/// it does not need, with zeros, and a power cut leaves any part of that. Such a
/// segment looks like a hole in the log, unless it is older than the snapshot; and
/// sled does not sync the new snapshot's name. So the log is looked through before
/// the first opening, and not again after one that was cut off.
const OPENING: &str = "opening";

/// Whether the last opening was cut off, before which the log was whole.
pub(in crate::store) fn was_cut_off(data_dir: &Path) -> io::Result<bool> {
    data_dir.join(OPENING).try_exists()
}

/// Before sled may open.
pub(in crate::store) fn begins(data_dir: &Path) -> io::Result<()> {
    fs::File::create(data_dir.join(OPENING))?.sync_all()?;
    sync_directory(data_dir)
}

/// When what sled has overwritten is on the disk, and not before: sled does not sync
/// that, and a power cut would leave half of it without a marker. The half that was
/// cut off needs no more care: sled overwrites all that it does not need each time.
pub(in crate::store) fn is_over(data_dir: &Path) -> io::Result<()> {
    fs::remove_file(data_dir.join(OPENING)).or_else(ignore_missing)
}
