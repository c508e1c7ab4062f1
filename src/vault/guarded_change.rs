//! Changes on behalf of a caller: made only while the caller's credential may still make them.
//!
//! Owns: the second check of a credential, inside the writer, and the record that answers a
//! repeated request.
//! Must never: apply a change that was queued after its credential was revoked.
//! Called by: the verbs here and in `access`.

use crate::domain::Timestamp;
use crate::store::{CommitError, Decision, IntoDecision, Store, Tx};
use crate::vault::error::Error;
use crate::vault::policy::{Level, Permit};
use crate::vault::verb_result::HasVerbResult;

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
    /// Describes a change. An `Err` of `run` leaves no trace; see [`Decision`].
    pub fn new(store: &'a Store, permit: &'a Permit<L>, now: Timestamp, run: F) -> Self {
        Self { store, permit, now, run, from_reserve: false, dry_run: false }
    }

    /// Lets the change use the last free space of the disk: for changes that free space or revoke a
    /// credential.
    pub fn from_reserve(mut self) -> Self {
        self.from_reserve = true;
        self
    }

    /// Runs the change without keeping any of its writes, to learn its outcome.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Makes the change, and returns once it would survive a power cut.
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

    /// Makes the change like [`GuardedChange::commit`], and keeps its answer if the request has an
    /// `Idempotency-Key`; see the module `idempotency`. A dry run keeps nothing.
    pub async fn commit_once<D, E>(self) -> Result<D::Value, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E> + 'static,
        D::Value: HasVerbResult + Send + 'static,
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

/// Wraps a change so that it runs only if its caller's credential still has its rights.
pub(super) fn guarded<L, D, E, F>(
    permit: &Permit<L>,
    now: Timestamp,
    change: F,
) -> impl FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + use<L, D, E, F>
where
    E: From<Error>,
    F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send,
{
    let guard = permit.credential_guard(now);
    move |tx| {
        guard.check(tx)?;
        change(tx)
    }
}

/// Wraps a change like [`guarded`], and keeps its answer if the request has an `Idempotency-Key`.
pub(super) fn guarded_once<L, D, E, F>(
    permit: &Permit<L>,
    now: Timestamp,
    change: F,
) -> impl FnOnce(&mut Tx<'_>) -> Result<Decision<D::Value, E>, E> + Send + use<L, D, E, F>
where
    D: IntoDecision<E>,
    D::Value: HasVerbResult,
    E: From<Error>,
    F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send,
{
    let record = permit.idempotency().cloned();
    guarded(permit, now, move |tx| {
        let decision = change(tx)?.into_decision();
        // A refusal is not kept, so that a repetition of the request can succeed.
        if let (Decision::Applied(value, _), Some(record)) = (&decision, record) {
            // A repetition may have completed while this request waited in the queue, abandoned by
            // its client.
            if record.is_taken(tx)? {
                return Err(Error::JustDone.into());
            }
            record.put(tx, value.verb_result())?;
        }
        Ok(decision)
    })
}
