//! The data directory and what sled 0.34 does not do for us.
//!
//! ```text
//! <data dir>/lock       held (flock) while a server runs
//! <data dir>/in-use     there is a database to lose
//! <data dir>/restoring  a restore that is not finished; see `load`
//! <data dir>/unsynced   a write or sync has failed; the next start takes care of it
//! <data dir>/db/db      sled's log: all rows
//! <data dir>/db/conf    sled's settings
//! <data dir>/db/snap.*  sled's cache of its page table
//! <data dir>/db.new     a compaction that is not finished; see `compact`
//! <data dir>/db.old     what a compaction has replaced
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
//!   cache; and without it a damaged log opens in an older state. See [`open_sled`].
//! * Its background flusher logs errors instead of returning them: switched off.
//! * A write that fails in one of its threads is told to nobody; `watch` asks.
//! * Closing it writes and syncs, and panics when that fails. After a failure it
//!   stays open until the process ends.
//!
//! And one about the system, for which see `unsynced`: after a sync that failed,
//! what is read from a file need not be on the disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::overlay::Overlay;
use super::watch::Watch;
use super::{Unavailable, compact, unsynced};

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

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another coffer server; stop that one or choose another directory")]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error(
        "{path}, of the data directory: {cause}. Check that it is a directory that this user may write."
    )]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
    /// The log is damaged: without the snapshot only an older state opens.
    #[error(
        "the log of the database in {path} is damaged: it can be read up to {readable} of {reached} bytes. Restore a backup. To go on with the older state that can still be read, keep a copy and move the snap.* files away."
    )]
    LogDamaged {
        /// sled's directory.
        path: PathBuf,
        /// How far it can be read.
        readable: u64,
        /// How far it had been read before.
        reached: u64,
    },
    /// A restore was cut off, and nothing was in its place yet.
    #[error(
        "a restore into {} was cut off. Run it again, or remove {path}.", parent(path).display()
    )]
    Restoring {
        /// What it left.
        path: PathBuf,
    },
    /// There is none, and none may be made.
    #[error("there is no database in {path}")]
    None {
        /// The data directory.
        path: PathBuf,
    },
    /// There was a database, and there is none.
    #[error(
        "the database in {path} is empty, but there was one. Restore its files or a backup; to begin anew, remove {marker}."
    )]
    Gone {
        /// sled's directory.
        path: PathBuf,
        /// The file that says so.
        marker: PathBuf,
    },
    /// sled refused.
    #[error(
        "the database in {path} does not open: {cause}. Restore a backup, or keep the directory and ask for help."
    )]
    Sled {
        /// sled's directory.
        path: PathBuf,
        /// What it said.
        cause: sled::Error,
    },
}

/// That there is, or was, a database: opening one makes it.
fn must_exist(data_dir: &Path) -> Result<(), OpenError> {
    for path in [data_dir.join("db"), data_dir.join(IN_USE)] {
        if path.try_exists().map_err(|cause| OpenError::Io { path, cause })? {
            return Ok(());
        }
    }
    Err(OpenError::None { path: data_dir.to_owned() })
}

/// See [`Disk::mark_in_use`].
pub(super) fn mark_in_use(data_dir: &Path) -> io::Result<()> {
    super::write_private(&data_dir.join(IN_USE), "")
}

/// The open files. Whoever owns this is the writer.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    tree: sled::Tree,
    log: File,
    space: FreeSpace,
    watch: Watch,
    lock: Arc<File>,
    options: Options,
}

/// A data directory that no other process works on as long as this is kept.
#[derive(Debug)]
pub struct Held {
    lock: Arc<File>,
    data_dir: PathBuf,
}

impl Held {
    /// Makes the directory if need be, and locks it.
    pub fn take(data_dir: &Path) -> Result<Self, OpenError> {
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
    pub fn take_existing(data_dir: &Path) -> Result<Self, OpenError> {
        must_exist(data_dir)?;
        Self::take(data_dir)
    }
}

/// What the file system refused, and about which path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |cause| OpenError::Io { path, cause }
}

