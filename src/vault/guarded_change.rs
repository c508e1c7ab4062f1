//! Changes on behalf of a caller: made only while the caller's credential may still make them.
//!
//! Owns: the second check of a credential, inside the writer, and the record that answers a
//! repeated request.
//! Must never: let a change through that was queued behind the end of its own credential.
//! Called by: the verbs here and in `access`.

use crate::domain::Timestamp;
use crate::store::{CommitError, Decision, IntoDecision, Store, Tx};
use crate::vault::error::Error;
use crate::vault::idempotency::HasOutcome;
use crate::vault::policy::{Level, Permit};

/// A change that is not queued yet, for the caller of a permit.
#[derive(Debug)]
#[must_use = "a change does nothing until it is committed"]
pub struct GuardedChange<'a, L, F> {
    store: &'a Store,
    permit: &'a Permit<L>,
    now: Timestamp,
    run: F,
    from_reserve: bool,
    dry_run: bool,
}

impl<'a, L: Level, F> GuardedChange<'a, L, F> {
    /// `run` is the change; its `Err` leaves no trace, see [`Decision`].
    pub fn new(store: &'a Store, permit: &'a Permit<L>, now: Timestamp, run: F) -> Self {
        Self { store, permit, now, run, from_reserve: false, dry_run: false }
    }

    /// Lets it use the last free space of the disk: for what frees space or ends a credential.
    pub fn from_reserve(mut self) -> Self {
        self.from_reserve = true;
        self
    }

    /// Runs it without keeping anything of it, to learn what would come of it now.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Makes the change; returns once it would survive a power cut.
    pub async fn commit<D, E>(self) -> Result<D::Value, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E> + 'static,
        D::Value: Send + 'static,
        E: From<Error> + From<CommitError<E>> + Send + 'static,
    {
        let Self { store, permit, now, run, from_reserve, dry_run } = self;
        queue(store, from_reserve, dry_run, guarded(permit, now, run)).await
    }

    /// Makes the change and keeps its outcome with it, if the request has an
    /// `Idempotency-Key`; see the module `idempotency`. A dry run keeps nothing.
    pub async fn commit_once<D, E>(self) -> Result<D::Value, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E> + 'static,
        D::Value: HasOutcome + Send + 'static,
        E: From<Error> + From<CommitError<E>> + Send + 'static,
    {
        if self.dry_run {
            return self.commit().await;
        }
        let Self { store, permit, now, run, from_reserve, .. } = self;
        queue(store, from_reserve, false, guarded_once(permit, now, run)).await
    }
}

async fn queue<F, D, E>(
    store: &Store,
    from_reserve: bool,
    dry_run: bool,
    run: F,
) -> Result<D::Value, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
    D: IntoDecision<E>,
    D::Value: Send + 'static,
    E: From<CommitError<E>> + Send + 'static,
{
    let change = store.change(run).dry_run(dry_run);
    let change = if from_reserve { change.from_reserve() } else { change };
    change.commit().await.map_err(E::from)
}

/// Wraps a change so that it is made only while its caller's credential may still make it.
pub(super) fn guarded<L, D, E, F>(
    permit: &Permit<L>,
    now: Timestamp,
    change: F,
) -> impl FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + use<L, D, E, F>
where
    E: From<Error>,
    F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send,
{
    let standing = permit.standing(now);
    move |tx| {
        standing.check(tx)?;
        change(tx)
    }
}

/// Wraps a change like [`guarded`], and keeps its outcome for a request with an
/// `Idempotency-Key`.
pub(super) fn guarded_once<L, D, E, F>(
    permit: &Permit<L>,
    now: Timestamp,
    change: F,
) -> impl FnOnce(&mut Tx<'_>) -> Result<Decision<D::Value, E>, E> + Send + use<L, D, E, F>
where
    D: IntoDecision<E>,
    D::Value: HasOutcome,
    E: From<Error>,
    F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send,
{
    let receipt = permit.receipt().cloned();
    guarded(permit, now, move |tx| {
        let decision = change(tx)?.into_decision();
        // A refusal is not kept: the request may be repeated, and succeed then.
        if let (Decision::Applied(value, _), Some(receipt)) = (&decision, receipt) {
            // The same request may have come again while this one waited here
            // for a client that had gone away.
            if receipt.is_taken(tx)? {
                return Err(Error::JustDone.into());
            }
            receipt.put(tx, value.outcome())?;
        }
        Ok(decision)
    })
}
