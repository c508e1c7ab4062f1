//! What can lie beside the database that is not the database.
//!
//! Must never: call something a leftover that holds rows which are nowhere else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{ignore_missing, sync_directory};

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// A snapshot that was not finished. Opening removes it.
    UnfinishedSnapshot,
    /// Snapshots that were damaged and are set aside; a cache, not rows.
    DamagedSnapshots,
    /// A copy that was opened to see how far the log can be read.
    Trial,
    /// A compaction that was not finished. Opening settles it.
    Compaction,
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
            Self::Compaction => "a compaction that was not finished",
            Self::Blobs => "rows in files that are never synced",
        }
    }

    /// Whether it can go, and opening the database does not see to it.
    pub fn is_rubbish(self) -> bool {
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
            "db.new" | "db.old" => Leftover::Compaction,
            name if name.starts_with("db.damaged.") => Leftover::DamagedSnapshots,
            _ => continue,
        };
        found.push((kind, path));
    }
    for path in entries(&data_dir.join("db"))? {
        if path.extension().is_some_and(|extension| extension == "generating") {
            found.push((Leftover::UnfinishedSnapshot, path));
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
