//! The data directory and what sled 0.34 does not do for us.
//!
//! ```text
//! <data dir>/lock       held (flock) while a server runs
//! <data dir>/in-use     there is a database to lose
//! <data dir>/acknowledged  how far it has been answered for; see `acknowledged`
//! <data dir>/restoring  a restore that is not finished; see `load`
//! <data dir>/unsynced   a write or sync has failed; the next start takes care of it
//! <data dir>/opening    sled opens; see `opening`
//! <data dir>/db/db      sled's log: all rows
//! <data dir>/db/conf    sled's settings
//! <data dir>/db/snap.*  sled's cache of its page table
//! <data dir>/db.new     a compaction that is not finished; see `compact`
//! <data dir>/db.old     what a compaction has replaced
//! <data dir>/db.removed likewise, as it is removed
//! ```
//!
//! Facts about sled 0.34.7 that the code below answers to, each found by
//! reading its source or by cutting the power in an experiment:
//!
//! * `flush` ends in `sync_file_range`, which says nothing about the drive's
//!   cache or the file's length. [`Disk::apply`] adds an fdatasync of `db`.
//! * It never syncs the directories it makes, so a new database may be gone
//!   after a power cut. [`Disk::open`] does it.
//! * A crash while it writes `snap.*.generating` leaves a file that it takes
//!   for the newest snapshot and then refuses to open. Removed before opening.
//! * It writes `conf` in two steps and never syncs it; a first start cut off
//!   in between leaves a half that it will not open. Without a log behind it
//!   the file says nothing and is removed; after opening it is synced.
//! * A snapshot that is damaged keeps it from opening, although it is only a
//!   cache; and without it a damaged log opens in an older state. See `opening`.
//! * Damage behind the snapshot it takes for the end of the log. See `acknowledged`.
//! * Its background flusher logs errors instead of returning them: switched off.
//! * A write that fails in one of its threads is told to nobody; `watch` asks.
//! * Closing it writes and syncs, and panics when that fails. After a failure, and
//!   in a process that ends anyway, it stays open until then.
//!
//! And one about the system (see `unsynced`): what a failed sync was about can be read.

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
use crate::store::sled::holes::hole;
use crate::store::sled::open_error::{OpenError, at};
use crate::store::sled::open_sled::{open_sled, remove_unfinished_settings};
use crate::store::sled::restoring_mark::none_is_under_way;
use crate::store::sled::snapshots::settle_snapshots;
use crate::store::sled::{compaction_files, opening_mark, unsynced};

/// Stands in the data directory as soon as there is something to lose. An empty
/// database beside it is one whose files are gone, not a new one.
pub const IN_USE: &str = "in-use";

/// What a caller may choose about the database.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// sled's page cache, in bytes.
    pub cache_bytes: u64,
    /// Free space below which no write is taken, in bytes. sled cannot go on
    /// after a full disk, so it must never meet one.
    pub min_free_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 32 << 20, min_free_bytes: 64 << 20 }
    }
}

/// That there is, or was, a database: opening one makes it.
fn must_exist(data_dir: &Path) -> Result<(), OpenError> {
    for path in [data_dir.join("db"), data_dir.join(IN_USE)] {
        if path.try_exists().map_err(|cause| OpenError::Io { path, cause })? {
            return Ok(());
        }
    }
    // What keeps a server out is a better answer than that there is nothing.
    none_is_under_way(data_dir)?;
    Err(OpenError::None { path: data_dir.to_owned() })
}

/// See [`Disk::mark_in_use`].
pub(in crate::store) fn mark_in_use(data_dir: &Path) -> io::Result<()> {
    write_private(&data_dir.join(IN_USE), "")
}

/// The open files. Whoever owns this is the writer.
#[derive(Debug)]
pub(in crate::store) struct Disk {
    // Lets go of sled before the others do: it ends the thread that would close it.
    watchdog: Watchdog,
    db: sled::Db,
    tree: sled::Tree,
    log: File,
    space: FreeSpace,
    lock: Arc<File>,
    options: Options,
    /// Nothing is to be written or synced any more: that is done, or has failed.
    settled: AtomicBool,
    acknowledged: Acknowledged,
}

