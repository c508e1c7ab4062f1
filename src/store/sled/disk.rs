//! The data directory, and what sled 0.34 does not do itself.
//!
//! ```text
//! <data dir>/lock          locked (flock) while a process uses the directory
//! <data dir>/in-use        a database has been created; see `IN_USE`
//! <data dir>/acknowledged  how far changes were acknowledged; see `durable_mark`
//! <data dir>/restoring     a restore that is not complete; see `restore`
//! <data dir>/unsynced      a write or sync has failed; see `unsynced`
//! <data dir>/opening       sled is opening; see `opening_mark`
//! <data dir>/db/db         sled's log: all rows
//! <data dir>/db/conf       sled's settings
//! <data dir>/db/snap.*     sled's cache of its page table
//! <data dir>/db.new        a compaction that is not complete; see `compact`
//! <data dir>/db.old        the database before a compaction
//! <data dir>/db.removed    the same, while it is being removed
//! ```
//!
//! Facts about sled 0.34.7 that this code responds to, each found by reading its source or by
//! cutting the power in an experiment:
//!
//! * `flush` ends in `sync_file_range`, which covers neither the drive's cache nor the file's
//!   length. [`Disk::apply`] adds an fdatasync of `db`.
//! * It never syncs the directories that it creates, so a new database may disappear in a power
//!   cut. [`Disk::open`] syncs them.
//! * A crash while it writes `snap.*.generating` leaves a file that it takes for the newest
//!   snapshot and then refuses to open. It is removed before opening.
//! * It writes `conf` in two steps and never syncs it; a first start that is interrupted in between
//!   leaves a partial file, which it does not open. Without a log the file holds nothing of value
//!   and is removed; it is synced after opening.
//! * A damaged snapshot keeps it from opening, although it is only a cache; and without its
//!   snapshot, a damaged log opens in an older state. See `open_sled`.
//! * It takes damage after the snapshot for the end of the log. See `durable_mark`.
//! * Its background flusher logs errors instead of returning them. It is switched off.
//! * It reports a write that fails in one of its threads to nobody. See `flush_watchdog`.
//! * Closing it writes and syncs, and panics if that fails. After a failure, and in a process that
//!   is about to exit, it stays open until then.
//!
//! One more fact concerns the system (see `unsynced`): data whose sync has failed can still be
//! read.
//!
//! Owns: the open files, the order of the steps of an opening, and syncing.
//! Must never: report a write as applied before it would survive a power cut.
//! Called by: `opened`, `restore` and the writer.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::directory::{
    ignore_missing, make_directory, open_to_lock, parent, sync_directory,
};
use crate::store::disk_budget::FreeSpace;
use crate::store::private_file::write_private;
use crate::store::rows::keyspace::{Table, full_key};
use crate::store::rows::row;
use crate::store::rows::tables::{AuditHead, AuditRows};
use crate::store::rows::view::tree_range;
use crate::store::rows::write_set::WriteSet;
use crate::store::sled::durable_mark::{ACKNOWLEDGED, Acknowledged};
use crate::store::sled::flush_watchdog::{WatchGuard, Watchdog};
use crate::store::sled::holes::find_hole;
use crate::store::sled::open_error::{OpenError, at};
use crate::store::sled::open_sled::{open_sled, remove_unfinished_settings};
use crate::store::sled::restoring_mark::check_no_restore;
use crate::store::sled::snapshots::settle_snapshots;
use crate::store::sled::{compaction_files, opening_mark, unsynced};

/// The marker in a data directory whose database holds rows. If the database next to it is empty,
/// its files are gone; it is not a new one.
pub const IN_USE: &str = "in-use";

/// The caller's options for opening a database.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// sled's page cache, in bytes.
    pub cache_bytes: u64,
    /// Free space below which writes are refused, in bytes. sled does not survive a full disk.
    pub min_free_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, min_free_bytes: 64 << 20 }
    }
}

