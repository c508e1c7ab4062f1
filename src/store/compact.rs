//! Compaction: all rows into a new sled directory, which then takes the old
//! one's place.
//!
//! Owns: when the log is wasteful, the copy, the switch, and what a start makes
//! of a switch that was cut off.
//! Must never: leave a moment in which neither the old nor the new directory is
//! whole under a name that the next start looks at.
//!
//! Which of three names there are says how far the switch has come. Every step
//! is durable before the next one begins.
//!
//! ```text
//!      db    db.new  db.old
//! 0    old   -       -        nothing has begun
//! 1    old   partial -        the copy is written, synced, compared row by row
//! 2    old   whole   -        rename db to db.old
//! 3    -     whole   old      rename db.new to db
//! 4    new   -       old      db is opened; only when that has worked
//! 5    new   -       partial  db.old is removed
//! 6    new   -       -        done
//! ```
//!
//! A start that finds 1 or 2 cannot tell them apart and removes `db.new`; from 3
//! on it goes forward. `db.old` without both others is no state of ours; it is
//! put back, because an empty database would take its place otherwise.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, Disk, OpenError, ignore_missing, parent, sync_directory};
use super::unsynced;
use super::view::ReadError;

/// A log that is shorter than this is never wasteful.
const SMALL_BYTES: u64 = 64 << 20;
/// Nor is one that is not so many times as long as what is in it. Overwriting
/// rows for ever settles at about eight times; see docs/decisions/0009.
const WASTEFUL_TIMES: u64 = 12;
/// The copy is written in batches of about so many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// A copy needs at most so many times the bytes of its rows.
const COPY_TIMES: u64 = 4;

/// How much room the database takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// sled's log, in bytes.
    pub file_bytes: u64,
    /// Keys and rows, in bytes.
    pub live_bytes: u64,
    /// Free disk space, in bytes.
    pub free_bytes: u64,
    /// Free disk space below which no write is taken, in bytes.
    pub floor_bytes: u64,
}

impl Usage {
    /// Whether compacting is worth while.
    pub fn is_wasteful(&self) -> bool {
        self.file_bytes > SMALL_BYTES && self.file_bytes / WASTEFUL_TIMES > self.live_bytes
    }
}

/// What a compaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// How many rows there are.
    pub rows: u64,
    /// Keys and rows, in bytes.
    pub live_bytes: u64,
    /// The log before, in bytes.
    pub before_bytes: u64,
    /// The log now, in bytes.
    pub after_bytes: u64,
}

/// Why the database was not compacted. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// There is no room for the copy.
    #[error("compacting needs {needed} bytes free beside the database, and there are {free}")]
    Room {
        /// How much it may take.
        needed: u64,
        /// How much there is.
        free: u64,
    },
    /// The copy has other rows than the original.
    #[error("the copy is not like the database; the copy is dropped")]
    Differs,
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
    /// The database or its copy could not be read or written.
    #[error("{0}")]
    Read(#[from] ReadError),
}

impl From<sled::Error> for CompactError {
    fn from(error: sled::Error) -> Self {
        Self::Read(error.into())
    }
}

/// The database after an attempt at compacting it.
pub(super) struct Tried {
    pub disk: Disk,
    pub outcome: Result<Compacted, CompactError>,
}

/// Measures. Reads every row.
pub(super) fn usage(tree: &sled::Tree, space: &disk::FreeSpace) -> Result<Usage, ReadError> {
    let mut live_bytes = 0;
    for row in tree.iter() {
        let (key, row) = row?;
        live_bytes += (key.len() + row.len()) as u64;
    }
    Ok(Usage {
        file_bytes: log_bytes(&space.dir),
        live_bytes,
        free_bytes: space.left(),
        floor_bytes: space.floor_bytes,
    })
}

/// How long the log is; 0 when that cannot be told.
pub(super) fn log_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).map_or(0, |metadata| metadata.len())
}

