//! Why a database could not be opened, and what to do about it.
//!
//! Owns: the error, with every file and number that a person needs to go on.
//! Must never: suggest a step that could lose more.
//! Called by: everything below `sled`; `server` and `cli` show it.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::parent;
use crate::store::rows::view::said;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another coffer server; stop that one or choose another directory")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}, of the data directory: {cause}. {}", crate::store::advice::for_io(cause))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
    /// A sync has failed before, and what was to be done about it did not work.
    #[error(
        "{path}: a write or sync has failed before, and the log cannot be written once more: {cause}. {} Then start again.",
        crate::store::advice::for_io(cause)
    )]
    Unsynced {
        /// The log.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// A compaction has left something that has to be looked at first.
    #[error("{0}")]
    CompactionRemains(#[from] CompactionRemains),
    /// The log is damaged: without the snapshot only an older state opens.
    #[error(
        "the log of the database in {path} is damaged: it can be read up to {readable} of {reached} bytes. Restore a backup. To go on with the older state that can still be read, keep a copy and move the snap.* files and {marker} away."
    )]
    LogDamaged {
        /// sled's directory.
        path: PathBuf,
        /// How far it can be read.
        readable: u64,
        /// How far it had been read before.
        reached: u64,
        /// What else says that there was more.
        marker: PathBuf,
    },
    /// A restore was cut off, and nothing was in its place yet.
    #[error(
        "a restore into {} was cut off. Run it again, or remove {path}.", parent(path).display()
    )]
    Restoring {
        /// What it left.
        path: PathBuf,
    },
    /// There is none, and none may be made.
    #[error("there is no database in {path}")]
    None {
        /// The data directory.
        path: PathBuf,
    },
    /// There was a database, and there is none.
    #[error(
        "the database in {path} is empty, but there was one. Restore its files or a backup; to begin anew, remove {marker}."
    )]
    Gone {
        /// sled's directory.
        path: PathBuf,
        /// The file that says so.
        marker: PathBuf,
    },
    /// Rows that were acknowledged are gone: the log is damaged, or older than
    /// the files beside it.
    #[error(
        "the database in {path} has lost changes that were acknowledged: its newest audit row is number {newest}, and number {acknowledged} was acknowledged. Its log is damaged, or an older one was put in its place. Restore a backup. To go on with the older state, keep a copy and remove {marker}."
    )]
    Lost {
        /// sled's directory.
        path: PathBuf,
        /// The newest audit row that there is.
        newest: u64,
        /// The newest one that was acknowledged.
        acknowledged: u64,
        /// The file that says so.
        marker: PathBuf,
    },
    /// The log is damaged before changes that can be read.
    #[error(
        "the log of the database in {path} is damaged at byte {at}, before changes that came later: opened, it would show older values among newer ones. Restore a backup. To go on with what can be read, keep a copy and remove {marker}."
    )]
    Hole {
        /// sled's directory.
        path: PathBuf,
        /// Where in the log's file.
        at: u64,
        /// The file without which this is not looked at.
        marker: PathBuf,
    },
    /// The newest snapshot is damaged, and without it so is the log.
    #[error(
        "the newest snap.* file of the database in {path} is damaged, and so is its log at byte {at}: without the one the other would show older values among newer ones. Restore a backup. To go on with what can be read, keep a copy and move the snap.* files and {marker} away."
    )]
    Holes {
        /// sled's directory.
        path: PathBuf,
        /// Where in the log's file.
        at: u64,
        /// What else says that there was more.
        marker: PathBuf,
    },
    /// sled refused.
    #[error(
        "the database in {path} does not open: {}. {}",
        said(cause),
        crate::store::advice::for_sled(cause)
    )]
    Sled {
        /// sled's directory.
        path: PathBuf,
        /// What it said.
        cause: sled::Error,
    },
}

/// What a compaction has left that keeps the database closed, or would open it.
#[derive(Debug, thiserror::Error)]
pub enum CompactionRemains {
    /// Only the copy is there, whole or not.
    #[error(
        "{} is missing, and {} is a copy that a compaction has made, whole or in part. Restore the database's files or a backup. To go on with what the copy holds, rename it, start, and see what `coffer doctor` and `coffer audit verify` say.",
        path.display(), copy.display()
    )]
    OnlyCopy {
        /// sled's directory.
        path: PathBuf,
        /// The copy.
        copy: PathBuf,
    },
    /// It does not open, and the one before is still there.
    #[error(
        "{error} {old} is the database as it was before a compaction. To go back to it: mv {path} {path}.broken && mv {old} {path}",
        old = old.display(), path = path.display()
    )]
    WayBack {
        /// Why it does not open.
        error: Box<OpenError>,
        /// sled's directory.
        path: PathBuf,
        /// The database before the compaction.
        old: PathBuf,
    },
}

/// What the file system refused, and about which path.
pub(in crate::store) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |cause| OpenError::Io { path, cause }
}
