//! The data directory and what sled 0.34 does not do for us.
//!
//! ```text
//! <data dir>/lock       held (flock) while a server runs
//! <data dir>/db/db      sled's log: all rows
//! <data dir>/db/conf    sled's settings
//! <data dir>/db/snap.*  sled's cache of its page table
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
//!   cache. Set aside, after the directory was copied; see [`open_sled`].
//! * Its background flusher logs errors instead of returning them: switched off.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Unavailable;
use super::overlay::Overlay;

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

/// The open files. Whoever owns this is the writer.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    tree: sled::Tree,
    log: File,
    space: FreeSpace,
    lock: Arc<File>,
}

impl Disk {
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { path, cause }
        };
        make_directory(data_dir).map_err(at(data_dir))?;
        let lock_path = data_dir.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: data_dir.to_owned() },
            TryLockError::Error(cause) => at(&lock_path)(cause),
        })?;

        let dir = data_dir.join("db");
        remove_unfinished_snapshots(&dir).map_err(at(&dir))?;
        remove_unfinished_settings(&dir).map_err(at(&dir))?;
        let config = sled::Config::new()
            .path(&dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let db = open_sled(&config, &dir)?;
        let log_path = dir.join("db");
        let log = File::open(&log_path).map_err(at(&log_path))?;
        let settings = dir.join("conf");
        File::open(&settings).and_then(|file| file.sync_all()).map_err(at(&settings))?;
        for made in [dir.as_path(), data_dir] {
            sync_directory(made).map_err(at(made))?;
        }
        let space = FreeSpace { dir, floor_bytes: options.min_free_bytes };
        Ok(Self { tree: (*db).clone(), db, log, space, lock: Arc::new(lock) })
    }

    pub fn tree(&self) -> &sled::Tree {
        &self.tree
    }

    pub fn space(&self) -> &FreeSpace {
        &self.space
    }

    /// The lock on the directory. Whoever keeps sled open keeps this, too.
    pub fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Applies everything at once and returns when it would survive a power cut.
    pub fn apply(&self, writes: Overlay) -> io::Result<()> {
        self.tree.apply_batch(writes.into_batch())?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.db.flush()?;
        self.log.sync_data()
    }
}

/// Watches how much room is left.
#[derive(Debug, Clone)]
pub(super) struct FreeSpace {
    dir: PathBuf,
    floor_bytes: u64,
}

/// How much a change may take of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// What lies above the floor.
    Common,
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
            Share::Reserve => self.floor_bytes / 4,
        };
        if left >= floor { Ok(()) } else { Err(Unavailable::DiskNearlyFull) }
    }
}

/// Opens sled. Its snapshots are a cache of what its log says, so one that is
/// damaged is no reason to stay closed: the directory is copied as it is, the
/// snapshots are moved into the copy's place, and the log alone is tried once.
fn open_sled(config: &sled::Config, dir: &Path) -> Result<sled::Db, OpenError> {
    let sled = |cause| OpenError::Sled { path: dir.to_owned(), cause };
    let cause = match config.open() {
        Err(cause @ sled::Error::Corruption { .. }) => cause,
        opened => return opened.map_err(sled),
    };
    let io = |cause| OpenError::Io { path: dir.to_owned(), cause };
    let snapshots = snapshots(dir).map_err(io)?;
    if snapshots.is_empty() {
        return Err(sled(cause));
    }
    let copy = copy_aside(dir).map_err(io)?;
    log::error!(
        "the database does not open ({cause}); a copy of it as it was is in {}; trying again without its snapshots, which are only a cache",
        copy.display()
    );
    for snapshot in snapshots {
        fs::remove_file(snapshot).map_err(io)?;
    }
    config.open().map_err(sled)
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

/// Copies the files of sled's directory into a new one beside it.
fn copy_aside(dir: &Path) -> io::Result<PathBuf> {
    let copy = (1..)
        .map(|n: u32| dir.with_extension(format!("damaged.{n}")))
        .find(|path| !path.exists())
        .expect("there are more numbers than directories");
    fs::create_dir(&copy)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
    }
    Ok(copy)
}

/// Makes a directory with all that lead to it, each of them durable.
fn make_directory(dir: &Path) -> io::Result<()> {
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
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::remove_file(settings) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
