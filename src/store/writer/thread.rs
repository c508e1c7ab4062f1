//! The writer thread.
//!
//! Callers queue a change (a closure). The thread takes what is queued, runs one change after the
//! other, each on top of what the earlier ones wrote, applies them all as one batch, syncs once,
//! and only then answers everyone in the group. So checks inside a change cannot race, and all
//! changes of a group share the cost of one sync.
//!
//! Owns: the only thread that changes the database, and the audit chain.
//! Must never: answer a change before its group would survive a power cut; answer anything but an
//! error after a failed write or sync.
//! Called by: `Store` and `Change`, through the handle; `Opened` starts it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use crate::audit::{Chain, Draft};
use crate::domain::{EnvironmentId, lock};

use crate::store::disk_budget::{FreeSpace, Share};
use crate::store::point_in_time::{MAX_IMAGE_BYTES, PointInTime, SnapshotTaker};
use crate::store::revisions::Revisions;
use crate::store::rows::keyspace::full_key;
use crate::store::rows::row::{HeadRow, StoredAuditRow};
use crate::store::rows::tables::{AuditHead, AuditRows};
use crate::store::rows::view::{ReadError, encode_row};
use crate::store::rows::write_set::WriteSet;
use crate::store::sled::disk::Disk;
use crate::store::unavailable::Unavailable;
use crate::store::writer::decision::Decision;
use crate::store::writer::transaction::{CommitError, Tx};

/// The most changes that may wait; further ones are refused as overload.
const QUEUE_CHANGES: usize = 4096;
/// The most changes in a group, so that nobody waits for a huge batch.
const GROUP_CHANGES: usize = 512;
/// A group stops growing once its keys and rows exceed this many bytes.
const GROUP_BYTES: usize = 4 << 20;

type Finish = Box<dyn FnOnce(Result<(), Unavailable>) + Send>;
type Run = Box<dyn FnOnce(Result<&mut Tx<'_>, Unavailable>) -> (Verdict, Finish) + Send>;

/// What to do with the writes of a change.
enum Verdict {
    /// Apply them, with these audit rows.
    Apply(Vec<Draft>),
    /// Drop them and write this audit row.
    Record(Box<Draft>),
    /// Drop them without a trace.
    Discard,
}

struct QueuedChange {
    run: Run,
    share: Share,
}

type ViewReply = oneshot::Sender<Option<PointInTime>>;

enum WriterMessage {
    Change(QueuedChange),
    PointInTime(ViewReply),
    Stop,
}

/// Why a group stopped growing.
enum GroupEnd {
    Continue,
    PointInTime(ViewReply),
    Stop,
}

/// Receives the outcome of a change.
pub(in crate::store) type PendingOutcome<T, E> = oneshot::Receiver<Result<T, CommitError<E>>>;

/// A handle to the writer thread.
pub(in crate::store) struct Writer {
    queue: SyncSender<WriterMessage>,
    space: FreeSpace,
    closing: AtomicBool,
    failed: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("closing", &self.closing).finish_non_exhaustive()
    }
}

