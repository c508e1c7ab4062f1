//! The database: the only room that knows sled.
//!
//! Owns: the data directory, the keyspace, the rows, the one writer.
//! Must never: see a value of a secret (rows hold ciphertext), decide who may
//! do what, or answer a write before it would survive a power cut.
//! Called by: `vault` and `access`, with typed tables; `cli` opens it.
//!
//! One sled tree holds everything, told apart by the first byte of the key
//! (`keyspace`), because a batch on one tree is atomic and a transaction over
//! several may run twice. `disk` knows what sled 0.34 does not do for us;
//! `writer` is the only code that changes anything.

mod check;
mod directory;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod point_in_time;
mod private_file;
mod readable_ranges;
mod remedy;
mod repair;
mod restore;
mod rows;
mod sled;
mod writer;

pub use check::check;
pub use directory::make_directory;
pub use point_in_time::{Frozen, FrozenError, RawRow};
pub use private_file::{PrivateFile, write_new_private, write_private};
pub use readable_ranges::unreadable;
pub use repair::{Depth, Repaired, repair};
pub use restore::{
    LoadError, Loading, MemoryRows, Place, RESTORING, Unsettled, can_be_restored, counted_as,
    is_backed_up,
};
pub use rows::account_row::{PasswordRow, ServiceAccountRow, SessionRow, TokenRow, Used, UserRow};
pub use rows::keyspace::Table;
pub use rows::row::{
    Bytes, CHUNK_BYTES, CountsRow, EnvironmentRow, HeadRow, KeyId, KeyRow, ReceiptRow, RotationRow,
    SecretPlace, SecretRow, ServiceKeysRow, StartRow, StoredAuditRow, VarPlace, VarRow, VersionRow,
    WrappedKey,
};
pub use rows::tables::{
    AuditHead, AuditRows, AuditStart, Counts, Doomed, EnvironmentNames, Environments, Keys,
    LastUses, ReceiptChunks, ReceiptTimes, Receipts, Rotation, SecretPlaces, Secrets,
    ServiceAccountNames, ServiceAccounts, ServiceKeys, SessionHashes, Sessions, TokenHashes,
    Tokens, UserEmails, UserSessions, Users, ValueChunks, VarChunks, VarPlaces, Vars, Versions,
};
pub use rows::view::{ReadError, View};
pub use sled::compact::{CompactError, Compacted, Extent, Usage};
pub use sled::disk::{Held, IN_USE, OpenError, Options};
pub use sled::leftovers::{Leftover, leftovers, remove_leftover};
pub use writer::change::{Change, Decision, IntoDecision, Unaudited};
pub use writer::room::Room;
pub use writer::thread::{CommitError, Tx};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use tokio::sync::watch as channel;

use crate::audit::{Chain, Draft};
use crate::domain::EnvironmentId;

/// An open database without its writer: what there is until the keys are
/// known. It can be read, not changed.
#[derive(Debug)]
pub struct Opened {
    disk: sled::disk::Disk,
}

impl Opened {
    /// Opens (or makes) the database below `data_dir` and locks it.
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(Held::take(data_dir)?, options)
    }

    /// Opens a database that must be there already.
    pub fn open_existing(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_held(Held::take_existing(data_dir)?, options)
    }

    /// Opens the database of a directory that is locked already.
    pub fn open_held(held: Held, options: Options) -> Result<Self, OpenError> {
        sled::disk::Disk::open(held, options).map(|disk| Self { disk })
    }

    /// Writes the log anew with what is live, and what came of that; see
    /// `compact`. When it could not be done, the database is as it was.
    pub fn compact(self) -> Result<(Self, Result<Compacted, CompactError>), OpenError> {
        let tried = sled::compact::compact(self.disk)?;
        Ok((Self { disk: tried.disk }, tried.outcome))
    }

    /// Likewise, if the log is wasteful.
    pub fn compact_if_wasteful(self) -> Result<(Self, Option<Compacted>), OpenError> {
        // One that cannot be read has other troubles.
        if !sled::compact::is_wasteful(&self.disk).unwrap_or(false) {
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
        sled::compact::usage(self.disk.tree(), self.disk.space())
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
        let writer = writer::thread::Writer::start(self.disk, chain, Arc::clone(&revisions))?;
        Ok(Store { tree: Some(tree), revisions, writer, data_dir, _lock: lock })
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
        rows::view::tree_get(self.disk.tree(), key)
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> rows::view::Scan<'_> {
        rows::view::tree_scan(self.disk.tree(), prefix, after)
    }
}

/// The database, ready for work. Reads go straight to the tree and see what
/// has been applied; changes go through the writer.
#[derive(Debug)]
pub struct Store {
    /// There until it is dropped.
    tree: Option<::sled::Tree>,
    revisions: Arc<Revisions>,
    writer: writer::thread::Writer,
    data_dir: PathBuf,
    /// sled stays open as long as its tree is held, and so does the lock.
    _lock: Arc<std::fs::File>,
}

impl Store {
    /// A change to the database, and the only way to make one. `change` runs in the writer
    /// thread; see [`Change::commit`].
    pub fn change<F, D, E>(&self, change: F) -> Change<'_, F>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
    {
        Change::new(&self.writer, change)
    }

