//! The ways in which a change can end.
//!
//! Owns: applied, and refused with the refusal recorded; the third, an error that leaves no trace,
//! is a `Result`'s.
//! Must never: let a refused change keep a write.
//! Called by: the changes in `vault` and `access`; the writer thread acts on it.

use crate::audit::Draft;

/// What a change decided when it ran in the writer. A change that returns `Err` instead
/// leaves no trace at all.
#[derive(Debug)]
pub enum Decision<T, E> {
    /// Its writes are applied in one batch with these audit rows.
    Applied(T, Vec<Draft>),
    /// It is refused, and the refusal is recorded: the change's own writes are dropped, the
    /// audit row is written, and the caller gets the error once the row is durable.
    Refused(E, Box<Draft>),
}

impl<T, E> Decision<T, E> {
    /// [`Decision::Refused`], with the audit row that says so.
    pub fn refused(error: E, row: Draft) -> Self {
        Self::Refused(error, Box::new(row))
    }
}

/// What a change may return.
pub trait IntoDecision<E> {
    /// What the caller gets when the change is applied.
    type Value;

    /// The decision that this stands for.
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

/// Applied, with an audit row for each of the things that the change was about.
impl<T, E> IntoDecision<E> for (T, Vec<Draft>) {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        Decision::Applied(self.0, self.1)
    }
}

/// Applied, without an audit row. Only for finishing in small steps what an audited change
/// has begun, and for noting when a credential was last used.
#[derive(Debug)]
pub struct Unaudited<T>(pub T);

impl<T, E> IntoDecision<E> for Unaudited<T> {
    type Value = T;

    fn into_decision(self) -> Decision<T, E> {
        Decision::Applied(self.0, Vec::new())
    }
}
