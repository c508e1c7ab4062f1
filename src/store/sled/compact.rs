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
//! 5    new   -       -        db.old was renamed to db.removed, which is removed
//! 6    new   -       -        done
//! ```
//!
//! A start that finds 1 or 2 cannot tell them apart and removes `db.new`, when it
//! has opened `db` and found something in it; from 3 on it goes forward. `db.old`
//! without both others is no state of ours; it is put back, because an empty
//! database would take its place otherwise. Nor is `db.new` alone; whether it is
//! whole nobody can tell, so that is left to who made it so.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::directory::{ignore_missing, open_to_lock, parent, sync_directory};
use crate::store::disk_budget::FreeSpace;
use crate::store::rows::view::ReadError;
use crate::store::sled::compaction_files::{new, step_aside, take_place};
use crate::store::sled::disk::{self, Disk};
use crate::store::sled::flush_watchdog::{Watchdog, close_catching_panic};
use crate::store::sled::open_error::OpenError;

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

/// What of it can be told without reading a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// sled's log, in bytes.
    pub file_bytes: u64,
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
    /// It cannot be renamed, or would be renamed away from where it was put.
    #[error(
        "{path} is {what}, so that no other directory can take its place. Put the whole data directory there instead"
    )]
    Pinned {
        /// sled's directory.
        path: PathBuf,
        /// A link or a mount point.
        what: &'static str,
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
pub(in crate::store) struct CompactionAttempt {
    pub disk: Disk,
    pub outcome: Result<Compacted, CompactError>,
}

/// Measures. Reads every row.
pub(in crate::store) fn usage(tree: &sled::Tree, space: &FreeSpace) -> Result<Usage, ReadError> {
    let mut live_bytes = 0;
    for row in tree.iter() {
        let (key, row) = row?;
        live_bytes += (key.len() + row.len()) as u64;
    }
    let Extent { file_bytes, free_bytes, floor_bytes } = extent(space);
    Ok(Usage { file_bytes, live_bytes, free_bytes, floor_bytes })
}

/// The bytes of keys and rows, if they can be counted within a time.
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

/// Asks the file system.
pub(in crate::store) fn extent(space: &FreeSpace) -> Extent {
    Extent {
        file_bytes: log_bytes(&space.dir),
        free_bytes: space.left(),
        floor_bytes: space.floor_bytes,
    }
}

/// How long the log is; 0 when that cannot be told.
pub(in crate::store) fn log_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).map_or(0, |metadata| metadata.len())
}

/// Whether compacting is worth while. Reads no more rows than it takes to know:
/// a start waits for it.
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

/// Compacts a database that nobody else reads. An `Err` is one of the database
/// itself, or of the switch: the next start finishes it.
pub(in crate::store) fn compact(disk: Disk) -> Result<CompactionAttempt, OpenError> {
    let dir = disk.space().dir.clone();
    let before_bytes = log_bytes(&dir);
    let new = new(&dir);
    let (rows, live_bytes) = match can_be_renamed(&dir).and_then(|()| copy(&disk, &new)) {
        Ok(copied) => copied,
        Err(error) => {
            // What is left of it, the next start removes.
            let _ = fs::remove_dir_all(&new);
            // On a disk that fails, closing it would be a panic; this keeps it open.
            let _ = disk.settle();
            return Ok(CompactionAttempt { disk, outcome: Err(error) });
        }
    };
    let refused = |cause| OpenError::Io { path: dir.clone(), cause };
    let (held, options) = disk.release().map_err(refused)?;
    if let Err(cause) = step_aside(&dir) {
        // Nothing has been moved, so nothing keeps the server from going on.
        let disk = Disk::open(held, options)?;
        return Ok(CompactionAttempt { disk, outcome: Err(CompactError::Io { path: dir, cause }) });
    }
    take_place(&dir).map_err(refused)?;
    let disk = Disk::open(held, options)?;
    let after_bytes = log_bytes(&dir);
    Ok(CompactionAttempt {
        disk,
        outcome: Ok(Compacted { rows, live_bytes, before_bytes, after_bytes }),
    })
}

/// Whether another directory can take this one's place, as far as can be told
/// without trying.
fn can_be_renamed(dir: &Path) -> Result<(), CompactError> {
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

/// Step 1: how many rows, and how many bytes they have.
fn copy(disk: &Disk, new: &Path) -> Result<(u64, u64), CompactError> {
    let io = |cause| CompactError::Io { path: new.to_owned(), cause };
    let usage = usage(disk.tree(), disk.space())?;
    let needed = usage.live_bytes.saturating_mul(COPY_TIMES).saturating_add(usage.floor_bytes);
    if usage.free_bytes < needed {
        return Err(CompactError::Room { needed, free: usage.free_bytes });
    }
    fs::remove_dir_all(new).or_else(ignore_missing).map_err(io)?;
    let target = CompactionCopy::open(disk, new)?;
    let written = target.watchdog.during(|| write(disk.tree(), &target.db));
    // Before the outcome is looked at: it must be closed in either case.
    target.close(new).map_err(io)?;
    written?;
    // Opened afresh, as the next start will: what counts is what its log says.
    let target = CompactionCopy::open(disk, new)?;
    let compared = compare(disk.tree(), &target.db);
    target.close(new).map_err(io)?;
    let rows = compared?;
    sync_all(new).map_err(io)?;
    sync_directory(parent(new)).map_err(io)?;
    Ok((rows, usage.live_bytes))
}

/// The copy while it is open. What fails in it is no reason for the process to
/// end, as it would if sled closed it by itself; see `Disk::settle`.
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

    /// Returns when sled's threads have let go of it.
    fn close(self, new: &Path) -> io::Result<()> {
        let settled = self.watchdog.during(|| {
            self.db.flush()?;
            self.log.sync_all()
        });
        if let Err(error) = settled {
            // Its files are about to be removed.
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