/// Whether compacting is worth while. Reads no more rows than it takes to know:
/// a start waits for it.
pub(super) fn is_wasteful(disk: &Disk) -> Result<bool, ReadError> {
    let file_bytes = log_bytes(&disk.space().dir);
    if file_bytes <= SMALL_BYTES {
        return Ok(false);
    }
    let mut live_bytes = 0;
    for row in disk.tree().iter() {
        let (key, row) = row?;
        live_bytes += (key.len() + row.len()) as u64;
        if live_bytes >= file_bytes / WASTEFUL_TIMES {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Compacts a database that nobody else reads. An `Err` is one of the switch:
/// the next start finishes it.
pub(super) fn compact(disk: Disk) -> Result<Tried, OpenError> {
    let dir = disk.space().dir.clone();
    let before_bytes = log_bytes(&dir);
    let new = dir.with_extension("new");
    let (rows, live_bytes) = match copy(&disk, &new) {
        Ok(copied) => copied,
        Err(error) => {
            // What is left of it, the next start removes.
            let _ = fs::remove_dir_all(&new);
            // On a disk that fails, closing it would be a panic; this keeps it open.
            let _ = disk.settle();
            return Ok(Tried { disk, outcome: Err(error) });
        }
    };
    let refused = |cause| OpenError::Io { path: dir.clone(), cause };
    let (held, options) = disk.release().map_err(refused)?;
    switch(&dir).map_err(refused)?;
    let disk = Disk::open(held, options)?;
    let after_bytes = log_bytes(&dir);
    Ok(Tried { disk, outcome: Ok(Compacted { rows, live_bytes, before_bytes, after_bytes }) })
}

/// Steps 2 to 4.
fn switch(dir: &Path) -> io::Result<()> {
    fs::rename(dir, dir.with_extension("old"))?;
    sync_directory(parent(dir))?;
    fs::rename(dir.with_extension("new"), dir)?;
    sync_directory(parent(dir))
}

/// Finishes a switch that was cut off, or undoes it. Before anything is opened.
pub(super) fn settle(dir: &Path) -> io::Result<()> {
    let (new, old) = (dir.with_extension("new"), dir.with_extension("old"));
    let (has_db, has_new, has_old) = (dir.try_exists()?, new.try_exists()?, old.try_exists()?);
    if has_db && has_new {
        log::warn!("removing a compaction that was not finished: {}", new.display());
        fs::remove_dir_all(&new)?;
    } else if has_new && has_old {
        log::warn!("finishing a compaction: {} takes the place of the old one", new.display());
        fs::rename(&new, dir)?;
    } else if has_old && !has_db {
        log::error!("{} is put back: there is no other database", old.display());
        fs::rename(&old, dir)?;
    } else {
        return Ok(());
    }
    sync_directory(parent(dir))
}

/// Step 5.
pub(super) fn remove_old(dir: &Path) -> io::Result<()> {
    let old = dir.with_extension("old");
    if !old.try_exists()? {
        return Ok(());
    }
    fs::remove_dir_all(&old).or_else(ignore_missing)?;
    sync_directory(parent(dir))
}

/// Step 1: how many rows, and how many bytes they have.
fn copy(disk: &Disk, new: &Path) -> Result<(u64, u64), CompactError> {
    let io = |cause| CompactError::Io { path: new.to_owned(), cause };
    let usage = usage(disk.tree(), disk.space())?;
    let needed = usage.live_bytes.saturating_mul(COPY_TIMES).saturating_add(usage.floor_bytes);
    if usage.free_bytes < needed {
        return Err(CompactError::Room { needed, free: usage.free_bytes });
    }
    fs::remove_dir_all(new).or_else(ignore_missing).map_err(io)?;
    let config = || disk::settings(new, disk.options());
    let db = config().open()?;
    match write(disk.tree(), &db).and_then(|()| db.flush()) {
        Ok(_) => release(db, new).map_err(io)?,
        Err(error) => {
            // Closing it, sled would panic; its files are about to be removed.
            std::mem::forget(db);
            return Err(error.into());
        }
    }
    // Opened afresh, as the next start will: what counts is what its log says.
    let db = config().open()?;
    let rows = match compare(disk.tree(), &db) {
        Ok(rows) => rows,
        Err(error) => {
            std::mem::forget(db);
            return Err(error);
        }
    };
    release(db, new).map_err(io)?;
    sync_all(new).map_err(io)?;
    sync_directory(parent(new)).map_err(io)?;
    Ok((rows, usage.live_bytes))
}

fn write(from: &sled::Tree, to: &sled::Db) -> Result<(), sled::Error> {
    let (mut batch, mut bytes) = (sled::Batch::default(), 0);
    for row in from.iter() {
        let (key, row) = row?;
        bytes += key.len() + row.len();
        batch.insert(key, row);
        if bytes >= BATCH_BYTES {
            to.apply_batch(std::mem::take(&mut batch))?;
            bytes = 0;
        }
    }
    to.apply_batch(batch)
}

/// Every row, side by side. sled puts what is too large for its log into files
/// that it never syncs; there must be none.
fn compare(from: &sled::Tree, to: &sled::Db) -> Result<u64, CompactError> {
    let (mut left, mut right) = (from.iter(), to.iter());
    let mut rows = 0;
    loop {
        match (left.next().transpose()?, right.next().transpose()?) {
            (None, None) => return Ok(rows),
            (left, right) if left == right => rows += 1,
            _ => return Err(CompactError::Differs),
        }
    }
}

/// Closes a database, and returns when sled's threads have let go of it.
fn release(db: sled::Db, dir: &Path) -> io::Result<()> {
    let log = File::open(dir.join("db"))?;
    if let Err(error) = log.sync_all() {
        // sled would do the same as it closes, and panic.
        std::mem::forget(db);
        return Err(error);
    }
    unsynced::let_go(db)?;
    log.lock()
}

/// Makes every file and directory durable.
fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !path.is_dir() {
            File::open(&path)?.sync_all()?;
            continue;
        }
        if path.file_name().is_some_and(|name| name == "blobs")
            && fs::read_dir(&path)?.next().is_some()
        {
            return Err(io::Error::other("rows have gone to files that are not synced"));
        }
        sync_all(&path)?;
    }
    sync_directory(dir)
}
