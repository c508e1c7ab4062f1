//! Compaction: copies all rows into a new sled directory, which then replaces the old one.
//!
//! The directories that exist show how far the switch has come. Every step is durable before the
//! next one starts.
//!
//! ```text
//!      db    db.new  db.old
//! 0    old   -       -        nothing has started
//! 1    old   partial -        the copy is written, synced, compared row by row
//! 2    old   whole   -        rename db to db.old
//! 3    -     whole   old      rename db.new to db
//! 4    new   -       old      db is opened; only if that works:
//! 5    new   -       -        db.old was renamed to db.removed, which is removed
//! 6    new   -       -        done
//! ```
//!
//! A start that finds state 1 or 2 cannot tell them apart and removes `db.new` once it has opened
//! `db` and found rows in it; from state 3 on it finishes the switch. Two other states cannot
//! result from this. `db.old` without the other two is renamed back, because an empty database
//! would take its place otherwise. `db.new` alone may or may not be complete, so it is left to the
//! operator.
//!
//! Owns: when the log is wasteful, and the copy.
//! Must never: leave a moment in which neither the old nor the new directory is complete under a
//! name that the next start looks at.
//! Called by: `Opened` and `Store`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::directory::{ignore_missing, open_to_lock, parent, sync_directory};
use crate::store::disk_budget::FreeSpace;
use crate::store::rows::view::ReadError;
use crate::store::sled::compaction_files::{move_new_into_place, move_old_aside, new};
use crate::store::sled::disk::{self, Disk};
use crate::store::sled::flush_watchdog::{Watchdog, close_catching_panic};
use crate::store::sled::open_error::OpenError;

/// A log up to this size is never wasteful.
const SMALL_BYTES: u64 = 64 << 20;
/// A log is wasteful if it is more than this many times as large as its live rows. Overwriting rows
/// forever settles at about eight times; see docs/decisions/0009.
const WASTEFUL_TIMES: u64 = 12;
/// The copy is written in batches of about this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// A copy needs at most this many times the bytes of its rows.
const COPY_TIMES: u64 = 4;

/// How much space the database takes, and how much the disk has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// sled's log, in bytes.
    pub file_bytes: u64,
    /// Keys and rows, in bytes.
    pub live_bytes: u64,
    /// Free disk space, in bytes.
    pub free_bytes: u64,
    /// Free disk space below which writes are refused, in bytes.
    pub floor_bytes: u64,
}

/// The part of [`Usage`] that is known without reading a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// sled's log, in bytes.
    pub file_bytes: u64,
    /// Free disk space, in bytes.
    pub free_bytes: u64,
    /// Free disk space below which writes are refused, in bytes.
    pub floor_bytes: u64,
}

impl Usage {
    /// Returns whether the database should be compacted.
    pub fn is_wasteful(&self) -> bool {
        self.file_bytes > SMALL_BYTES && self.file_bytes / WASTEFUL_TIMES > self.live_bytes
    }
}

/// The result of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// The number of rows.
    pub rows: u64,
    /// Keys and rows, in bytes.
    pub live_bytes: u64,
    /// The log before, in bytes.
    pub before_bytes: u64,
    /// The log now, in bytes.
    pub after_bytes: u64,
}

/// Why the database was not compacted. It is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The disk has too little space for the copy.
    #[error(
        "compacting needs {needed} bytes of free space next to the database, but only {free} are free"
    )]
    TooLittleSpace {
        /// The bytes that the copy may take, plus the floor.
        needed: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// sled's directory cannot be replaced without moving it from where the operator put it.
    #[error(
        "{path} is {what} and cannot be replaced by another directory. Move the whole data directory there instead"
    )]
    Pinned {
        /// sled's directory.
        path: PathBuf,
        /// A link or a mount point.
        what: &'static str,
    },
    /// The copy differs from the database.
    #[error("the copy differs from the database and was discarded")]
    Differs,
    /// The file system returned an error.
    #[error("{path}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
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
pub(in crate::store) struct CompactionAttempt {
    pub disk: Disk,
    pub outcome: Result<Compacted, CompactError>,
}

/// Measures the database and its disk. Reads every row.
pub(in crate::store) fn usage(tree: &sled::Tree, space: &FreeSpace) -> Result<Usage, ReadError> {
    let mut live_bytes = 0;
    for row in tree.iter() {
        let (key, row) = row?;
        live_bytes += (key.len() + row.len()) as u64;
    }
    let Extent { file_bytes, free_bytes, floor_bytes } = extent(space);
    Ok(Usage { file_bytes, live_bytes, free_bytes, floor_bytes })
}

/// Counts the bytes of all keys and rows; `None` if that takes longer than `limit`.
pub(in crate::store) fn live_bytes_within(tree: &sled::Tree, limit: Duration) -> Option<u64> {
    let (begun, mut live_bytes) = (Instant::now(), 0);
    for (number, row) in tree.iter().enumerate() {
        let (key, row) = row.ok()?;
        live_bytes += (key.len() + row.len()) as u64;
        if number % 1024 == 0 && begun.elapsed() > limit {
            return None;
        }
    }
    Some(live_bytes)
}

/// Measures the log and the disk, as the file system reports them.
pub(in crate::store) fn extent(space: &FreeSpace) -> Extent {
    Extent {
        file_bytes: log_bytes(&space.dir),
        free_bytes: space.left(),
        floor_bytes: space.floor_bytes,
    }
}

