//! Rows from a backup: into a new database, or only into memory.
//!
//! ```text
//! <data dir>/lock          held while rows are loaded
//! <data dir>/restoring/    a data directory of its own, until it is complete
//!                  db/     renamed to <data dir>/db in one step
//! ```
//!
//! The directory is inside the data directory and not beside it, so that the
//! rename works where the data directory is a mount, and `root.key` may be there
//! already. While `restoring` exists, and no `db` beside it, no server opens the
//! data directory: a restore that was cut off is run again, it does not turn into a
//! new database.
//! Even `restoring` itself does not open before it is complete: the wrapping
//! keys are written last.
//!
//! Must never: touch a data directory that holds a database.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use crate::store::directory::{ignore_missing, make_directory, open_to_lock, sync_directory};
use crate::store::disk_budget::{FreeSpace, Share};
use crate::store::opened::Opened;
use crate::store::rows::keyspace::Table;
use crate::store::rows::tables::{
    AuditRows, Environments, Keys, LastUses, Secrets, ServiceAccounts, SessionHashes, Sessions,
    Tokens, UserSessions, Users, ValueChunks, VarChunks, Vars, Versions,
};
use crate::store::rows::view::{ReadError, Scan, View};
use crate::store::rows::write_set::WriteSet;
use crate::store::sled::disk::{DataDirLock, Disk, Options};
use crate::store::sled::open_error::OpenError;
use crate::store::sled::restoring_mark::RESTORING;
use crate::store::unavailable::Unavailable;

/// What may be in a data directory that counts as empty: the keys that the
/// operator has put there, what an earlier restore left, what a file system has
/// at its root.
const MAY_BE_THERE: [&str; 5] = ["root.key", "root.key.previous", "lock", RESTORING, "lost+found"];
/// Rows are applied and synced in batches of about so many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Why rows could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something in the directory.
    #[error(
        "{} is not empty: it holds {found}. Name another directory, or an empty one; nothing is overwritten.",
        path.display()
    )]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The new database could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The disk is nearly full.
    #[error("{0}; make room, then restore again")]
    Unavailable(#[from] Unavailable),
    /// The disk has less room than the database takes, and has to keep free.
    #[error(
        "{} has {left} MiB left, and the restored database needs at least {wanted} MiB there. Make room, or name a directory on another disk.",
        path.display()
    )]
    TooLittleRoom {
        /// The data directory, or what there is of its path.
        path: PathBuf,
        /// Free, in MiB.
        left: u64,
        /// Needed, in MiB.
        wanted: u64,
    },
    /// The file system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |cause| RestoreError::Io { path, cause }
}

/// That a directory can be restored into: it is missing, or as good as empty.
fn check_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let entries = match fs::read_dir(data_dir) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(data_dir))?,
    };
    for entry in entries {
        let name = entry.map_err(at(data_dir))?.file_name();
        let name = name.to_string_lossy();
        if !MAY_BE_THERE.contains(&name.as_ref()) {
            let (path, found) = (data_dir.to_owned(), name.into_owned());
            return Err(RestoreError::NotEmpty { path, found });
        }
    }
    Ok(())
}

/// That a backup of so many bytes can be restored into a directory, as far as that
/// can be told without writing: it is as good as empty, and the file system lets us make
/// it, and has room for it. The database takes at least as much as the backup.
pub fn check_restorable(data_dir: &Path, bytes: u64, options: Options) -> Result<(), RestoreError> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};

    check_empty(data_dir)?;
    let mut there = std::path::absolute(data_dir).map_err(at(data_dir))?;
    while matches!(there.symlink_metadata(), Err(cause) if cause.kind() == io::ErrorKind::NotFound)
        && there.pop()
    {}
    // The kernel's word on it: permissions, and whether anything can be written there.
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, &there, access, AtFlags::empty()).map_err(io::Error::from).map_err(at(&there))?;
    if !there.metadata().map_err(at(&there))?.is_dir() {
        return Err(at(&there)(io::ErrorKind::NotADirectory.into()));
    }
    let space = FreeSpace { dir: there, floor_bytes: options.min_free_bytes };
    // What a restore that was cut off has left makes room.
    let made = fs::metadata(data_dir.join(RESTORING).join("db/db")).map_or(0, |log| log.len());
    let left = space.left().saturating_add(made);
    let wanted = space.floor_bytes.saturating_add(bytes);
    if left >= wanted {
        return Ok(());
    }
    Err(RestoreError::TooLittleRoom {
        path: space.dir,
        left: left >> 20,
        wanted: wanted.div_ceil(1 << 20),
    })
}

/// A new database that is being filled. Dropped before its end, it leaves nothing but
/// an empty stage, which keeps servers out.
#[derive(Debug)]
pub struct RestoreWriter {
    disk: Disk,
    batch: WriteSet,
    /// Rows without which nothing opens; they go in last.
    keys: WriteSet,
    target: RestoreTarget,
}

/// A database that is in target, and not known to stay there through a power cut.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct NotDurable {
    /// The data directory.
    pub path: PathBuf,
    /// What the file system said.
    pub cause: io::Error,
}

/// Where a loaded database waits, and where it belongs.
#[derive(Debug)]
pub struct RestoreTarget {
    data_dir: PathBuf,
    stage: PathBuf,
    _lock: File,
}

