//! Wakes a writer that sled has forgotten.
//!
//! Owns: a thread that looks, once in a while, whether what the writer does takes too
//! long: its writes, and its reads, which wait for sled's writes.
//! Must never: write anything itself.
//!
//! sled 0.34.7 writes its buffers in threads of its own. When such a write
//! fails (`Log::exit_reservation`), it notes the error and tells nobody, so
//! whoever waits in `flush` waits for ever: no answer, but no end of the process
//! either. Every further `flush` looks for that error first and wakes all who
//! wait. So one is called, in a thread of its own, for it may get stuck too.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A write that takes longer than this, or twice this, is looked after.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Activity {
    /// What is looked after just now.
    under_way: AtomicU64,
    /// Goes on with each beginning and each end.
    count: AtomicU64,
}

/// Something that is looked after, as long as this lives.
#[derive(Debug)]
pub(in crate::store) struct WatchGuard(Arc<Activity>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }
}

/// The thread, as long as this lives.
#[derive(Debug)]
pub(in crate::store) struct Watchdog {
    activity: Arc<Activity>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub fn start(db: &sled::Db) -> io::Result<Self> {
        let activity = Arc::new(Activity::default());
        let (stop, stopped) = channel::<()>();
        let (seen, db) = (Arc::clone(&activity), db.clone());
        let waking = Arc::new(AtomicBool::new(false));
        let thread = Builder::new().name("coffer-watch".to_owned()).spawn(move || {
            let mut last = 0;
            while stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let now = seen.count.load(Ordering::Acquire);
                if seen.under_way.load(Ordering::Acquire) > 0 && now == last {
                    wake(&db, &waking);
                }
                last = now;
            }
        })?;
        Ok(Self { activity, stop: Some(stop), thread: Some(thread) })
    }

    /// Looks after a write until it is done.
    pub fn during<T>(&self, write: impl FnOnce() -> T) -> T {
        let _guard = self.guard();
        write()
    }

    /// Looks after whatever is done as long as what this gives is kept. Reads, too,
    /// may have to wait for sled's writes: it pages out what it pages in over.
    pub fn guard(&self) -> WatchGuard {
        self.activity.under_way.fetch_add(1, Ordering::AcqRel);
        self.activity.count.fetch_add(1, Ordering::AcqRel);
        WatchGuard(Arc::clone(&self.activity))
    }
}

/// One at a time: a disk that hangs would otherwise collect a thread a second.
fn wake(db: &sled::Db, waking: &Arc<AtomicBool>) {
    if waking.swap(true, Ordering::AcqRel) {
        return;
    }
    let (db, awake) = (db.clone(), Arc::clone(waking));
    let flush = move || {
        let failed = db.flush().is_err();
        if failed {
            // As in `Disk::apply`: it must not be closed.
            std::mem::forget(db);
        }
        awake.store(false, Ordering::Release);
    };
    if Builder::new().name("coffer-wake".to_owned()).spawn(flush).is_err() {
        // Without a thread to spare there is another second.
        waking.store(false, Ordering::Release);
    }
}

/// Drops what holds sled open; an error where sled panics because the last sync
/// fails. What was settled before that is safe.
pub(in crate::store) fn close_catching_panic(holder: impl Sized) -> io::Result<()> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(holder)))
        .map_err(|_| io::Error::other("the last sync has failed"))
}

impl Drop for Watchdog {
    /// sled closes when nobody holds it any more. Whoever holds it beside this has
    /// settled it, and drops this first.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // An error means that it has already ended.
            let _ = thread.join();
        }
    }
}
