//! An open database that has no writer yet: it can be read, compacted and closed.
//!
//! Owns: the step from a directory to a `Store`.
//! Must never: change a row.
//! Called by: `server` and `cli`, before a key is known; `vault`, which starts the writer.

use std::path::Path;
use std::sync::Arc;

use crate::audit::Chain;
use crate::store::database::Store;
use crate::store::revisions::Revisions;
use crate::store::rows::view::{self, ReadError, View};
use crate::store::sled::compact::{self, CompactError, Compacted, Usage};
use crate::store::sled::disk::{DataDirLock, Disk, Options};
use crate::store::sled::open_error::OpenError;
use crate::store::writer::thread::Writer;

/// An open database without a writer, as it exists until the keys are known. It can be read but not
/// changed.
#[derive(Debug)]
pub struct Opened {
    disk: Disk,
}

impl Opened {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk }
    }

    /// Opens the database in `data_dir` and locks it, creating both if they are missing.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(DataDirLock::acquire(data_dir)?, options)
    }

    /// Opens an existing database; fails with `OpenError::None` if there is none.
    pub fn open_existing(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(DataDirLock::acquire_existing(data_dir)?, options)
    }

    /// Opens the database in a directory that is already locked.
    pub fn open_held(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        Disk::open(held, options).map(|disk| Self { disk })
    }

    /// Rewrites the log with only its live rows; see `sled::compact`. The inner result says how
    /// that went: after an error there the database is unchanged.
    pub fn compact(self) -> Result<(Self, Result<Compacted, CompactError>), OpenError> {
        let tried = compact::compact(self.disk)?;
        Ok((Self { disk: tried.disk }, tried.outcome))
    }

    /// Compacts the database if enough of its log is garbage.
    pub fn compact_if_wasteful(self) -> Result<(Self, Option<Compacted>), OpenError> {
        // A database that cannot be read has worse problems than its size.
        if !compact::is_wasteful(&self.disk).unwrap_or(false) {
            return Ok((self, None));
        }
        let (opened, outcome) = self.compact()?;
        if let Err(error) = &outcome {
            log::error!("compacting the database failed: {error}");
        }
        Ok((opened, outcome.ok()))
    }

    /// Measures the database and its disk. Reads every row.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        compact::usage(self.disk.tree(), self.disk.space())
    }

    /// Closes the database. Dropping it closes it too, and logs errors instead of returning them.
    pub fn close(self) -> Result<(), std::io::Error> {
        self.disk.close()
    }

    /// Starts the writer, after which changes are accepted.
    pub fn start(self, chain: Chain) -> Result<Store, std::io::Error> {
        let tree = self.disk.tree().clone();
        let lock = self.disk.lock();
        let data_dir = self.disk.data_dir().to_owned();
        let revisions = Arc::new(Revisions::default());
        let writer = Writer::start(self.disk, chain, Arc::clone(&revisions))?;
        Ok(Store::new(tree, revisions, writer, data_dir, lock))
    }
}

impl Opened {
    /// Returns whether the database holds no row.
    pub fn is_empty(&self) -> bool {
        self.disk.tree().is_empty()
    }
}

impl View for Opened {
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        view::tree_get(self.disk.tree(), key)
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> view::Scan<'_> {
        view::tree_scan(self.disk.tree(), prefix, after)
    }
}
