//! A change on its way to the writer: how it is described, queued and awaited.
//!
//! Owns: the options of a change: how much of the disk it may use, whether it is a dry run, and who
//! waits for it.
//! Must never: return before the writer has answered.
//! Called by: `vault` and `access`, through `Store::change`.

use crate::store::disk_budget::Share;
use crate::store::unavailable::Unavailable;
use crate::store::writer::decision::IntoDecision;
use crate::store::writer::thread::{PendingOutcome, Writer};
use crate::store::writer::transaction::{CommitError, Tx};

/// A change that has not been queued yet.
#[derive(Debug)]
#[must_use = "a change does nothing until it is committed"]
pub struct Change<'s, F> {
    writer: &'s Writer,
    run: F,
    share: Share,
    dry_run: bool,
}

impl<'s, F> Change<'s, F> {
    pub(in crate::store) fn new(writer: &'s Writer, run: F) -> Self {
        Self { writer, run, share: Share::Common, dry_run: false }
    }

    /// Allows the change to use the last reserve of disk space: for changes that free space, and
    /// for records that must be kept.
    pub fn from_reserve(mut self) -> Self {
        self.share = Share::Reserve;
        self
    }

    /// Marks the change as the record of a refusal. Anyone with a credential can cause refusals, so
    /// they may use less of the disk than [`Change::from_reserve`] allows.
    pub fn as_refusal(mut self) -> Self {
        self.share = Share::Refusals;
        self
    }

    /// Discards the change's writes, if `dry_run` is set, so that only its outcome is learned.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Runs the change in the writer, in one atomic batch with its audit rows, and returns once
    /// both would survive a power cut. The change sees everything that was applied or queued before
    /// it, so checks made inside it still hold when its writes are applied.
    pub async fn commit<D, E>(self) -> Result<D::Value, CommitError<E>>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        let writer = self.writer;
        let answer = self.queue()?.await;
        answer.unwrap_or_else(|_| Err(writer.why_unanswered()))
    }

    /// Runs the change like [`Change::commit`], for callers without an async runtime.
    pub fn commit_blocking<D, E>(self) -> Result<D::Value, CommitError<E>>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        let writer = self.writer;
        let answer = self.queue()?.blocking_recv();
        answer.unwrap_or_else(|_| Err(writer.why_unanswered()))
    }

    /// Queues the change without waiting for its outcome, which is lost.
    pub fn detach<D, E>(self) -> Result<(), Unavailable>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        self.queue().map(drop)
    }

    fn queue<D, E>(self) -> Result<PendingOutcome<D::Value, E>, Unavailable>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        let run = self.run;
        let decide = move |tx: &mut Tx<'_>| run(tx).map(IntoDecision::into_decision);
        self.writer.queue(self.share, self.dry_run, decide)
    }
}
