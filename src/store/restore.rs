//! Loads the rows of a backup into a new database, or only into memory.
//!
//! ```text
//! <data dir>/lock          held during the restore
//! <data dir>/restoring/    a data directory of its own, until it is complete
//!                  db/     renamed to <data dir>/db in one step
//! ```
//!
//! The stage is inside the data directory and not next to it, so that the rename works even if the
//! data directory is a mount point, and `root.key` may already be there. While `restoring` exists
//! without a `db` next to it, no server opens the data directory: an interrupted restore is run
//! again and does not turn into a new database. `restoring` itself does not open either before it
//! is complete, because the wrapping keys are written last.
//!
//! Owns: the stage, and the checks before a restore.
//! Must never: touch a data directory that holds a database.
//! Called by: `vault::backup`.

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

/// What an empty data directory may contain: keys that the operator has put there, what an earlier
/// restore left, and what a file system has at its root.
const IGNORED_ENTRIES: [&str; 5] =
    ["root.key", "root.key.previous", "lock", RESTORING, "lost+found"];
/// Rows are applied and synced in batches of about this many bytes.
const BATCH_BYTES: usize = 4 << 20;

/// Why a backup could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The directory is not empty.
    #[error(
        "{} is not empty: it contains {found}. Choose an empty or new directory; a restore never overwrites files.",
        path.display()
    )]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// The first entry found in it.
        found: String,
    },
    /// The new database could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The disk is nearly full.
    #[error("{0}. Free up space, then restore again.")]
    Unavailable(#[from] Unavailable),
    /// The disk has too little free space for the database and the floor that must stay free.
    #[error(
        "{} has {left} MiB left, but the restored database needs at least {wanted} MiB. Free up space or choose a directory on another disk.",
        path.display()
    )]
    TooLittleSpace {
        /// The data directory, or the closest parent that exists.
        path: PathBuf,
        /// Free, in MiB.
        left: u64,
        /// Needed, in MiB.
        wanted: u64,
    },
    /// The file system returned an error.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        cause: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |cause| RestoreError::Io { path, cause }
}

/// Checks that a directory can be restored into: it is missing, or contains nothing of value.
fn check_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let entries = match fs::read_dir(data_dir) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at(data_dir))?,
    };
    for entry in entries {
        let name = entry.map_err(at(data_dir))?.file_name();
        let name = name.to_string_lossy();
        if !IGNORED_ENTRIES.contains(&name.as_ref()) {
            let (path, found) = (data_dir.to_owned(), name.into_owned());
            return Err(RestoreError::NotEmpty { path, found });
        }
    }
    Ok(())
}

/// Checks, without writing, that a backup of `bytes` bytes can be restored into a directory: it is
/// empty or missing, it may be created, and its file system has enough space. The database takes at
/// least as much as the backup.
pub fn check_restorable(data_dir: &Path, bytes: u64, options: Options) -> Result<(), RestoreError> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};

    check_empty(data_dir)?;
    let mut existing = std::path::absolute(data_dir).map_err(at(data_dir))?;
    while matches!(existing.symlink_metadata(), Err(cause) if cause.kind() == io::ErrorKind::NotFound)
        && existing.pop()
    {}
    // Asks the kernel, which knows permissions and read-only file systems.
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, &existing, access, AtFlags::empty())
        .map_err(io::Error::from)
        .map_err(at(&existing))?;
    if !existing.metadata().map_err(at(&existing))?.is_dir() {
        return Err(at(&existing)(io::ErrorKind::NotADirectory.into()));
    }
    let space = FreeSpace { dir: existing, floor_bytes: options.min_free_bytes };
    // What an interrupted restore left will be removed first.
    let made = fs::metadata(data_dir.join(RESTORING).join("db/db")).map_or(0, |log| log.len());
    let left = space.left().saturating_add(made);
    let wanted = space.floor_bytes.saturating_add(bytes);
    if left >= wanted {
        return Ok(());
    }
    Err(RestoreError::TooLittleSpace {
        path: space.dir,
        left: left >> 20,
        wanted: wanted.div_ceil(1 << 20),
    })
}

