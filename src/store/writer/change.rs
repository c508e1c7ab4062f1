//! A change on its way to the writer: how it is described, queued and awaited.
//!
//! Owns: the options of a change (which part of the disk it may use, whether it is only tried
//! out, who waits for it), and the three ways in which one can end.
//! Must never: answer before the writer has.
//! Called by: `vault` and `access`, through `Store::change`.

use crate::audit::Draft;
use crate::store::Unavailable;
use crate::store::writer::disk_budget::Share;
use crate::store::writer::thread::{Answer, CommitError, Tx, Writer};

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

/// A change that is not queued yet.
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

    /// Lets it use the last free space of the disk: for what frees space, and for what must
    /// be recorded.
    pub fn from_reserve(mut self) -> Self {
        self.share = Share::Reserve;
        self
    }

    /// Marks it as the record of a refusal. Anyone with a credential can cause those, so they
    /// may use less of the disk than what [`Change::from_reserve`] allows.
    pub fn as_refusal(mut self) -> Self {
        self.share = Share::Refusals;
        self
    }

    /// Runs it without keeping anything of it, to learn what would come of it now.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Runs it in the writer, in one atomic batch with its audit rows, and returns once both
    /// would survive a power cut. It sees everything that was applied or queued before it, so
    /// checks made inside it hold when its writes are applied.
    pub async fn commit<D, E>(self) -> Result<D::Value, CommitError<E>>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        let writer = self.writer;
        let answer = self.queue()?.await;
        answer.unwrap_or_else(|_| Err(writer.unanswered()))
    }

    /// Like [`Change::commit`], for callers without an async runtime.
    pub fn commit_blocking<D, E>(self) -> Result<D::Value, CommitError<E>>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        let writer = self.writer;
        let answer = self.queue()?.blocking_recv();
        answer.unwrap_or_else(|_| Err(writer.unanswered()))
    }

    /// Queues it without waiting for its outcome, which nobody learns.
    pub fn detach<D, E>(self) -> Result<(), Unavailable>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, E> + Send + 'static,
        D: IntoDecision<E>,
        D::Value: Send + 'static,
        E: Send + 'static,
    {
        self.queue().map(drop)
    }

    fn queue<D, E>(self) -> Result<Answer<D::Value, E>, Unavailable>
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
