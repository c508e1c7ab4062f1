//! The open database: direct reads, and changes through the writer.
//!
//! Owns: reads, access to the writer, and shutting both down.
//! Must never: change anything except through the writer.
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

/// The open database. Reads go straight to the tree and see what has been applied; changes go
/// through the writer.
#[derive(Debug)]
pub struct Store {
    /// `Some` until the store is dropped.
    tree: Option<sled::Tree>,
    revisions: Arc<Revisions>,
    writer: Writer,
    data_dir: PathBuf,
    /// Held as long as the tree, because sled stays open until its last handle is dropped.
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

    /// Prepares a change to the database; there is no other way to make one. `change` runs in the
    /// writer thread; see [`Change::commit`].
    pub fn change<F, D, E>(&self, change: F) -> Change<'_, F>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
    {
        Change::new(&self.writer, change)
    }

    /// Prepares a change that writes only an audit row.
    pub fn record<E>(
        &self,
        row: Draft,
    ) -> Change<'_, impl FnOnce(&mut Tx<'_>) -> Result<((), Draft), E> + Send + use<E>> {
        Change::new(&self.writer, move |_: &mut Tx<'_>| Ok(((), row)))
    }

    /// Takes a view of the database at this moment, to be read while writes continue; see
    /// [`PointInTime`]. Fails with [`Unavailable::OtherBackup`] while another view is open.
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
            Err(_) => match self.writer.why_unanswered::<()>() {
                CommitError::Unavailable(why) => Err(why),
                _ => Err(Unavailable::Failed),
            },
        }
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Measures the database and its disk. Reads every row.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        compact::usage(self.tree(), self.writer.space())
    }

    /// Counts the bytes of all keys and rows; `None` if that takes longer than `limit`.
    pub fn live_bytes_within(&self, limit: std::time::Duration) -> Option<u64> {
        compact::live_bytes_within(self.tree(), limit)
    }

    /// Measures the database and its disk as the file system reports them. Reads no row.
    pub fn extent(&self) -> Extent {
        compact::extent(self.writer.space())
    }

    /// Returns the disk budget for a file at `path`, outside the database.
    pub fn room(&self, path: &Path) -> DiskBudget {
        DiskBudget::of(self.writer.space().clone(), path)
    }

    /// Iterates over a table's rows in reverse key order.
    pub fn scan_back<T: Table>(&self) -> impl Iterator<Item = Result<(T::Key, T::Row), ReadError>> {
        view::tree_scan_back::<T>(self.tree())
    }

    /// Returns how many changes an environment has seen since the server started. Data read before
    /// a change never carries the revision that follows it, so the revision can serve as a cache
    /// key.
    pub fn revision(&self, environment: EnvironmentId) -> u64 {
        self.revisions.of(environment)
    }

    /// Subscribes to changes of any environment's [`Store::revision`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.revisions.changes()
    }

    /// Checks that a write would be accepted now.
    pub fn writable(&self) -> Result<(), Unavailable> {
        self.writer.writable()
    }

    /// Resolves once a write or sync has failed. Nothing can be acknowledged after that, so the
    /// process should exit.
    pub async fn failed(&self) {
        self.writer.failed().await;
    }

    /// Stops accepting changes and finishes the queued ones. Fails if they, or what closing writes,
    /// may not be durable. The files close when the store is dropped.
    pub fn close(&self) -> Result<(), Unavailable> {
        self.writer.close()
    }

    /// Keeps sled open until the process exits, for processes that exit right after
    /// [`Store::close`]. Closing sled would add nothing by then, and may panic.
    pub fn leak_until_exit(self: &Arc<Self>) {
        std::mem::forget(Arc::clone(self));
    }
}

impl Store {
    fn tree(&self) -> &sled::Tree {
        self.tree.as_ref().expect("the tree is taken only when the store is dropped")
    }
}

impl Drop for Store {
    /// Closes sled unless someone else holds it open. Acknowledged writes are durable by now; a
    /// disk failure at this point is recorded for the next start.
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