/// A data directory that no other process works on as long as this is kept.
#[derive(Debug)]
pub struct DataDirLock {
    lock: Arc<File>,
    data_dir: PathBuf,
}

impl DataDirLock {
    /// Makes the directory if need be, and locks it.
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

    /// Likewise, but only where there is a database.
    pub fn acquire_existing(data_dir: &Path) -> Result<Self, OpenError> {
        must_exist(data_dir)?;
        Self::acquire(data_dir)
    }
}

/// How sled is to work.
pub(in crate::store) fn settings(dir: &Path, options: Options) -> sled::Config {
    sled::Config::new()
        .path(dir)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput)
}

impl Disk {
    /// Opens (or makes) the database of a directory that is held.
    pub fn open(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        let dir = held.data_dir.join("db");
        Self::open_settled(held, options)
            .map_err(|error| compaction_files::with_way_back(error, &dir))
    }

    fn open_settled(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        let DataDirLock { lock, data_dir } = held;
        let data_dir = data_dir.as_path();
        none_is_under_way(data_dir)?;
        let dir = data_dir.join("db");
        compaction_files::settle(&dir)?;
        let in_use = data_dir.join(IN_USE);
        let was_used = in_use.try_exists().map_err(at(&in_use))?;
        let log_path = dir.join("db");
        // Before sled makes an empty one.
        if was_used && !log_path.try_exists().map_err(at(&log_path))? {
            return Err(OpenError::Gone { path: dir, marker: in_use });
        }
        settle_snapshots(data_dir, &dir).map_err(at(&dir))?;
        remove_unfinished_settings(&dir).map_err(at(&dir))?;
        unsynced::rewrite_log(data_dir)
            .map_err(|cause| OpenError::Unsynced { path: log_path.clone(), cause })?;
        let was_cut_off = opening_mark::was_cut_off(data_dir).map_err(at(data_dir))?;
        has_no_hole(data_dir, &dir, was_cut_off)?;
        let acknowledged =
            Acknowledged::open(data_dir).map_err(at(&data_dir.join(ACKNOWLEDGED)))?;
        opening_mark::begins(data_dir).map_err(at(data_dir))?;
        let opened = open_sled(|dir| settings(dir, options), &dir, was_cut_off);
        let db = opened.inspect_err(|error| Self::is_refused(data_dir, error))?;
        // First of all: without the new snapshot's name, what sled has overwritten
        // would be missing.
        let synced = sync_directory(&dir).inspect_err(|_| std::mem::forget(db.clone()));
        synced.map_err(at(&dir))?;
        let disk = Self::over(db, &dir, lock, options, acknowledged).map_err(at(&log_path))?;
        disk.sync_or_poison().map_err(at(&log_path))?;
        opening_mark::is_over(data_dir).map_err(at(data_dir))?;
        if was_used && disk.db.is_empty() {
            return Err(OpenError::Gone { path: dir, marker: in_use });
        }
        disk.reaches_what_was_acknowledged()?;
        // Not before: it is the way back if this one does not open, or is empty.
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

    /// Opening writes, too. A write that fails leaves what a power cut does, so then
    /// the marker stays; and what else keeps sled closed is no fault of this opening.
    fn is_refused(data_dir: &Path, error: &OpenError) {
        if matches!(error, OpenError::Sled { cause: sled::Error::Io(..), .. }) {
            unsynced::mark_unsynced(data_dir);
        } else if let Err(error) = sync_directory(&data_dir.join("db"))
            .or_else(ignore_missing)
            .and_then(|()| opening_mark::is_over(data_dir))
        {
            log::warn!("{}: {error}", data_dir.display());
        }
    }

    /// Takes charge of a database that is open. From here on it is closed by
    /// [`Disk::settle`], whatever happens.
    fn over(
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

    /// Closes everything but the lock, and returns when sled has let go of its
    /// files: its threads may still be writing a snapshot, by name, into what
    /// would then be another directory.
    pub fn release(self) -> io::Result<(DataDirLock, Options)> {
        let (lock, options, data_dir) = (self.lock(), self.options, self.data_dir().to_owned());
        let log = self.log.try_clone()?;
        self.close()?;
        log.lock()?;
        Ok((DataDirLock { lock, data_dir }, options))
    }

    /// Closes it, for those who want to know whether that has worked.
    pub fn close(self) -> io::Result<()> {
        self.settle()?;
        let data_dir = self.data_dir().to_owned();
        crate::store::sled::flush_watchdog::close_catching_panic(self)
            .inspect_err(|_| unsynced::mark_unsynced(&data_dir))
    }

    /// Keeps the watch over what the writer does, until this is dropped.
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

    /// The lock on the directory. Whoever keeps sled open keeps this, too.
    pub fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        parent(&self.space.dir)
    }

    /// Says, on disk, that there is something to lose from now on.
    pub fn mark_in_use(&self) -> io::Result<()> {
        mark_in_use(self.data_dir())
    }

    /// Applies everything at once and returns when it would survive a power cut.
    pub fn apply(&self, writes: WriteSet) -> io::Result<()> {
        let write = || {
            self.tree.apply_batch(writes.into_batch())?;
            self.sync()
        };
        self.watchdog.during(write).inspect_err(|_| self.poison())
    }

    /// That the database reaches as far as changes were acknowledged. An empty one
    /// is new: whether there may be one is asked before. Rows count and not only the
    /// head: that the head fits them is for who has the key.
    fn reaches_what_was_acknowledged(&self) -> Result<(), OpenError> {
        // What cannot be read is said when it is needed; it is not known to be older.
        let Ok(newest) = newest_audit_row(&self.db) else { return Ok(()) };
        let marker = self.data_dir().join(ACKNOWLEDGED);
        let acknowledged = self.acknowledged.newest().map_err(at(&marker))?;
        if newest < acknowledged && !self.db.is_empty() {
            let path = self.space.dir.clone();
            return Err(OpenError::Lost { path, newest, acknowledged, marker });
        }
        // What is there may be forged, so it is not noted: the next change will be.
        Ok(())
    }

    /// Before anybody is told that what was applied up to this audit row is on
    /// the disk. It is so without this, too; but less damage is noticed.
    pub fn acknowledge(&self, seq: u64) {
        if let Err(error) = self.acknowledged.note(seq) {
            log::warn!("{ACKNOWLEDGED}, in {}: {error}", self.data_dir().display());
        }
    }

    /// Before closing. sled would do the same as it closes, and panic where this
    /// returns an error. Once: a sync that comes after a failed one says nothing.
    pub fn settle(&self) -> io::Result<()> {
        if self.settled.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.sync_or_poison()
    }

    fn sync_or_poison(&self) -> io::Result<()> {
        self.watchdog.during(|| self.sync()).inspect_err(|_| self.poison())
    }

    /// After a failure. Closing it, sled would write and sync once more, and panic
    /// or wait for ever when it cannot. So it stays open until the process ends.
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
    /// For those who do not ask: readers, and whoever did not get as far.
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            log::error!("the database could not be closed: {error}");
        }
    }
}

/// That sled will not leave out a piece of its log and go on behind it. Whoever
/// has removed the note of what was acknowledged wants that.
fn has_no_hole(data_dir: &Path, dir: &Path, was_cut_off: bool) -> Result<(), OpenError> {
    let marker = data_dir.join(ACKNOWLEDGED);
    if was_cut_off || !marker.try_exists().map_err(at(&marker))? {
        return Ok(());
    }
    match hole(dir).map_err(at(dir))? {
        Some(at) => Err(OpenError::Hole { path: dir.to_owned(), at, marker }),
        None => Ok(()),
    }
}

/// The number of the last audit row, or of the one that the head names.
fn newest_audit_row(tree: &sled::Tree) -> Result<u64, sled::Error> {
    let last = tree_range(tree, &[AuditRows::PREFIX]).next_back().transpose()?;
    let last = last.and_then(|(key, _)| AuditRows::decode(&key[1..])).unwrap_or(0);
    let head = tree.get(full_key::<AuditHead>(&()))?;
    let head = head.and_then(|row| row::decode::<AuditHead>(&row).ok());
    Ok(head.map_or(0, |row| row.head().seq).max(last))
}