impl RestoreWriter {
    /// Makes the directory, and an empty database in it.
    pub fn begin(data_dir: &Path, options: Options) -> Result<Self, RestoreError> {
        check_empty(data_dir)?;
        make_directory(data_dir).map_err(at(data_dir))?;
        let lock_path = data_dir.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: data_dir.to_owned() }.into(),
            TryLockError::Error(cause) => at(&lock_path)(cause),
        })?;
        // A server may have been faster.
        check_empty(data_dir)?;
        let stage = data_dir.join(RESTORING);
        let target = RestoreTarget { data_dir: data_dir.to_owned(), stage, _lock: lock };
        target.begin().map_err(at(&target.stage))?;
        let disk = Disk::open(DataDirLock::acquire(&target.stage)?, options)?;
        Ok(Self { disk, batch: WriteSet::default(), keys: WriteSet::default(), target })
    }

    /// Adds a row.
    pub fn row(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), RestoreError> {
        if key.first() == Some(&Keys::PREFIX) {
            self.keys.set(key, Some(row));
            return Ok(());
        }
        self.batch.set(key, Some(row));
        if self.batch.size() < BATCH_BYTES { Ok(()) } else { self.apply() }
    }

    fn apply(&mut self) -> Result<(), RestoreError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let space = self.disk.space();
        space.check(space.left(), Share::Common)?;
        self.disk.apply(batch).map_err(at(&self.target.stage))
    }

    /// All rows are there. The database can be opened, and then put in target.
    pub fn finish(mut self) -> Result<(Opened, RestoreTarget), RestoreError> {
        self.apply()?;
        self.batch = std::mem::take(&mut self.keys);
        self.apply()?;
        Ok((Opened::new(self.disk), self.target))
    }
}

impl RestoreTarget {
    /// Puts the database where a server looks for it. Nothing may have it open
    /// any more. `Some` when it is there and may not be after a power cut.
    pub fn install(self) -> Result<Option<NotDurable>, RestoreError> {
        let made = self.stage.join("db");
        let log_path = made.join("db");
        // sled's own threads may keep its files a moment longer than its handle.
        open_to_lock(&log_path).and_then(|log| log.lock()).map_err(at(&log_path))?;
        sync_directory(&made).map_err(at(&made))?;
        let db = self.data_dir.join("db");
        fs::rename(&made, &db).map_err(at(&db))?;
        // From here on the database is there, and restoring it again would be
        // refused. The next start syncs and marks what could not be done here.
        let settled = sync_directory(&self.data_dir)
            .and_then(|()| crate::store::sled::disk::mark_in_use(&self.data_dir));
        // The next start removes what is left of the stage, if this cannot.
        if let Err(error) = fs::remove_dir_all(&self.stage) {
            log::warn!("{} could not be removed: {error}", self.stage.display());
        }
        Ok(settled.err().map(|cause| NotDurable { path: self.data_dir.clone(), cause }))
    }

    /// An empty stage. One that an earlier restore has left stays where it is meanwhile:
    /// it keeps servers out.
    fn begin(&self) -> io::Result<()> {
        make_directory(&self.stage)?;
        sync_directory(&self.data_dir)?;
        self.empty()
    }

    fn empty(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.stage) {
            Err(error) => return ignore_missing(error),
            Ok(entries) => entries,
        };
        for entry in entries {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            let remove = if is_dir { fs::remove_dir_all } else { fs::remove_file };
            remove(entry.path())?;
        }
        Ok(())
    }
}

impl Drop for RestoreTarget {
    /// What was not put in target goes. The stage itself stays: a server that was
    /// waiting for the database must not begin an empty one.
    fn drop(&mut self) {
        if let Err(error) = self.empty() {
            log::error!("{} could not be emptied: {error}", self.stage.display());
        }
    }
}

/// Rows that are only in memory: what is looked at and not kept.
#[derive(Debug, Default)]
pub struct MemoryRows(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryRows {
    /// Adds a row.
    pub fn row(&mut self, key: Vec<u8>, row: Vec<u8>) {
        self.0.insert(key, row);
    }
}

impl View for MemoryRows {
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> Scan<'_> {
        let prefix = prefix.to_vec();
        let start = match after {
            Some(after) if after >= prefix.as_slice() => Bound::Excluded(after.to_vec()),
            _ => Bound::Included(prefix.clone()),
        };
        let rows = self.0.range((start, Bound::Unbounded));
        let rows = rows.take_while(move |(key, _)| key.starts_with(&prefix));
        Box::new(rows.map(|(key, row)| Ok((key.clone(), row.clone()))))
    }
}

/// Whether a row goes into a backup. Sessions do not: a restored server must
/// not let in whoever was logged in when the backup was made.
pub fn is_backed_up(key: &[u8]) -> bool {
    !matches!(
        key,
        [Sessions::PREFIX | SessionHashes::PREFIX | UserSessions::PREFIX, ..]
            | [LastUses::PREFIX, b's', ..]
    )
}

/// What a row counts as, for people.
pub fn row_kind(key: &[u8]) -> &'static str {
    match key.first() {
        Some(&Keys::PREFIX) => "wrappingKeys",
        Some(&Environments::PREFIX) => "environments",
        Some(&Secrets::PREFIX) => "secrets",
        Some(&Versions::PREFIX) => "versions",
        Some(&ValueChunks::PREFIX | &VarChunks::PREFIX) => "pieces",
        Some(&Vars::PREFIX) => "vars",
        Some(&Users::PREFIX) => "users",
        Some(&ServiceAccounts::PREFIX) => "serviceAccounts",
        Some(&Tokens::PREFIX) => "tokens",
        Some(&AuditRows::PREFIX) => "auditRows",
        _ => "other",
    }
}