impl Writer {
    pub fn start(disk: Disk, chain: Chain, revisions: Arc<Revisions>) -> std::io::Result<Self> {
        let (queue, changes) = sync_channel(QUEUE_CHANGES);
        let (fail, failed) = watch::channel(false);
        let space = disk.space().clone();
        let is_new = disk.tree().is_empty();
        let taker = SnapshotTaker::default();
        let work = WriterLoop { is_new, fail: fail.clone(), disk, chain, revisions, taker };
        let thread =
            std::thread::Builder::new().name("coffer-writer".to_owned()).spawn(move || {
                // A panic here leaves the chain in an unknown state, so it is as fatal as a failed
                // sync.
                let outcome = panic::catch_unwind(AssertUnwindSafe(|| work.run(&changes)));
                if !matches!(outcome, Ok(Ok(()))) {
                    if let Ok(Err(error)) = outcome {
                        log::error!("the database failed and accepts no more writes: {error}");
                    }
                    fail.send_replace(true);
                }
            })?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { queue, space, closing: AtomicBool::new(false), failed, thread })
    }

    /// Queues a change and returns the receiver of its outcome. The writes of a dry run are
    /// dropped.
    pub fn queue<T, E, F>(
        &self,
        share: Share,
        dry_run: bool,
        change: F,
    ) -> Result<PendingOutcome<T, E>, Unavailable>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<Decision<T, E>, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        if self.closing.load(Ordering::Acquire) {
            return Err(Unavailable::ShuttingDown);
        }
        let (reply, answer) = oneshot::channel();
        let run: Run = Box::new(move |tx| {
            let (verdict, outcome) = match tx.map(change) {
                Ok(Ok(Decision::Applied(value, rows))) => (Verdict::Apply(rows), Ok(value)),
                Ok(Ok(Decision::Refused(error, row))) => {
                    (Verdict::Record(row), Err(CommitError::Refused(error)))
                }
                Ok(Err(refused)) => (Verdict::Discard, Err(CommitError::Refused(refused))),
                Err(unavailable) => (Verdict::Discard, Err(unavailable.into())),
            };
            let verdict = if dry_run { Verdict::Discard } else { verdict };
            let finish: Finish = Box::new(move |durable| {
                // There is no receiver if the client has disconnected; the change is applied
                // regardless.
                let _ = reply.send(durable.map_err(CommitError::Unavailable).and(outcome));
            });
            (verdict, finish)
        });
        let message = WriterMessage::Change(QueuedChange { run, share });
        self.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => Unavailable::Overloaded,
            TrySendError::Disconnected(_) => self.why_stopped(),
        })?;
        Ok(answer)
    }

    /// Requests a view of the database between two groups. The receiver gets `None` while another
    /// view is open.
    pub fn point_in_time(&self) -> Result<oneshot::Receiver<Option<PointInTime>>, Unavailable> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Unavailable::ShuttingDown);
        }
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(WriterMessage::PointInTime(reply)).map_err(|error| match error {
            TrySendError::Full(_) => Unavailable::Overloaded,
            TrySendError::Disconnected(_) => self.why_stopped(),
        })?;
        Ok(answer)
    }

    /// Explains why a change was never answered.
    pub fn why_unanswered<E>(&self) -> CommitError<E> {
        if self.closing.load(Ordering::Acquire) || *self.failed.borrow() {
            CommitError::Unavailable(self.why_stopped())
        } else {
            CommitError::Panicked
        }
    }

    fn why_stopped(&self) -> Unavailable {
        if *self.failed.borrow() { Unavailable::Failed } else { Unavailable::ShuttingDown }
    }

    pub fn writable(&self) -> Result<(), Unavailable> {
        if *self.failed.borrow() {
            return Err(Unavailable::Failed);
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(Unavailable::ShuttingDown);
        }
        self.space.check(self.space.left(), Share::Common)
    }

    pub fn space(&self) -> &FreeSpace {
        &self.space
    }

    pub async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() {
            // The thread has ended normally and will never fail.
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }

    /// Stops the thread after the queued changes; fails if a write or sync has failed.
    pub fn close(&self) -> Result<(), Unavailable> {
        self.closing.store(true, Ordering::Release);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // This fails only if the thread has already ended.
            let _ = self.queue.send(WriterMessage::Stop);
            let _ = thread.join();
        }
        if *self.failed.borrow() { Err(Unavailable::Failed) } else { Ok(()) }
    }
}

/// Marks the writer as failed if it panics.
struct FailOnPanic(watch::Sender<bool>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(true);
        }
    }
}

/// The state of the thread.
struct WriterLoop {
    is_new: bool,
    fail: watch::Sender<bool>,
    disk: Disk,
    chain: Chain,
    revisions: Arc<Revisions>,
    taker: SnapshotTaker,
}

impl WriterLoop {
    fn run(mut self, queue: &Receiver<WriterMessage>) -> std::io::Result<()> {
        while let Ok(message) = queue.recv() {
            let after = match message {
                WriterMessage::Change(first) => self.group(first, queue)?,
                WriterMessage::PointInTime(reply) => GroupEnd::PointInTime(reply),
                WriterMessage::Stop => GroupEnd::Stop,
            };
            match after {
                GroupEnd::Continue => {}
                GroupEnd::PointInTime(reply) => self.take_point_in_time(reply),
                GroupEnd::Stop => break,
            }
        }
        // Whatever was queued after the stop is refused.
        while let Ok(late) = queue.try_recv() {
            if let WriterMessage::Change(late) = late {
                let (_, finish) = (late.run)(Err(Unavailable::ShuttingDown));
                finish(Ok(()));
            }
        }
        self.disk.settle()
    }

    fn take_point_in_time(&mut self, reply: ViewReply) {
        let view = self.taker.take(self.disk.tree(), self.disk.lock(), MAX_IMAGE_BYTES);
        // If the receiver is gone, the view is dropped with the reply.
        let _ = reply.send(view);
    }

