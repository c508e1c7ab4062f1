//! The marker of an opening in progress, which stays if the opening is interrupted.
//!
//! Owns: `<data dir>/opening`.
//! Must never: be removed before what sled has overwritten is on the disk.
//! Called by: `disk`, around each opening; `snapshots` and `leftovers`.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::directory::{ignore_missing, sync_directory};

/// Exists in the data directory while sled opens. sled then overwrites segments that it no longer
/// needs with zeros, and a power cut leaves any part of that. Such a segment looks like a hole in
/// the log unless it is older than the snapshot, and sled does not sync the new snapshot's name. So
/// the log is checked for holes before an opening, but not after an interrupted one: it was whole
/// before that.
const OPENING: &str = "opening";

/// Returns whether the last opening was interrupted. The log was whole before it.
pub(in crate::store) fn was_interrupted(data_dir: &Path) -> io::Result<bool> {
    data_dir.join(OPENING).try_exists()
}

/// Sets the marker durably. Must be called before sled opens.
pub(in crate::store) fn set(data_dir: &Path) -> io::Result<()> {
    fs::File::create(data_dir.join(OPENING))?.sync_all()?;
    sync_directory(data_dir)
}

/// Removes the marker. Must not be called before what sled has overwritten is on the disk: sled
/// does not sync it, and a power cut would leave half of it without a marker. That half then needs
/// no more care, because sled overwrites everything that it does not need each time.
pub(in crate::store) fn clear(data_dir: &Path) -> io::Result<()> {
    fs::remove_file(data_dir.join(OPENING)).or_else(ignore_missing)
}
