//! What to do about an error of the file system or of sled.
//!
//! Owns: the last sentence of an error message: the next step.
//! Must never: send an operator to check permissions when the disk is broken.
//! Called by: `sled::open_error`.

use std::io::{self, ErrorKind};

const PATH: &str = "Check that it is a directory and that this user may write to it.";
const SPACE: &str = "Free up space on the disk.";
const DISK: &str =
    "Check the disk and the system log; copy the directory to another disk before anything else.";

/// Returns the next step after an error of the file system.
pub(super) fn for_io(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => SPACE,
        ErrorKind::PermissionDenied
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidFilename
        | ErrorKind::ReadOnlyFilesystem => PATH,
        _ => DISK,
    }
}

/// Returns the next step after an error that sled reports. Any error of its own means that the
/// database is damaged.
pub(super) fn for_sled(cause: &sled::Error) -> &'static str {
    match cause {
        // sled reports this as text only. coffer's own lock is already held, so the other program
        // is not coffer.
        sled::Error::Io(cause) if cause.to_string().contains("could not acquire lock") => {
            "Another program has it open. Stop that program."
        }
        sled::Error::Io(cause) => for_io(cause),
        _ => {
            "Restore a backup with: coffer backup restore. Keep the directory if you have no backup."
        }
    }
}
