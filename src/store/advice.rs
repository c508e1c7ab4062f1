//! What to do about what the file system says.
//!
//! Must never: send somebody to look at permissions when the disk is broken.

use std::io::{self, ErrorKind};

const PATH: &str = "Check that it is a directory that this user may write.";
const ROOM: &str = "Make room on the disk.";
const DISK: &str = "Check the disk, and the system's log about it; copy the directory to another disk before anything else.";

/// What to do about an error of the file system.
pub(super) fn for_io(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ROOM,
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

/// Likewise, of one that sled passes on. Others say that the database is broken.
pub(super) fn for_sled(cause: &sled::Error) -> &'static str {
    match cause {
        // It says so in words only. Our own lock is taken; so this is no coffer.
        sled::Error::Io(cause) if cause.to_string().contains("could not acquire lock") => {
            "Another program has it open; stop that one."
        }
        sled::Error::Io(cause) => for_io(cause),
        _ => {
            "Restore a backup with: coffer backup restore; or keep the directory and ask for help."
        }
    }
}