/// Fails unless a database exists or once existed, because opening creates one.
fn must_exist(data_dir: &Path) -> Result<(), OpenError> {
    for path in [data_dir.join("db"), data_dir.join(IN_USE)] {
        if path.try_exists().map_err(|cause| OpenError::Io { path, cause })? {
            return Ok(());
        }
    }
    // An interrupted restore is a better explanation than a missing database.
    check_no_restore(data_dir)?;
    Err(OpenError::None { path: data_dir.to_owned() })
}

/// Marks a data directory as one whose database holds rows.
pub(in crate::store) fn mark_in_use(data_dir: &Path) -> io::Result<()> {
    write_private(&data_dir.join(IN_USE), "")
}

/// The open files. Their owner is the only one that may write.
#[derive(Debug)]
pub(in crate::store) struct Disk {
    // Dropped first: its thread holds sled open and ends here.
    watchdog: Watchdog,
    db: sled::Db,
    tree: sled::Tree,
    log: File,
    space: FreeSpace,
    lock: Arc<File>,
    options: Options,
    /// Set once the final sync has succeeded or failed: nothing is written or synced after that.
    settled: AtomicBool,
    acknowledged: Acknowledged,
}

/// The lock on a data directory, which keeps other processes out while it is held.
#[derive(Debug)]
pub struct DataDirLock {
    lock: Arc<File>,
    data_dir: PathBuf,
}

impl DataDirLock {
    /// Creates the directory if it is missing, and locks it.
    pub fn acquire(data_dir: &Path) -> Result<Self, OpenError> {
        make_directory(data_dir).map_err(at(data_dir))?;
        let path = data_dir.join("lock");
        let lock = File::create(&path).map_err(at(&path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: data_dir.to_owned() },
            TryLockError::Error(cause) => at(&path)(cause),
        })?;
        Ok(Self { lock: Arc::new(lock), data_dir: data_dir.to_owned() })
    }

    /// Locks the directory if it holds a database, and fails otherwise.
    pub fn acquire_existing(data_dir: &Path) -> Result<Self, OpenError> {
        must_exist(data_dir)?;
        Self::acquire(data_dir)
    }
}

/// Returns sled's configuration.
pub(in crate::store) fn settings(dir: &Path, options: Options) -> sled::Config {
    sled::Config::new()
        .path(dir)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput)
}

impl Disk {
    /// Opens the database of a locked directory, creating it if it is missing.
    pub fn open(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        let dir = held.data_dir.join("db");
        Self::open_settled(held, options)
            .map_err(|error| compaction_files::with_fallback(error, &dir))
    }

    fn open_settled(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        let DataDirLock { lock, data_dir } = held;
        let data_dir = data_dir.as_path();
        check_no_restore(data_dir)?;
        let dir = data_dir.join("db");
        compaction_files::finish_or_undo(&dir)?;
        let in_use = data_dir.join(IN_USE);
        let was_used = in_use.try_exists().map_err(at(&in_use))?;
        let log_path = dir.join("db");
        // Before sled creates an empty log.
        if was_used && !log_path.try_exists().map_err(at(&log_path))? {
            return Err(OpenError::Gone { path: dir, marker: in_use });
        }
        settle_snapshots(data_dir, &dir).map_err(at(&dir))?;
        remove_unfinished_settings(&dir).map_err(at(&dir))?;
        unsynced::rewrite_log(data_dir)
            .map_err(|cause| OpenError::Unsynced { path: log_path.clone(), cause })?;
        let was_interrupted = opening_mark::was_interrupted(data_dir).map_err(at(data_dir))?;
        check_holes(data_dir, &dir, was_interrupted)?;
        let acknowledged =
            Acknowledged::open(data_dir).map_err(at(&data_dir.join(ACKNOWLEDGED)))?;
        opening_mark::set(data_dir).map_err(at(data_dir))?;
        let opened = open_sled(|dir| settings(dir, options), &dir, was_interrupted);
        let db = opened.inspect_err(|error| Self::clean_up_failed_opening(data_dir, error))?;
        // Must come first: if the new snapshot's name were lost, what sled has overwritten would be
        // missing.
        let synced = sync_directory(&dir).inspect_err(|_| std::mem::forget(db.clone()));
        synced.map_err(at(&dir))?;
        let disk = Self::take_over(db, &dir, lock, options, acknowledged).map_err(at(&log_path))?;
        disk.sync_or_poison().map_err(at(&log_path))?;
        opening_mark::clear(data_dir).map_err(at(data_dir))?;
        if was_used && disk.db.is_empty() {
            return Err(OpenError::Gone { path: dir, marker: in_use });
        }
        disk.check_acknowledged()?;
        // Not earlier: the old database is the fallback if this one does not open or is empty.
        compaction_files::remove_others(&dir).map_err(at(data_dir))?;
        let conf = dir.join("conf");
        File::open(&conf).and_then(|file| file.sync_all()).map_err(at(&conf))?;
        for made in [dir.as_path(), data_dir, parent(data_dir)] {
            sync_directory(made).map_err(at(made))?;
        }
        if !was_used && !disk.db.is_empty() {
            write_private(&in_use, "").map_err(at(&in_use))?;
        }
        Ok(disk)
    }