    /// A change that writes nothing but an audit row.
    pub fn record<E>(
        &self,
        row: Draft,
    ) -> Change<'_, impl FnOnce(&mut Tx<'_>) -> Result<((), Draft), E> + Send + use<E>> {
        Change::new(&self.writer, move |_: &mut Tx<'_>| Ok(((), row)))
    }

    /// The database as it is at one moment, to be read while it goes on being
    /// written; see [`Frozen`]. One view at a time: `OtherBackup` says that there
    /// is another.
    pub async fn freeze(&self) -> Result<Frozen, Unavailable> {
        self.frozen(self.writer.freeze()?.await)
    }

    /// Like [`Store::freeze`], for callers without an async runtime.
    pub fn freeze_blocking(&self) -> Result<Frozen, Unavailable> {
        self.frozen(self.writer.freeze()?.blocking_recv())
    }

    fn frozen<N>(&self, answer: Result<Option<Frozen>, N>) -> Result<Frozen, Unavailable> {
        match answer {
            Ok(frozen) => frozen.ok_or(Unavailable::OtherBackup),
            Err(_) => match self.writer.unanswered::<()>() {
                CommitError::Unavailable(why) => Err(why),
                _ => Err(Unavailable::Failed),
            },
        }
    }

    /// Where everything is stored.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// How much room it takes. Reads every row.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        sled::compact::usage(self.tree(), self.writer.space())
    }

    /// The bytes of keys and rows, if they can be counted within a time.
    pub fn live_bytes_within(&self, limit: std::time::Duration) -> Option<u64> {
        sled::compact::live_bytes_within(self.tree(), limit)
    }

    /// How much room it takes, as far as the file system knows. Reads no row.
    pub fn extent(&self) -> Extent {
        sled::compact::extent(self.writer.space())
    }

    /// The room for a file outside the database, at this path.
    pub fn room(&self, path: &Path) -> Room {
        Room::of(self.writer.space().clone(), path)
    }

    /// The rows of a table from its last one back.
    pub fn scan_back<T: Table>(&self) -> impl Iterator<Item = Result<(T::Key, T::Row), ReadError>> {
        rows::view::tree_scan_back::<T>(self.tree())
    }

    /// Counts the changes that an environment has seen since the server
    /// started. What was read before a change never has the number that is in
    /// force after it, so answers can be kept under it.
    pub fn revision(&self, environment: EnvironmentId) -> u64 {
        self.revisions.of(environment)
    }

    /// Marks itself changed when an environment has changed; see [`Store::revision`].
    pub fn changes(&self) -> channel::Receiver<()> {
        self.revisions.changed.subscribe()
    }

    /// Whether a write would be taken now, and if not, why.
    pub fn writable(&self) -> Result<(), Unavailable> {
        self.writer.writable()
    }

    /// Resolves when the writer has died of a failed write or sync; nothing
    /// can be acknowledged any more and the process should end.
    pub async fn failed(&self) {
        self.writer.failed().await;
    }

    /// Takes no more changes and finishes those that are queued; an error if they,
    /// or what closing writes, are not known to be durable. The files close when
    /// the store is dropped.
    pub fn close(&self) -> Result<(), Unavailable> {
        self.writer.close()
    }

    /// Keeps sled open until the process ends, for processes that end after
    /// [`Store::close`]. Closing it adds nothing to that, and may panic.
    pub fn stay_open(self: &Arc<Self>) {
        std::mem::forget(Arc::clone(self));
    }
}

impl Store {
    fn tree(&self) -> &::sled::Tree {
        self.tree.as_ref().expect("it is taken only when the store is dropped")
    }
}

impl Drop for Store {
    /// Closes sled, if nobody else has it open. What was answered is safe by now;
    /// that the disk fails is for the next start to know.
    fn drop(&mut self) {
        if writer::flush_watchdog::let_go(self.tree.take()).is_err() {
            sled::unsynced::leave_word(&self.data_dir);
        }
    }
}

impl View for Store {
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        rows::view::tree_get(self.tree(), key)
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> rows::view::Scan<'_> {
        rows::view::tree_scan(self.tree(), prefix, after)
    }
}

/// Why no write, backup, examination or password is taken just now. All of these pass, or
/// end the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// More changes are queued than the writer can take.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The disk is nearly full; sled must never meet a full one.
    #[error("the disk has too little free space")]
    DiskNearlyFull,
    /// There is one backup at a time.
    #[error("another backup is under way")]
    OtherBackup,
    /// There are two at a time of what reads every row.
    #[error("two others read all of the database or the audit log just now")]
    OtherExaminations,
    /// Each password costs memory to check.
    #[error("too many passwords are being checked")]
    TooManyPasswords,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// What the change would be written into cannot be read; nothing was written.
    #[error("the database is damaged where the change would be written")]
    Damaged,
    /// A write or sync failed.
    #[error("the database failed; nothing is written any more")]
    Failed,
}

/// A change counter for each environment.
#[derive(Debug, Default)]
struct Revisions {
    of: RwLock<HashMap<EnvironmentId, u64>>,
    /// Tells whoever waits that one of them has changed.
    changed: channel::Sender<()>,
}

impl Revisions {
    fn of(&self, environment: EnvironmentId) -> u64 {
        let map = self.of.read().expect("no holder of this lock can panic");
        map.get(&environment).copied().unwrap_or(0)
    }

    fn bump(&self, environments: impl Iterator<Item = EnvironmentId>) {
        let mut environments = environments.peekable();
        if environments.peek().is_none() {
            return;
        }
        let mut map = self.of.write().expect("no holder of this lock can panic");
        for environment in environments {
            *map.entry(environment).or_insert(0) += 1;
        }
        drop(map);
        self.changed.send_replace(());
    }
}
