//! The database, ready for work.
//!
//! Owns: reads, the way to the writer, and the end of both.
//! Must never: change anything but through the writer.
//! Called by: `vault` and `access`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::audit::Draft;
use crate::domain::EnvironmentId;
use crate::store::disk_budget::DiskBudget;
use crate::store::point_in_time::PointInTime;
use crate::store::revisions::Revisions;
use crate::store::rows::keyspace::Table;
use crate::store::rows::view::{self, ReadError, View};
use crate::store::sled::compact::{self, Extent, Usage};
use crate::store::sled::flush_watchdog::close_catching_panic;
use crate::store::sled::unsynced;
use crate::store::unavailable::Unavailable;
use crate::store::writer::change::Change;
use crate::store::writer::decision::IntoDecision;
use crate::store::writer::thread::Writer;
use crate::store::writer::transaction::{CommitError, Tx};

/// The database, ready for work. Reads go straight to the tree and see what
/// has been applied; changes go through the writer.
#[derive(Debug)]
pub struct Store {
    /// There until it is dropped.
    tree: Option<sled::Tree>,
    revisions: Arc<Revisions>,
    writer: Writer,
    data_dir: PathBuf,
    /// sled stays open as long as its tree is held, and so does the lock.
    _lock: Arc<File>,
}

impl Store {
    pub(super) fn new(
        tree: sled::Tree,
        revisions: Arc<Revisions>,
        writer: Writer,
        data_dir: PathBuf,
        lock: Arc<File>,
    ) -> Self {
        Self { tree: Some(tree), revisions, writer, data_dir, _lock: lock }
    }

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
    /// written; see [`PointInTime`]. One view at a time: `OtherBackup` says that there
    /// is another.
    pub async fn point_in_time(&self) -> Result<PointInTime, Unavailable> {
        self.taken(self.writer.point_in_time()?.await)
    }

    /// Like [`Store::point_in_time`], for callers without an async runtime.
    pub fn point_in_time_blocking(&self) -> Result<PointInTime, Unavailable> {
        self.taken(self.writer.point_in_time()?.blocking_recv())
    }

    fn taken<N>(&self, answer: Result<Option<PointInTime>, N>) -> Result<PointInTime, Unavailable> {
        match answer {
            Ok(view) => view.ok_or(Unavailable::OtherBackup),
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
        compact::usage(self.tree(), self.writer.space())
    }

    /// The bytes of keys and rows, if they can be counted within a time.
    pub fn live_bytes_within(&self, limit: std::time::Duration) -> Option<u64> {
        compact::live_bytes_within(self.tree(), limit)
    }

    /// How much room it takes, as far as the file system knows. Reads no row.
    pub fn extent(&self) -> Extent {
        compact::extent(self.writer.space())
    }

    /// The room for a file outside the database, at this path.
    pub fn room(&self, path: &Path) -> DiskBudget {
        DiskBudget::of(self.writer.space().clone(), path)
    }

    /// The rows of a table from its last one back.
    pub fn scan_back<T: Table>(&self) -> impl Iterator<Item = Result<(T::Key, T::Row), ReadError>> {
        view::tree_scan_back::<T>(self.tree())
    }

    /// Counts the changes that an environment has seen since the server
    /// started. What was read before a change never has the number that is in
    /// force after it, so answers can be kept under it.
    pub fn revision(&self, environment: EnvironmentId) -> u64 {
        self.revisions.of(environment)
    }

    /// Marks itself changed when an environment has changed; see [`Store::revision`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.revisions.changes()
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
    pub fn leak_until_exit(self: &Arc<Self>) {
        std::mem::forget(Arc::clone(self));
    }
}

impl Store {
    fn tree(&self) -> &sled::Tree {
        self.tree.as_ref().expect("it is taken only when the store is dropped")
    }
}

impl Drop for Store {
    /// Closes sled, if nobody else has it open. What was answered is safe by now;
    /// that the disk fails is for the next start to know.
    fn drop(&mut self) {
        if close_catching_panic(self.tree.take()).is_err() {
            unsynced::mark_unsynced(&self.data_dir);
        }
    }
}

impl View for Store {
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        view::tree_get(self.tree(), key)
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> view::Scan<'_> {
        view::tree_scan(self.tree(), prefix, after)
    }
}