/// Returns the size of the log in bytes; 0 if it is unknown.
pub(in crate::store) fn log_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).map_or(0, |metadata| metadata.len())
}

/// Returns whether the database should be compacted. Reads only as many rows as it takes to decide,
/// because a start waits for it.
pub(in crate::store) fn is_wasteful(disk: &Disk) -> Result<bool, ReadError> {
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

/// Compacts a database that nothing else is reading. The outer `Err` means that the database
/// failed, or the switch, which the next start then finishes.
pub(in crate::store) fn compact(disk: Disk) -> Result<CompactionAttempt, OpenError> {
    let dir = disk.space().dir.clone();
    let before_bytes = log_bytes(&dir);
    let new = new(&dir);
    let (rows, live_bytes) = match check_replaceable(&dir).and_then(|()| copy(&disk, &new)) {
        Ok(copied) => copied,
        Err(error) => {
            // If this fails, the next start removes the rest.
            let _ = fs::remove_dir_all(&new);
            // On a failing disk, closing it would panic; after this it stays open.
            let _ = disk.settle();
            return Ok(CompactionAttempt { disk, outcome: Err(error) });
        }
    };
    let refused = |cause| OpenError::Io { path: dir.clone(), cause };
    let (held, options) = disk.release().map_err(refused)?;
    if let Err(cause) = move_old_aside(&dir) {
        // Nothing has been moved, so the server can continue.
        let disk = Disk::open(held, options)?;
        return Ok(CompactionAttempt { disk, outcome: Err(CompactError::Io { path: dir, cause }) });
    }
    move_new_into_place(&dir).map_err(refused)?;
    let disk = Disk::open(held, options)?;
    let after_bytes = log_bytes(&dir);
    Ok(CompactionAttempt {
        disk,
        outcome: Ok(Compacted { rows, live_bytes, before_bytes, after_bytes }),
    })
}

/// Checks, without writing, that another directory can replace this one.
fn check_replaceable(dir: &Path) -> Result<(), CompactError> {
    let io = |cause| CompactError::Io { path: dir.to_owned(), cause };
    let pinned = |what| Err(CompactError::Pinned { path: dir.to_owned(), what });
    let metadata = fs::symlink_metadata(dir).map_err(io)?;
    // The link would be renamed, and the copy would be on the link's disk.
    if metadata.is_symlink() {
        return pinned("a link");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        if metadata.dev() != fs::metadata(parent(dir)).map_err(io)?.dev() {
            return pinned("a mount point");
        }
    }
    Ok(())
}

/// Writes, syncs and compares the copy: step 1. Returns the number of rows and their bytes.
fn copy(disk: &Disk, new: &Path) -> Result<(u64, u64), CompactError> {
    let io = |cause| CompactError::Io { path: new.to_owned(), cause };
    let usage = usage(disk.tree(), disk.space())?;
    let needed = usage.live_bytes.saturating_mul(COPY_TIMES).saturating_add(usage.floor_bytes);
    if usage.free_bytes < needed {
        return Err(CompactError::TooLittleSpace { needed, free: usage.free_bytes });
    }
    fs::remove_dir_all(new).or_else(ignore_missing).map_err(io)?;
    let target = CompactionCopy::open(disk, new)?;
    let written = target.watchdog.during(|| write(disk.tree(), &target.db));
    // Whatever the outcome, the copy must be closed.
    target.close(new).map_err(io)?;
    written?;
    // Opened again, as the next start will, because what counts is what its log holds.
    let target = CompactionCopy::open(disk, new)?;
    let compared = compare(disk.tree(), &target.db);
    target.close(new).map_err(io)?;
    let rows = compared?;
    sync_all(new).map_err(io)?;
    sync_directory(parent(new)).map_err(io)?;
    Ok((rows, usage.live_bytes))
}

/// The copy while it is open. An error in it is no reason for the process to exit, as it would be
/// if sled closed it by itself; see `Disk::settle`.
struct CompactionCopy {
    watchdog: Watchdog,
    db: sled::Db,
    log: File,
}

impl CompactionCopy {
    fn open(disk: &Disk, new: &Path) -> Result<Self, CompactError> {
        let db = disk::settings(new, disk.options()).open()?;
        let held = File::open(new.join("db")).and_then(|log| Ok((log, Watchdog::start(&db)?)));
        let (log, watchdog) = held.map_err(|cause| {
            std::mem::forget(db.clone());
            CompactError::Io { path: new.to_owned(), cause }
        })?;
        Ok(Self { watchdog, db, log })
    }

    /// Closes the copy and returns once sled's threads have released it.
    fn close(self, new: &Path) -> io::Result<()> {
        let settled = self.watchdog.during(|| {
            self.db.flush()?;
            self.log.sync_all()
        });
        if let Err(error) = settled {
            // It stays open until the process exits; its files are about to be removed.
            std::mem::forget(self.db.clone());
            return Err(error);
        }
        close_catching_panic(self)?;
        open_to_lock(&new.join("db"))?.lock()
    }
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

/// Compares every row and returns their number.
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

/// Makes every file and directory durable. Fails if sled has put data that is too large for its log
/// into files that it never syncs.
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
            return Err(io::Error::other("sled wrote rows to files that it does not sync"));
        }
        sync_all(&path)?;
    }
    sync_directory(dir)
}