/// How sled is to work.
pub(super) fn settings(dir: &Path, options: Options) -> sled::Config {
    sled::Config::new()
        .path(dir)
        .cache_capacity(options.cache_bytes)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput)
}

impl Disk {
    /// Opens (or makes) the database of a directory that is held.
    pub fn open(held: Held, options: Options) -> Result<Self, OpenError> {
        let Held { lock, data_dir } = held;
        let data_dir = data_dir.as_path();
        super::load::none_is_under_way(data_dir)?;
        let dir = data_dir.join("db");
        compact::settle(&dir).map_err(at(data_dir))?;
        remove_unfinished_snapshots(&dir).map_err(at(&dir))?;
        remove_unfinished_settings(&dir).map_err(at(&dir))?;
        unsynced::rewrite_log(data_dir).map_err(at(&dir.join("db")))?;
        let db = open_sled(|dir| settings(dir, options), &dir).inspect_err(|error| {
            // Opening writes, too.
            if matches!(error, OpenError::Sled { cause: sled::Error::Io(..), .. }) {
                unsynced::leave_word(data_dir);
            }
        })?;
        let in_use = data_dir.join(IN_USE);
        let was_used = in_use.try_exists().map_err(at(&in_use))?;
        if was_used && db.is_empty() {
            return Err(OpenError::Gone { path: dir, marker: in_use });
        }
        // Not before: it is the way back if the new one does not open.
        compact::remove_old(&dir).map_err(at(data_dir))?;
        let log_path = dir.join("db");
        let log = File::open(&log_path).map_err(at(&log_path))?;
        let conf = dir.join("conf");
        File::open(&conf).and_then(|file| file.sync_all()).map_err(at(&conf))?;
        for made in [dir.as_path(), data_dir, parent(data_dir)] {
            sync_directory(made).map_err(at(made))?;
        }
        if !was_used && !db.is_empty() {
            super::write_private(&in_use, "").map_err(at(&in_use))?;
        }
        let watch = Watch::over(&db).map_err(at(&dir))?;
        let space = FreeSpace { dir, floor_bytes: options.min_free_bytes };
        Ok(Self { tree: (*db).clone(), db, log, space, watch, lock, options })
    }

    /// Closes everything but the lock, and returns when sled has let go of its
    /// files: its threads may still be writing a snapshot, by name, into what
    /// would then be another directory.
    pub fn release(self) -> io::Result<(Held, Options)> {
        self.settle()?;
        let Self { db, tree, log, space, watch, lock, options } = self;
        drop((watch, db, tree));
        log.lock()?;
        let data_dir = parent(&space.dir).to_owned();
        Ok((Held { lock, data_dir }, options))
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
    pub fn apply(&self, writes: Overlay) -> io::Result<()> {
        let write = || {
            self.tree.apply_batch(writes.into_batch())?;
            self.sync()
        };
        self.watch.during(write).inspect_err(|_| self.give_up())
    }

    /// Before closing. sled would do the same as it closes, and panic where this
    /// returns an error.
    pub fn settle(&self) -> io::Result<()> {
        self.watch.during(|| self.sync()).inspect_err(|_| self.give_up())
    }

    /// After a failure. Closing it, sled would write and sync once more, and panic
    /// or wait for ever when it cannot. So it stays open until the process ends.
    fn give_up(&self) {
        std::mem::forget(self.db.clone());
        unsynced::leave_word(self.data_dir());
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush()?;
        self.log.sync_data()
    }
}

/// Watches how much room is left.
#[derive(Debug, Clone)]
pub(super) struct FreeSpace {
    pub dir: PathBuf,
    pub floor_bytes: u64,
}

/// How much a change may take of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// What lies above the floor.
    Common,
    /// Down to half of it: for records of what was refused, which anybody with
    /// a credential can bring about.
    Refusals,
    /// Down to a quarter of it: for what makes room or must be recorded.
    Reserve,
}

