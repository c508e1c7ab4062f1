//! What can lie beside the database that is not the database.
//!
//! Must never: call something a leftover that holds rows which are nowhere else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::{ignore_missing, sync_directory};
use crate::store::sled::opening_mark;
use crate::store::sled::snapshots::is_whole_snapshot;
use crate::store::sled::unsynced::UNSYNCED;

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// A snapshot that was not finished. Opening removes it.
    UnfinishedSnapshot,
    /// Snapshots that were damaged and are set aside; a cache, not rows.
    DamagedSnapshots,
    /// A copy that was opened to see how far the log can be read.
    Trial,
    /// The newest snapshot, when it is not what sled wrote. A cache: opening sets
    /// it aside, if the log is whole.
    BadSnapshot,
    /// A compaction that was not finished. Opening settles it.
    Compaction,
    /// What a compaction has replaced. Opening removes it, once the new one opens.
    BeforeCompaction,
    /// Likewise, half removed. Opening removes the rest.
    Replaced,
    /// Word that a write or sync has failed; see `unsynced`. Opening sees to it.
    FailedSync,
    /// Files into which sled puts what is too large for its log. There should be
    /// none; those that there are hold rows.
    Blobs,
}

impl Leftover {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::UnfinishedSnapshot => "a snapshot that was not finished",
            Self::DamagedSnapshots => "damaged snapshots that were set aside",
            Self::Trial => "a trial copy of the log",
            Self::BadSnapshot => "a damaged snapshot, which is a cache of the log",
            Self::Compaction => "a compaction that was not finished",
            Self::BeforeCompaction => "the database as it was before a compaction",
            Self::Replaced => "what a compaction has replaced, half removed",
            Self::FailedSync => "word from the server that a write or sync has failed",
            Self::Blobs => "rows in files that are never synced",
        }
    }

    /// Whether it can go, and opening the database does not see to it.
    pub fn is_removable(self) -> bool {
        matches!(self, Self::UnfinishedSnapshot | Self::DamagedSnapshots | Self::Trial)
    }
}

/// Looks for them in a data directory.
pub fn leftovers(data_dir: &Path) -> io::Result<Vec<(Leftover, PathBuf)>> {
    let mut found = Vec::new();
    for path in entries(data_dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kind = match &*name {
            "db.trial" => Leftover::Trial,
            "db.new" => Leftover::Compaction,
            "db.old" => Leftover::BeforeCompaction,
            "db.removed" => Leftover::Replaced,
            UNSYNCED => Leftover::FailedSync,
            name if name.starts_with("db.damaged.") => Leftover::DamagedSnapshots,
            _ => continue,
        };
        found.push((kind, path));
    }
    let mut newest = None;
    for path in entries(&data_dir.join("db"))? {
        if path.extension().is_some_and(|extension| extension == "generating") {
            // After an opening that was cut off it may be needed: the next one sees to it.
            if !opening_mark::was_cut_off(data_dir)? {
                found.push((Leftover::UnfinishedSnapshot, path));
            }
        } else if path.file_stem().is_some_and(|stem| stem == "snap") {
            newest = Some(path);
        }
    }
    if let Some(path) = newest {
        match fs::read(&path) {
            // A running server has put another one in its place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => {
                if !is_whole_snapshot(&bytes?) {
                    found.push((Leftover::BadSnapshot, path));
                }
            }
        }
    }
    let blobs = data_dir.join("db").join("blobs");
    if !entries(&blobs)?.is_empty() {
        found.push((Leftover::Blobs, blobs));
    }
    Ok(found)
}

/// Removes one. Only for those that are rubbish, of a directory that is held.
pub fn remove_leftover(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(ignore_missing)?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let mut paths: Vec<_> =
                entries?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
            paths.sort();
            Ok(paths)
        }
    }
}