/// A new database that is being filled. If dropped before the end, it leaves an empty stage, which
/// keeps servers out.
#[derive(Debug)]
pub struct RestoreWriter {
    disk: Disk,
    batch: WriteSet,
    /// Rows that a database does not open without; they are written last.
    keys: WriteSet,
    target: RestoreTarget,
}

/// The database was installed, but may not survive a power cut.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct NotDurable {
    /// The data directory.
    pub path: PathBuf,
    /// The file system's error.
    pub cause: io::Error,
}

/// The stage of a restored database, and the data directory that it will be moved to.
#[derive(Debug)]
pub struct RestoreTarget {
    data_dir: PathBuf,
    stage: PathBuf,
    _lock: File,
}

impl RestoreWriter {
    /// Creates the data directory and an empty database in its stage.
    pub fn begin(data_dir: &Path, options: Options) -> Result<Self, RestoreError> {
        check_empty(data_dir)?;
        make_directory(data_dir).map_err(at(data_dir))?;
        let lock_path = data_dir.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { path: data_dir.to_owned() }.into(),
            TryLockError::Error(cause) => at(&lock_path)(cause),
        })?;
        // A server may have started in between.
        check_empty(data_dir)?;
        let stage = data_dir.join(RESTORING);
        let target = RestoreTarget { data_dir: data_dir.to_owned(), stage, _lock: lock };
        target.create_stage().map_err(at(&target.stage))?;
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

    /// Writes the last rows. The database can then be opened, and installed once it is closed.
    pub fn finish(mut self) -> Result<(Opened, RestoreTarget), RestoreError> {
        self.apply()?;
        self.batch = std::mem::take(&mut self.keys);
        self.apply()?;
        Ok((Opened::new(self.disk), self.target))
    }
}

impl RestoreTarget {
    /// Moves the database to where a server looks for it. Nothing may have it open. Returns `Some`
    /// if it is in place but may not survive a power cut.
    pub fn install(self) -> Result<Option<NotDurable>, RestoreError> {
        let made = self.stage.join("db");
        let log_path = made.join("db");
        // sled's own threads may hold its files slightly longer than its handle.
        open_to_lock(&log_path).and_then(|log| log.lock()).map_err(at(&log_path))?;
        sync_directory(&made).map_err(at(&made))?;
        let db = self.data_dir.join("db");
        fs::rename(&made, &db).map_err(at(&db))?;
        // From here on the database is in place, and restoring again would be refused. The next
        // start syncs and marks what could not be done here.
        let settled = sync_directory(&self.data_dir)
            .and_then(|()| crate::store::sled::disk::mark_in_use(&self.data_dir));
        // If this fails, the next start removes the stage.
        if let Err(error) = fs::remove_dir_all(&self.stage) {
            log::warn!("removing {} failed: {error}", self.stage.display());
        }
        Ok(settled.err().map(|cause| NotDurable { path: self.data_dir.clone(), cause }))
    }

    /// Creates an empty stage. One that an earlier restore left stays in place meanwhile, because
    /// it keeps servers out.
    fn create_stage(&self) -> io::Result<()> {
        make_directory(&self.stage)?;
        sync_directory(&self.data_dir)?;
        self.clear_stage()
    }

    fn clear_stage(&self) -> io::Result<()> {
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
    /// Removes what was not installed. The stage itself stays: a server that was waiting for the
    /// database must not create an empty one.
    fn drop(&mut self) {
        if let Err(error) = self.clear_stage() {
            log::error!("removing the contents of {} failed: {error}", self.stage.display());
        }
    }
}

/// Rows that are only in memory, to examine a backup without restoring it.
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

/// Returns whether a row belongs in a backup. Sessions do not: a restored server must not let in
/// those who were logged in when the backup was made.
pub fn is_backed_up(key: &[u8]) -> bool {
    !matches!(
        key,
        [Sessions::PREFIX | SessionHashes::PREFIX | UserSessions::PREFIX, ..]
            | [LastUses::PREFIX, b's', ..]
    )
}

/// Returns the kind that a row is counted as in a backup's summary.
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
