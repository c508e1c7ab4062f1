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
//! * Its background flusher logs errors instead of returning them: switched off.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

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
    #[error("{path}: {cause}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
    /// sled refused.
    #[error("the database in {path} does not open: {cause}")]
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
    _lock: File,
}

impl Disk {
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |cause| OpenError::Io { path, cause }
        };
        fs::create_dir_all(data_dir).map_err(at(data_dir))?;
        let lock_path = data_dir.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: data_dir.to_owned() },
            TryLockError::Error(cause) => at(&lock_path)(cause),
        })?;

        let dir = data_dir.join("db");
        remove_unfinished_snapshots(&dir).map_err(at(&dir))?;
        let db = sled::Config::new()
            .path(&dir)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput)
            .open()
            .map_err(|cause| OpenError::Sled { path: dir.clone(), cause })?;
        let log_path = dir.join("db");
        let log = File::open(&log_path).map_err(at(&log_path))?;
        for made in [dir.as_path(), data_dir, parent(data_dir)] {
            sync_directory(made).map_err(at(made))?;
        }
        let space = FreeSpace { dir, floor_bytes: options.min_free_bytes };
        Ok(Self { tree: (*db).clone(), db, log, space, _lock: lock })
    }

    pub fn tree(&self) -> &sled::Tree {
        &self.tree
    }

    pub fn space(&self) -> &FreeSpace {
        &self.space
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

impl FreeSpace {
    /// Refuses when less than the floor is left, or when that cannot be told.
    pub fn check(&self) -> Result<(), Unavailable> {
        match rustix::fs::statvfs(&self.dir) {
            Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) >= self.floor_bytes => Ok(()),
            _ => Err(Unavailable::DiskNearlyFull),
        }
    }
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
