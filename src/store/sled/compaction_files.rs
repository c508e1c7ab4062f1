//! The directories of a compaction, and the switch from one to the other.
//!
//! Owns: their names, the steps of the switch, what a start does about one that was cut off; the
//! table in `compact` says which states there are.
//! Must never: remove the old database before the new one has opened.
//! Called by: `compact` and `disk`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::{ignore_missing, parent, sync_directory};
use crate::store::sled::open_error::{CompactionRemains, OpenError};

pub(super) fn new(dir: &Path) -> PathBuf {
    dir.with_extension("new")
}

pub(super) fn old(dir: &Path) -> PathBuf {
    dir.with_extension("old")
}

/// Names the database before the last compaction, if there is one, to whoever
/// cannot open the one after it.
pub(in crate::store) fn with_way_back(error: OpenError, dir: &Path) -> OpenError {
    // What the disk refuses, it would refuse there, too.
    let is_about_content = match &error {
        // A log that ends too early is one of them.
        OpenError::Sled { cause: sled::Error::Io(cause), .. } => {
            cause.kind() == io::ErrorKind::UnexpectedEof
        }
        OpenError::Sled { .. } => true,
        OpenError::LogDamaged { .. }
        | OpenError::Gone { .. }
        | OpenError::Lost { .. }
        | OpenError::Hole { .. }
        | OpenError::Holes { .. } => true,
        _ => false,
    };
    if !is_about_content || !old(dir).exists() {
        return error;
    }
    CompactionRemains::WayBack { error: Box::new(error), path: dir.to_owned(), old: old(dir) }
        .into()
}

/// Step 2. A rename that is refused has changed nothing.
pub(super) fn step_aside(dir: &Path) -> io::Result<()> {
    fs::rename(dir, old(dir))
}

/// Steps 3 and 4.
pub(super) fn take_place(dir: &Path) -> io::Result<()> {
    sync_directory(parent(dir))?;
    fs::rename(new(dir), dir)?;
    sync_directory(parent(dir))
}

/// Finishes a switch that was cut off, or undoes it. Before anything is opened.
pub(in crate::store) fn settle(dir: &Path) -> Result<(), OpenError> {
    let io = |cause| OpenError::Io { path: parent(dir).to_owned(), cause };
    let (new, old) = (new(dir), old(dir));
    let there = |path: &Path| path.try_exists().map_err(io);
    let (has_db, has_new, has_old) = (there(dir)?, there(&new)?, there(&old)?);
    let moved = match (has_db, has_new, has_old) {
        (false, true, true) => {
            log::warn!("finishing a compaction: {} takes the place of the old one", new.display());
            fs::rename(&new, dir)
        }
        (false, true, false) => {
            return Err(CompactionRemains::OnlyCopy { path: dir.to_owned(), copy: new }.into());
        }
        (false, false, true) => {
            log::error!("{} is put back: there is no other database", old.display());
            fs::rename(&old, dir)
        }
        (true, ..) | (false, false, false) => return Ok(()),
    };
    moved.and_then(|()| sync_directory(parent(dir))).map_err(io)
}

/// Step 5, and what is left of 1 and 2, once `db` has opened.
pub(in crate::store) fn remove_others(dir: &Path) -> io::Result<()> {
    let new = new(dir);
    if new.try_exists()? {
        log::warn!("removing a compaction that was not finished: {}", new.display());
    }
    // Half of it must never be taken for a way back.
    let (old, removed) = (old(dir), dir.with_extension("removed"));
    if old.try_exists()? {
        fs::remove_dir_all(&removed).or_else(ignore_missing)?;
        fs::rename(&old, &removed)?;
        sync_directory(parent(dir))?;
    }
    for other in [new, removed] {
        if other.try_exists()? {
            fs::remove_dir_all(&other).or_else(ignore_missing)?;
            sync_directory(parent(dir))?;
        }
    }
    Ok(())
}
