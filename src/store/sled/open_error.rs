//! Why a database could not be opened, and what to do about it.
//!
//! Owns: the error, with every file and number that an operator needs to continue.
//! Must never: suggest a step that could lose more data.
//! Called by: everything in `sled`; `server` and `cli` print it.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::parent;
use crate::store::rows::view::describe_sled_error;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the database open.
    #[error("{path} is in use by another coffer server. Stop it or choose another directory.")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The file system returned an error.
    #[error("{path}: {cause}. {}", crate::store::advice::for_io(cause))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        cause: io::Error,
    },
    /// A sync failed earlier, and rewriting the log to recover from that failed too.
    #[error(
        "{path}: a write or sync has failed before, and the log cannot be written once more: {cause}. {} Then start again.",
        crate::store::advice::for_io(cause)
    )]
    Unsynced {
        /// The log.
        path: PathBuf,
        /// The file system's error.
        cause: io::Error,
    },
    /// A compaction left files that need a decision first.
    #[error("{0}")]
    CompactionRemains(#[from] CompactionRemains),
    /// The log is damaged: without the snapshot, only an older state opens.
    #[error(
        "the log of the database in {path} is damaged: only {readable} of {reached} bytes can be read. Restore a backup. To continue with the older state that can still be read, make a copy of the data directory, then move the snap.* files and {marker} out of it."
    )]
    LogDamaged {
        /// sled's directory.
        path: PathBuf,
        /// How far it can be read, in bytes.
        readable: u64,
        /// How far it had been read before, in bytes.
        reached: u64,
        /// The file that records how much there was.
        marker: PathBuf,
    },
    /// A restore was interrupted before its database was in place.
    #[error(
        "a restore into {} was interrupted. Run it again, or remove {path}.", parent(path).display()
    )]
    Restoring {
        /// The stage that it left.
        path: PathBuf,
    },
    /// No database exists, and none may be created.
    #[error("there is no database in {path}")]
    None {
        /// The data directory.
        path: PathBuf,
    },
    /// The database that existed is gone.
    #[error(
        "the database in {path} is empty, but it was not before. Restore its files or a backup. To start with an empty database, remove {marker}."
    )]
    Gone {
        /// sled's directory.
        path: PathBuf,
        /// The file that records it.
        marker: PathBuf,
    },
    /// Acknowledged rows are gone: the log is damaged, or older than the files next to it.
    #[error(
        "the database in {path} has lost changes that were acknowledged: its newest audit row is number {newest}, but number {acknowledged} was acknowledged. Its log is damaged or was replaced by an older one. Restore a backup. To continue with the older state, make a copy of the data directory, then remove {marker}."
    )]
    Lost {
        /// sled's directory.
        path: PathBuf,
        /// The newest audit row that exists.
        newest: u64,
        /// The newest one that was acknowledged.
        acknowledged: u64,
        /// The file that records it.
        marker: PathBuf,
    },
    /// The log is damaged, followed by changes that can be read.
    #[error(
        "the log of the database in {path} is damaged at byte {at}, before changes that came later: if opened, it would mix older values with newer ones. Restore a backup. To continue with what can be read, make a copy of the data directory, then remove {marker}."
    )]
    Hole {
        /// sled's directory.
        path: PathBuf,
        /// The damaged byte of the log file.
        at: u64,
        /// The file that makes coffer look for such damage.
        marker: PathBuf,
    },
    /// The newest snapshot is damaged, and so is the log that would replace it.
    #[error(
        "the newest snap.* file of the database in {path} is damaged, and so is its log at byte {at}: opened without the snapshot, it would mix older values with newer ones. Restore a backup. To continue with what can be read, make a copy of the data directory, then move the snap.* files and {marker} out of it."
    )]
    Holes {
        /// sled's directory.
        path: PathBuf,
        /// The damaged byte of the log file.
        at: u64,
        /// The file that records how much there was.
        marker: PathBuf,
    },
    /// sled returned an error.
    #[error(
        "the database in {path} does not open: {}. {}",
        describe_sled_error(cause),
        crate::store::advice::for_sled(cause)
    )]
    Sled {
        /// sled's directory.
        path: PathBuf,
        /// The error.
        cause: sled::Error,
    },
}

/// Files of a compaction that keep the database closed, or that can replace it.
#[derive(Debug, thiserror::Error)]
pub enum CompactionRemains {
    /// Only the copy exists, complete or not.
    #[error(
        "{} is missing, and {} is a copy that a compaction has made, which may be incomplete. Restore the database's files or a backup. To continue with the copy, rename it, start the server, and run `coffer doctor` and `coffer audit verify`.",
        path.display(), copy.display()
    )]
    OnlyCopy {
        /// sled's directory.
        path: PathBuf,
        /// The copy.
        copy: PathBuf,
    },
    /// The database does not open, and the one before the compaction still exists.
    #[error(
        "{error} {old} is the database as it was before a compaction. To go back to it: mv {path} {path}.broken && mv {old} {path}",
        old = old.display(), path = path.display()
    )]
    Fallback {
        /// Why it does not open.
        error: Box<OpenError>,
        /// sled's directory.
        path: PathBuf,
        /// The database before the compaction.
        old: PathBuf,
    },
}

/// Turns an error of the file system into one about `path`.
pub(in crate::store) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |cause| OpenError::Io { path, cause }
}
