//! Files next to the database that are not part of it.
//!
//! Owns: telling what each of them is, and removing those that are of no use.
//! Must never: call something a leftover that holds rows which exist nowhere else.
//! Called by: `coffer doctor`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::{ignore_missing, sync_directory};
use crate::store::sled::opening_mark;
use crate::store::sled::snapshots::is_intact_snapshot;
use crate::store::sled::unsynced::UNSYNCED;

/// The kinds of leftover files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// An unfinished snapshot. Opening removes it.
    UnfinishedSnapshot,
    /// Damaged snapshots that were set aside; a cache, not rows.
    DamagedSnapshots,
    /// A copy that was opened to find out how far the log can be read.
    Trial,
    /// The newest snapshot, if it is damaged. It is a cache: opening sets it aside if the log is
    /// intact.
    BadSnapshot,
    /// An unfinished compaction. Opening finishes or undoes it.
    Compaction,
    /// The database before a compaction. Opening removes it once the new one opens.
    BeforeCompaction,
    /// The database before a compaction, partly removed. Opening removes the rest.
    Replaced,
    /// The marker of a failed write or sync; see `unsynced`. Opening deals with it.
    FailedSync,
    /// Files for data that is too large for sled's log. There should be none; any that exist hold
    /// rows.
    Blobs,
}

impl Leftover {
    /// Describes it, to follow "is".
    pub fn describe(self) -> &'static str {
        match self {
            Self::UnfinishedSnapshot => "an unfinished snapshot",
            Self::DamagedSnapshots => "damaged snapshots that were set aside",
            Self::Trial => "a trial copy of the log",
            Self::BadSnapshot => "a damaged snapshot, which is a cache of the log",
            Self::Compaction => "an unfinished compaction",
            Self::BeforeCompaction => "the database as it was before a compaction",
            Self::Replaced => "the database as it was before a compaction, partly removed",
            Self::FailedSync => "the marker that a write or sync has failed",
            Self::Blobs => "rows in files that are never synced",
        }
    }

    /// Returns whether it can be removed and opening the database does not do that anyway.
    pub fn is_removable(self) -> bool {
        matches!(self, Self::UnfinishedSnapshot | Self::DamagedSnapshots | Self::Trial)
    }
}

/// Lists the leftovers in a data directory.
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
            // After an interrupted opening it may be needed; the next opening decides.
            if !opening_mark::was_interrupted(data_dir)? {
                found.push((Leftover::UnfinishedSnapshot, path));
            }
        } else if path.file_stem().is_some_and(|stem| stem == "snap") {
            newest = Some(path);
        }
    }
    if let Some(path) = newest {
        match fs::read(&path) {
            // A running server has replaced it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => {
                if !is_intact_snapshot(&bytes?) {
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

/// Removes a leftover. Only for those that are removable, in a locked data directory.
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