impl FreeSpace {
    /// How many bytes are left; none, when that cannot be told.
    pub fn left(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.dir);
        stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether a change may be made when so much is left.
    pub fn check(&self, left: u64, share: Share) -> Result<(), Unavailable> {
        let floor = match share {
            Share::Common => self.floor_bytes,
            Share::Refusals => self.floor_bytes / 2,
            Share::Reserve => self.floor_bytes / 4,
        };
        if left >= floor { Ok(()) } else { Err(Unavailable::DiskNearlyFull) }
    }
}

/// Opens sled. Its snapshots are a cache of what its log says, so one that is
/// damaged is no reason to stay closed. But sled says the same of a damaged log,
/// and without the snapshots it would open as much of that as it can read, an
/// older state, as if nothing had happened. So a copy is tried first: a snapshot
/// is named after the place up to which the log had been read, and the copy must
/// come as far as that without it. Only then are the snapshots set aside.
fn open_sled(config: impl Fn(&Path) -> sled::Config, dir: &Path) -> Result<sled::Db, OpenError> {
    let sled = |cause| OpenError::Sled { path: dir.to_owned(), cause };
    let cause = match config(dir).open() {
        Err(cause @ sled::Error::Corruption { .. }) => cause,
        opened => return opened.map_err(sled),
    };
    let io = |cause| OpenError::Io { path: dir.to_owned(), cause };
    let reached = last_snapshot(dir).map_err(io)?;
    if reached == 0 {
        return Err(sled(cause));
    }
    let trial = dir.with_extension("trial");
    let tried = try_without_snapshots(&config, dir, &trial);
    fs::remove_dir_all(&trial).or_else(ignore_missing).map_err(io)?;
    let readable = tried.map_err(io)?.ok_or_else(|| sled(cause.clone()))?;
    if readable < reached {
        return Err(OpenError::LogDamaged { path: dir.to_owned(), readable, reached });
    }
    let aside = unused_name(dir);
    fs::create_dir(&aside).map_err(io)?;
    for snapshot in snapshots(dir).map_err(io)? {
        let name = snapshot.file_name().expect("a file that was listed has a name");
        fs::rename(&snapshot, aside.join(name)).map_err(io)?;
    }
    log::error!(
        "sled's snapshot is damaged ({cause}); its log is whole, so nothing is lost; the snapshot is set aside in {}",
        aside.display()
    );
    config(dir).open().map_err(sled)
}

/// How far a copy of the log can be read; `None` when it does not open at all.
fn try_without_snapshots(
    config: &impl Fn(&Path) -> sled::Config,
    dir: &Path,
    trial: &Path,
) -> io::Result<Option<u64>> {
    fs::remove_dir_all(trial).or_else(ignore_missing)?;
    fs::create_dir(trial)?;
    for name in ["db", "conf"] {
        fs::copy(dir.join(name), trial.join(name))?;
    }
    match config(trial).open() {
        // Opening writes a snapshot, and thereby says how far it came.
        Ok(_) => last_snapshot(trial).map(Some),
        Err(error) => {
            log::error!("without its snapshot the log does not open either: {error}");
            Ok(None)
        }
    }
}

pub(super) fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The place in the log that the newest snapshot stands for, 0 without one.
fn last_snapshot(dir: &Path) -> io::Result<u64> {
    let place = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok()
    };
    Ok(snapshots(dir)?.iter().filter_map(place).max().unwrap_or(0))
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A name beside sled's directory that is not taken.
fn unused_name(dir: &Path) -> PathBuf {
    (1..)
        .map(|n: u32| dir.with_extension(format!("damaged.{n}")))
        .find(|path| !path.exists())
        .expect("there are more numbers than directories")
}

/// Makes a directory with all that lead to it, each of them durable.
pub(super) fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent(dir);
    if parent != dir {
        make_directory(parent)?;
    }
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            log::info!("removing a snapshot that was not finished: {}", path.display());
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// sled's settings without a log: a first start that was cut off.
fn remove_unfinished_settings(dir: &Path) -> io::Result<()> {
    let settings = dir.join("conf");
    match fs::metadata(dir.join("db")) {
        Ok(log) if log.len() > 0 => return Ok(()),
        // Where there is a snapshot there was a log.
        _ if last_snapshot(dir).unwrap_or(0) > 0 => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::remove_file(settings) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
