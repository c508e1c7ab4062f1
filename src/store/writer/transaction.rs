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

/// Why a change did not come about.
#[derive(Debug, thiserror::Error)]
pub enum CommitError<E> {
    /// The change itself refused; nothing was written.
    #[error("{0}")]
    Refused(E),
    /// No write is taken, or it is not known to be durable.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The change panicked; nothing was written.
    #[error("the change panicked")]
    Panicked,
}

/// What a change sees and writes: the database with every earlier change
/// applied, and its own writes on top.
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
    /// On top of what the changes before it in the group have decided.
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
    /// Writes a row, replacing the one that is there.
    pub fn put<T: Table>(&mut self, key: &T::Key, row: &T::Row) {
        self.touched.extend(T::environment(key));
        self.own.set(full_key::<T>(key), Some(encode_row::<T>(row)));
    }

    /// One more row for the audit log, behind the change's own: for a change that
    /// is about two environments, whose rows not everybody may read both of.
    pub fn also(&mut self, draft: Draft) {
        self.further.push(draft);
    }

    /// What is to follow from the change in memory: when nothing can refuse it any
    /// more but a disk that fails, which ends the process, and before the next change
    /// runs.
    pub fn once_accepted(&mut self, then: impl FnOnce() + Send + 'static) {
        self.accepted.0.push(Box::new(then));
    }

    /// About how many bytes of keys and rows this change writes or removes.
    pub fn written_bytes(&self) -> usize {
        self.own.size()
    }

    /// Removes a row; it need not be there.
    pub fn remove<T: Table>(&mut self, key: &T::Key) {
        self.touched.extend(T::environment(key));
        self.own.set(full_key::<T>(key), None);
    }

    /// Forgets everything that the change would have written or set off.
    pub(super) fn drop_writes(&mut self) {
        self.own = WriteSet::default();
        self.touched.clear();
        self.further.clear();
        self.accepted.0.clear();
    }

    /// Removes a row whose key is none of its table.
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
