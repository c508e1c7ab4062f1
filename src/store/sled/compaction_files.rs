//! The directories of a compaction, and the switch from one to the other.
//!
//! Owns: their names, the steps of the switch, and how a start resolves an interrupted one; the
//! table in `compact` lists the states.
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

/// Adds the database before the last compaction, if it still exists, to an error about the one
/// after it.
pub(in crate::store) fn with_fallback(error: OpenError, dir: &Path) -> OpenError {
    // An error of the disk would apply to the old database as well.
    let is_about_content = match &error {
        // sled reports a log that ends too early as an I/O error.
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
    CompactionRemains::Fallback { error: Box::new(error), path: dir.to_owned(), old: old(dir) }
        .into()
}

/// Moves the old database aside: step 2. If the rename fails, nothing has changed.
pub(super) fn move_old_aside(dir: &Path) -> io::Result<()> {
    fs::rename(dir, old(dir))
}

/// Moves the new database into place: steps 3 and 4.
pub(super) fn move_new_into_place(dir: &Path) -> io::Result<()> {
    sync_directory(parent(dir))?;
    fs::rename(new(dir), dir)?;
    sync_directory(parent(dir))
}

/// Finishes or undoes an interrupted switch. Must be called before anything is opened.
pub(in crate::store) fn finish_or_undo(dir: &Path) -> Result<(), OpenError> {
    let io = |cause| OpenError::Io { path: parent(dir).to_owned(), cause };
    let (new, old) = (new(dir), old(dir));
    let there = |path: &Path| path.try_exists().map_err(io);
    let (has_db, has_new, has_old) = (there(dir)?, there(&new)?, there(&old)?);
    let moved = match (has_db, has_new, has_old) {
        (false, true, true) => {
            log::warn!("finishing a compaction: {} replaces the old database", new.display());
            fs::rename(&new, dir)
        }
        (false, true, false) => {
            return Err(CompactionRemains::OnlyCopy { path: dir.to_owned(), copy: new }.into());
        }
        (false, false, true) => {
            log::error!("restoring {}, because no other database exists", old.display());
            fs::rename(&old, dir)
        }
        (true, ..) | (false, false, false) => return Ok(()),
    };
    moved.and_then(|()| sync_directory(parent(dir))).map_err(io)
}

/// Removes the old database (step 5) and what is left of steps 1 and 2, once `db` has opened.
pub(in crate::store) fn remove_others(dir: &Path) -> io::Result<()> {
    let new = new(dir);
    if new.try_exists()? {
        log::warn!("removing an unfinished compaction: {}", new.display());
    }
    // A partly removed database must never be taken for the fallback.
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
