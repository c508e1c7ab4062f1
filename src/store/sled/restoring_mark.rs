//! The directory that marks a restore in progress.
//!
//! Owns: the name `<data dir>/restoring` and how a start treats it.
//! Must never: let a server create an empty database where a restore was interrupted.
//! Called by: `disk`, before an opening; `restore`.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::sled::open_error::OpenError;

/// The directory inside the data directory that a restore works in.
pub const RESTORING: &str = "restoring";

/// Fails if a restore into this directory was interrupted, even at its first step: an operator who
/// started one does not want an empty database. Removes what a finished restore left.
pub(in crate::store) fn check_no_restore(data_dir: &Path) -> Result<(), OpenError> {
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