    /// Marks a new database as in use after its first group.
    fn mark_in_use(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.is_new) { self.disk.mark_in_use() } else { Ok(()) }
    }

    /// Checks that sled can read the pages that it needs for writing these rows and an audit row.
    /// Otherwise it would fail in the middle of a batch, and the half that it has written would
    /// reappear with the next start. Returns the bytes of the rows that are replaced or removed.
    fn check_readable<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
        audited: bool,
    ) -> Result<usize, ReadError> {
        let tree = self.disk.tree();
        let mut replaced = 0;
        for key in keys {
            replaced += tree.get(key)?.map_or(0, |row| row.len());
        }
        if audited {
            tree.get(full_key::<AuditRows>(&self.chain.head().seq.saturating_add(1)))?;
        }
        tree.get(full_key::<AuditHead>(&()))?;
        Ok(replaced)
    }

    /// Runs a group of changes and returns why it ended.
    fn group(
        &mut self,
        first: QueuedChange,
        queue: &Receiver<WriterMessage>,
    ) -> std::io::Result<GroupEnd> {
        let _watched = self.disk.watch_guard();
        let mut group = Group { left: self.disk.space().left(), ..Group::default() };
        // Dropped before the group: a caller whose answer never comes must not conclude that
        // nothing was written.
        let _panic = FailOnPanic(self.fail.clone());
        let mut next = Some(WriterMessage::Change(first));
        let mut after = GroupEnd::Continue;
        while let Some(message) = next.take() {
            match message {
                WriterMessage::Change(change) => group.run(change, self),
                WriterMessage::PointInTime(reply) => after = GroupEnd::PointInTime(reply),
                WriterMessage::Stop => after = GroupEnd::Stop,
            }
            let go_on = matches!(after, GroupEnd::Continue);
            if go_on && group.changes < GROUP_CHANGES && group.size() < GROUP_BYTES {
                next = queue.try_recv().ok();
            }
        }
        let durable = if group.writes.is_empty() {
            Ok(())
        } else {
            group.writes.set(
                full_key::<AuditHead>(&()),
                Some(encode_row::<AuditHead>(&HeadRow::new(&self.chain.head()))),
            );
            self.taker.keep_before_images(self.disk.tree(), &group.writes);
            self.disk.apply(group.writes).and_then(|()| self.mark_in_use())
        };
        if durable.is_ok() {
            self.disk.acknowledge(self.chain.head().seq);
        }
        // Before anyone is answered, so that no answer arrives earlier than the revision that
        // invalidates what was cached before it.
        self.revisions.bump(group.touched.into_iter());
        let outcome = if durable.is_ok() { Ok(()) } else { Err(Unavailable::Failed) };
        for finish in group.finishes {
            finish(outcome);
        }
        durable.map(|()| after)
    }
}

/// Changes that share one sync.
#[derive(Default)]
struct Group {
    /// Free space when the group started, in bytes.
    left: u64,
    changes: usize,
    writes: WriteSet,
    /// Bytes of the rows that the group replaces or removes.
    replaced: usize,
    touched: BTreeSet<EnvironmentId>,
    finishes: Vec<Finish>,
}

impl Group {
    /// Returns about how much disk space the group takes before any is freed: sled rewrites the
    /// rows next to the ones that it removes.
    fn size(&self) -> usize {
        self.writes.size() + self.replaced
    }

    fn run(&mut self, change: QueuedChange, work: &mut WriterLoop) {
        self.changes += 1;
        let left = self.left.saturating_sub(self.size() as u64);
        if let Err(unavailable) = work.disk.space().check(left, change.share) {
            self.finishes.push((change.run)(Err(unavailable)).1);
            return;
        }
        let mut tx = Tx::new(work.disk.tree(), &self.writes);
        // What a change wrote before it panicked is in its own write set and is dropped with it;
        // its caller notices that no answer comes.
        let ran = panic::catch_unwind(AssertUnwindSafe(|| (change.run)(Ok(&mut tx))));
        let Ok((verdict, finish)) = ran else { return };
        let drafts = match verdict {
            Verdict::Apply(drafts) => Some(drafts),
            Verdict::Record(draft) => {
                tx.discard();
                Some(vec![*draft])
            }
            Verdict::Discard => None,
        };
        if let Some(drafts) = drafts {
            let further = std::mem::take(&mut tx.further);
            let rows = drafts.len() + further.len();
            match work.check_readable(tx.own.keys(), rows > 0) {
                Ok(replaced) => self.replaced += replaced,
                Err(error) => {
                    log::error!("refused a change: {error}");
                    self.finishes.push(Box::new(|_| finish(Err(Unavailable::Damaged))));
                    return;
                }
            }
            std::mem::take(&mut tx.accepted.0).into_iter().for_each(|then| then());
            for draft in drafts.into_iter().chain(further) {
                let row = work.chain.append(draft);
                tx.put::<AuditRows>(&row.seq, &StoredAuditRow::new(row.mac, row.body));
            }
            let Tx { own, touched, .. } = tx;
            self.writes.merge(own);
            self.touched.extend(touched);
        }
        self.finishes.push(finish);
    }
}
