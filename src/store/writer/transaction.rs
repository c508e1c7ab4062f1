//! What a change sees and writes while it runs in the writer.
//!
//! Owns: the view of the database with every earlier change applied, and the change's own writes.
//! Must never: apply anything; the writer thread does, for a whole group.
//! Called by: the changes in `vault` and `access`.

use std::collections::BTreeSet;

use crate::audit::Draft;
use crate::domain::EnvironmentId;
use crate::store::rows::keyspace::{Table, full_key};
use crate::store::rows::view::{self, ReadError, Scan, View, encode_row};
use crate::store::rows::write_set::WriteSet;
use crate::store::unavailable::Unavailable;

/// Why a change was not applied.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<E> {
    /// The change refused; none of its writes was kept.
    #[error("{0}")]
    Refused(E),
    /// Writes are not accepted now, or this one may not be durable.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The change panicked; nothing was written.
    #[error("the change panicked")]
    Panicked,
}

/// The transaction of a change: the database with every earlier change applied, and the change's
/// own writes on top.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(super) tree: &'a sled::Tree,
    pub(super) ahead: &'a WriteSet,
    pub(super) own: WriteSet,
    pub(super) touched: BTreeSet<EnvironmentId>,
    pub(super) further: Vec<Draft>,
    pub(super) accepted: Accepted,
}

impl<'a> Tx<'a> {
    /// Starts a transaction on top of the writes of earlier changes in the group.
    pub(super) fn new(tree: &'a sled::Tree, ahead: &'a WriteSet) -> Self {
        Self {
            tree,
            ahead,
            own: WriteSet::default(),
            touched: BTreeSet::new(),
            further: Vec::new(),
            accepted: Accepted::default(),
        }
    }
}

impl Tx<'_> {
    /// Writes a row, replacing any existing one.
    pub fn put<T: Table>(&mut self, key: &T::Key, row: &T::Row) {
        self.touched.extend(T::environment(key));
        self.own.set(full_key::<T>(key), Some(encode_row::<T>(row)));
    }

    /// Adds a row to the audit log after the change's own, for a change that concerns two
    /// environments, because some readers may read only one of the two rows.
    pub fn also(&mut self, draft: Draft) {
        self.further.push(draft);
    }

    /// Runs `then` once the change is certain to be applied, unless the disk fails, which ends the
    /// process, and before the next change runs. For updates of state in memory.
    pub fn once_accepted(&mut self, then: impl FnOnce() + Send + 'static) {
        self.accepted.0.push(Box::new(then));
    }

    /// Returns an upper bound of the bytes of keys and rows that the change writes or removes.
    pub fn written_bytes(&self) -> usize {
        self.own.size()
    }

    /// Removes a row, if it exists.
    pub fn remove<T: Table>(&mut self, key: &T::Key) {
        self.touched.extend(T::environment(key));
        self.own.set(full_key::<T>(key), None);
    }

    /// Drops everything that the change has written or scheduled.
    pub(super) fn discard(&mut self) {
        self.own = WriteSet::default();
        self.touched.clear();
        self.further.clear();
        self.accepted.0.clear();
    }

    /// Removes the row under a complete key, for keys that no table decodes.
    pub(in crate::store) fn remove_bytes(&mut self, key: Vec<u8>) {
        self.own.set(key, None);
    }
}

/// See [`Tx::once_accepted`].
#[derive(Default)]
pub(super) struct Accepted(pub(super) Vec<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Accepted({})", self.0.len())
    }
}

impl View for Tx<'_> {
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.own.get(key).or_else(|| self.ahead.get(key)) {
            Some(row) => Ok(row.cloned()),
            None => view::tree_get(self.tree, key),
        }
    }

    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> Scan<'_> {
        let committed = view::tree_scan(self.tree, prefix, after);
        self.own.scan(self.ahead.scan(committed, prefix, after), prefix, after)
    }
}
