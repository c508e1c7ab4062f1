//! How a change ends.
//!
//! Owns: the two outcomes that leave a trace: applied, and refused with the refusal recorded. The
//! third, an error that leaves no trace, is the `Err` of a `Result`.
//! Must never: let a refused change keep a write.
//! Called by: the changes in `vault` and `access`; the writer thread carries it out.

use crate::audit::Draft;

/// What a change decided when it ran in the writer. A change that returns `Err` instead leaves no
/// trace.
#[derive(Debug)]
pub enum Decision<T, E> {
    /// The change is applied in one batch with these audit rows.
    Applied(T, Vec<Draft>),
    /// The change is refused and the refusal is recorded: its own writes are dropped, the audit row
    /// is written, and the caller gets the error once that row is durable.
    Refused(E, Box<Draft>),
}

impl<T, E> Decision<T, E> {
    /// Refuses the change and records `row` in the audit log.
    pub fn refused(error: E, row: Draft) -> Self {
        Self::Refused(error, Box::new(row))
    }
}

/// A type that a change may return.
pub trait IntoDecision<E> {
    /// What the caller gets when the change is applied.
    type Value;

    /// Converts the returned value to a decision.
    fn into_decision(self) -> Decision<Self::Value, E>;
}

impl<T, E> IntoDecision<E> for Decision<T, E> {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        self
    }
}

/// Applied, with one audit row.
impl<T, E> IntoDecision<E> for (T, Draft) {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        Decision::Applied(self.0, vec![self.1])
    }
}

/// Applied, with several audit rows: one for each item that the change is about.
impl<T, E> IntoDecision<E> for (T, Vec<Draft>) {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        Decision::Applied(self.0, self.1)
    }
}

/// Applied, without an audit row. Only for finishing in small steps what an audited change has
/// started, and for recording when a credential was last used.
#[derive(Debug)]
pub struct Unaudited<T>(pub T);

impl<T, E> IntoDecision<E> for Unaudited<T> {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        Decision::Applied(self.0, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use zeroize::Zeroizing;

    use super::*;
    use crate::audit::{Action, AuditKey, Chain, RefusalCode, Row};
    use crate::domain::{EnvironmentId, Origin, Principal, Timestamp};
    use crate::store::database::Store;
    use crate::store::opened::Opened;
    use crate::store::rows::tables::{AuditRows, Environments, PendingDeletions};
    use crate::store::rows::view::View;
    use crate::store::sled::disk::Options;
    use crate::store::writer::transaction::{CommitError, Tx};

    fn open(dir: &tempfile::TempDir) -> Store {
        let key = AuditKey::new(&Zeroizing::new([7; 32]));
        Opened::open(dir.path(), Options::default()).unwrap().start(Chain::start(key)).unwrap()
    }

    fn environment() -> EnvironmentId {
        EnvironmentId::from_bytes([9; 16])
    }

    fn row(name: &str) -> Draft {
        let (who, origin, now) = (Principal::host(), Origin::host(), Timestamp::from_millis(5));
        Draft::new(Action::EnvironmentDelete, &who, &origin, now).named(name)
    }

    fn refusal() -> Draft {
        row("refused").refused(RefusalCode::ForbiddenRole)
    }

    /// Writes a row, a further audit row and a revision, and schedules an update of memory.
    fn write_all(tx: &mut Tx<'_>, accepted: &Arc<AtomicBool>) {
        tx.put::<PendingDeletions>(&environment(), &());
        tx.remove::<Environments>(&environment());
        tx.also(row("further"));
        let accepted = Arc::clone(accepted);
        tx.once_accepted(move || accepted.store(true, Ordering::Release));
    }

    fn audit_rows(store: &Store) -> Vec<Row> {
        store.scan::<AuditRows>(&[], None).map(|found| found.unwrap().1.row().unwrap()).collect()
    }

    fn is_empty(store: &Store) -> bool {
        store.scan_bytes(&[], None).next().is_none()
    }

    #[test]
    fn an_applied_change_leaves_its_writes_and_its_audit_rows() {
        let dir = tempfile::tempdir().unwrap();
        let (store, accepted) = (open(&dir), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&accepted);
        let change = move |tx: &mut Tx<'_>| -> Result<Decision<u8, &str>, &str> {
            write_all(tx, &seen);
            Ok(Decision::Applied(3, vec![row("first"), row("second")]))
        };
        assert_eq!(store.change(change).commit_blocking().unwrap(), 3);
        assert!(store.has::<PendingDeletions>(&environment()).unwrap());
        let names: Vec<_> = audit_rows(&store).into_iter().map(|row| row.draft.resource).collect();
        assert_eq!(names, ["first", "second", "further"].map(|name| row(name).resource));
        assert_eq!(store.revision(environment()), 1);
        assert!(accepted.load(Ordering::Acquire));
    }

    #[test]
    fn a_refused_change_leaves_only_its_audit_row() {
        let dir = tempfile::tempdir().unwrap();
        let (store, accepted) = (open(&dir), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&accepted);
        let change = move |tx: &mut Tx<'_>| {
            write_all(tx, &seen);
            Ok(Decision::<(), _>::refused("no", refusal()))
        };
        let refused = store.change(change).commit_blocking();
        assert!(matches!(refused, Err(CommitError::Refused("no"))), "{refused:?}");
        assert!(!store.has::<PendingDeletions>(&environment()).unwrap());
        let rows: Vec<_> = audit_rows(&store).into_iter().map(|row| row.draft).collect();
        assert_eq!(rows, [refusal()]);
        assert_eq!(store.revision(environment()), 0);
        assert!(!accepted.load(Ordering::Acquire));
    }

    #[test]
    fn a_change_that_returns_an_error_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, accepted) = (open(&dir), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&accepted);
        let change = move |tx: &mut Tx<'_>| -> Result<Decision<(), &str>, &str> {
            write_all(tx, &seen);
            Err("no")
        };
        let refused = store.change(change).commit_blocking();
        assert!(matches!(refused, Err(CommitError::Refused("no"))), "{refused:?}");
        assert!(is_empty(&store));
        assert_eq!(store.revision(environment()), 0);
        assert!(!accepted.load(Ordering::Acquire));
    }

    #[test]
    fn a_dry_run_leaves_nothing_whatever_it_decides() {
        let dir = tempfile::tempdir().unwrap();
        let (store, accepted) = (open(&dir), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&accepted);
        let applied = move |tx: &mut Tx<'_>| -> Result<Decision<u8, &str>, &str> {
            write_all(tx, &seen);
            Ok(Decision::Applied(3, vec![row("first")]))
        };
        assert_eq!(store.change(applied).dry_run(true).commit_blocking().unwrap(), 3);
        let seen = Arc::clone(&accepted);
        let refused = move |tx: &mut Tx<'_>| {
            write_all(tx, &seen);
            Ok(Decision::<(), _>::refused("no", refusal()))
        };
        let refused = store.change(refused).dry_run(true).commit_blocking();
        assert!(matches!(refused, Err(CommitError::Refused("no"))), "{refused:?}");
        assert!(is_empty(&store));
        assert_eq!(store.revision(environment()), 0);
        assert!(!accepted.load(Ordering::Acquire));
    }
}
