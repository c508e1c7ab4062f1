//! The directory that says that a restore has begun and is not finished.
//!
//! Owns: the name `<data dir>/restoring` and what a start makes of it.
//! Must never: let a server begin an empty database where a restore was cut off.
//! Called by: `disk` before an opening, `restore`.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::sled::open_error::OpenError;

/// The directory that a restore works in, inside the data directory.
pub const RESTORING: &str = "restoring";

/// That no restore into this directory was cut off, were it at its first step: whoever
/// has begun one does not want an empty database. What a finished one left is removed.
pub(in crate::store) fn none_is_under_way(data_dir: &Path) -> Result<(), OpenError> {
    let path = data_dir.join(RESTORING);
    let io = |cause| OpenError::Io { path: path.clone(), cause };
    let exists = |path: &Path| path.try_exists().map_err(io);
    if exists(&path.join("db"))? || (exists(&path)? && !exists(&data_dir.join("db"))?) {
        return Err(OpenError::Restoring { path });
    }
    match fs::remove_dir_all(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(io(cause)),
        _ => Ok(()),
    }
}
