//! A database that is open and has no writer yet: it can be read, compacted and closed.
//!
//! Owns: the step from a directory to a `Store`.
//! Must never: change a row.
//! Called by: `server` and `cli`, which know no key yet; `vault`, which starts the writer.

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

/// An open database without its writer: what there is until the keys are
/// known. It can be read, not changed.
#[derive(Debug)]
pub struct Opened {
    disk: Disk,
}

impl Opened {
    pub(super) fn new(disk: Disk) -> Self {
        Self { disk }
    }

    /// Opens (or makes) the database below `data_dir` and locks it.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(DataDirLock::acquire(data_dir)?, options)
    }

    /// Opens a database that must be there already.
    pub fn open_existing(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(DataDirLock::acquire_existing(data_dir)?, options)
    }

    /// Opens the database of a directory that is locked already.
    pub fn open_held(held: DataDirLock, options: Options) -> Result<Self, OpenError> {
        Disk::open(held, options).map(|disk| Self { disk })
    }

    /// Writes the log anew with what is live, and what came of that; see
    /// `compact`. When it could not be done, the database is as it was.
    pub fn compact(self) -> Result<(Self, Result<Compacted, CompactError>), OpenError> {
        let tried = compact::compact(self.disk)?;
        Ok((Self { disk: tried.disk }, tried.outcome))
    }

    /// Likewise, if the log is wasteful.
    pub fn compact_if_wasteful(self) -> Result<(Self, Option<Compacted>), OpenError> {
        // One that cannot be read has other troubles.
        if !compact::is_wasteful(&self.disk).unwrap_or(false) {
            return Ok((self, None));
        }
        let (opened, outcome) = self.compact()?;
        if let Err(error) = &outcome {
            log::error!("the database is not compacted: {error}");
        }
        Ok((opened, outcome.ok()))
    }

    /// How much room it takes. Reads every row.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        compact::usage(self.disk.tree(), self.disk.space())
    }

    /// Closes it. Dropping it does so, too, and says in the log what fails.
    pub fn close(self) -> Result<(), std::io::Error> {
        self.disk.close()
    }

    /// Starts the writer; from here on there are changes.
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
    /// Whether nothing was ever written.
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