    /// Cleans up after a failed opening. Opening writes, so a failed write leaves what a power cut
    /// would, and the markers stay. Any other reason that keeps sled closed is not the fault of
    /// this opening, and its marker is removed.
    fn clean_up_failed_opening(data_dir: &Path, error: &OpenError) {
        if matches!(error, OpenError::Sled { cause: sled::Error::Io(..), .. }) {
            unsynced::mark_unsynced(data_dir);
        } else if let Err(error) = sync_directory(&data_dir.join("db"))
            .or_else(ignore_missing)
            .and_then(|()| opening_mark::clear(data_dir))
        {
            log::warn!("{}: {error}", data_dir.display());
        }
    }

    /// Takes over an open database. From here on it is always closed by [`Disk::settle`].
    fn take_over(
        db: sled::Db,
        dir: &Path,
        lock: Arc<File>,
        options: Options,
        acknowledged: Acknowledged,
    ) -> io::Result<Self> {
        let held = open_to_lock(&dir.join("db")).and_then(|log| Ok((log, Watchdog::start(&db)?)));
        let (log, watchdog) = held.inspect_err(|_| std::mem::forget(db.clone()))?;
        let space = FreeSpace { dir: dir.to_owned(), floor_bytes: options.min_free_bytes };
        let (tree, settled) = ((*db).clone(), AtomicBool::new(false));
        Ok(Self { watchdog, db, tree, log, space, lock, options, settled, acknowledged })
    }

    /// Closes everything except the lock, and returns once sled has released its files: until then
    /// its threads may be writing a snapshot, by name, into what would be another directory.
    pub fn release(self) -> io::Result<(DataDirLock, Options)> {
        let (lock, options, data_dir) = (self.lock(), self.options, self.data_dir().to_owned());
        let log = self.log.try_clone()?;
        self.close()?;
        log.lock()?;
        Ok((DataDirLock { lock, data_dir }, options))
    }

    /// Closes the database and returns any error.
    pub fn close(self) -> io::Result<()> {
        self.settle()?;
        let data_dir = self.data_dir().to_owned();
        crate::store::sled::flush_watchdog::close_catching_panic(self)
            .inspect_err(|_| unsynced::mark_unsynced(&data_dir))
    }

    /// Starts the watchdog over the writer's work until the guard is dropped.
    pub fn watch_guard(&self) -> WatchGuard {
        self.watchdog.guard()
    }

    pub fn tree(&self) -> &sled::Tree {
        &self.tree
    }

    pub fn space(&self) -> &FreeSpace {
        &self.space
    }

    pub fn options(&self) -> Options {
        self.options
    }

    /// Returns the lock on the directory, to be held by everything that holds sled open.
    pub fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        parent(&self.space.dir)
    }

    /// Marks the data directory as one whose database holds rows.
    pub fn mark_in_use(&self) -> io::Result<()> {
        mark_in_use(self.data_dir())
    }

    /// Applies all writes atomically and returns once they would survive a power cut.
    pub fn apply(&self, writes: WriteSet) -> io::Result<()> {
        let write = || {
            self.tree.apply_batch(writes.into_batch())?;
            self.sync()
        };
        self.watchdog.during(write).inspect_err(|_| self.poison())
    }

    /// Fails if the database ends before the last acknowledged change. An empty one is new: whether
    /// it may be has been checked before. Rows count as well as the head: whether the head matches
    /// them takes the audit key to tell.
    fn check_acknowledged(&self) -> Result<(), OpenError> {
        // Unreadable rows are reported when they are needed; they do not make the database older.
        let Ok(newest) = newest_audit_row(&self.db) else { return Ok(()) };
        let marker = self.data_dir().join(ACKNOWLEDGED);
        let acknowledged = self.acknowledged.newest().map_err(at(&marker))?;
        if newest < acknowledged && !self.db.is_empty() {
            let path = self.space.dir.clone();
            return Err(OpenError::Lost { path, newest, acknowledged, marker });
        }
        // The rows may be forged, so their number is not recorded; the next change's will be.
        Ok(())
    }

    /// Records that everything up to this audit row is durable. Must be called before anyone is
    /// answered. Without the record the rows are just as durable, but less damage would be noticed.
    pub fn acknowledge(&self, seq: u64) {
        if let Err(error) = self.acknowledged.note(seq) {
            log::warn!("{ACKNOWLEDGED}, in {}: {error}", self.data_dir().display());
        }
    }

    /// Syncs for the last time, before closing. sled would do the same as it closes, and panic
    /// where this returns an error. It runs once: a sync after a failed one proves nothing.
    pub fn settle(&self) -> io::Result<()> {
        if self.settled.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.sync_or_poison()
    }

    fn sync_or_poison(&self) -> io::Result<()> {
        self.watchdog.during(|| self.sync()).inspect_err(|_| self.poison())
    }

    /// Makes the database unusable after a failure. On closing, sled would write and sync again,
    /// and panic or hang if it cannot. So it stays open until the process exits.
    fn poison(&self) {
        self.settled.store(true, Ordering::Release);
        std::mem::forget(self.db.clone());
        unsynced::mark_unsynced(self.data_dir());
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush()?;
        self.log.sync_data()
    }
}

impl Drop for Disk {
    /// Closes the database for callers that did not call [`Disk::close`], such as readers.
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            log::error!("the database could not be closed: {error}");
        }
    }
}

/// Fails if sled would skip a damaged part of its log and continue after it. An operator who
/// removes the record of acknowledged changes accepts that.
fn check_holes(data_dir: &Path, dir: &Path, was_interrupted: bool) -> Result<(), OpenError> {
    let marker = data_dir.join(ACKNOWLEDGED);
    if was_interrupted || !marker.try_exists().map_err(at(&marker))? {
        return Ok(());
    }
    match find_hole(dir).map_err(at(dir))? {
        Some(at) => Err(OpenError::Hole { path: dir.to_owned(), at, marker }),
        None => Ok(()),
    }
}

/// Returns the number of the last audit row, or the one that the head names if that is greater.
fn newest_audit_row(tree: &sled::Tree) -> Result<u64, sled::Error> {
    let last = tree_range(tree, &[AuditRows::PREFIX]).next_back().transpose()?;
    let last = last.and_then(|(key, _)| AuditRows::decode(&key[1..])).unwrap_or(0);
    let head = tree.get(full_key::<AuditHead>(&()))?;
    let head = head.and_then(|row| row::decode::<AuditHead>(&row).ok());
    Ok(head.map_or(0, |row| row.head().seq).max(last))
}
