//! A watchdog that wakes a writer which sled has left waiting.
//!
//! sled 0.34.7 writes its buffers in threads of its own. When such a write fails
//! (`Log::exit_reservation`), it records the error but wakes nobody, so a thread that waits in
//! `flush` waits forever: no answer, and the process does not exit either. Every further `flush`
//! checks for that error first and wakes all waiting threads. So the watchdog calls one, in a
//! thread of its own, because that call may hang too.
//!
//! Owns: a thread that checks at intervals whether the writer's work takes too long: its writes,
//! and its reads, which wait for sled's writes.
//! Must never: write anything itself.
//! Called by: `disk` and `compact`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Work that takes longer than once or twice this long triggers a flush.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Activity {
    /// The number of guards that exist.
    guards: AtomicU64,
    /// Increases whenever a guard is created or dropped.
    count: AtomicU64,
}

/// Guards work: while it exists, the watchdog acts if the work takes too long.
#[derive(Debug)]
pub(in crate::store) struct WatchGuard(Arc<Activity>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.guards.fetch_sub(1, Ordering::AcqRel);
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }
}

/// The watchdog's thread, which ends when this is dropped.
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
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let now = seen.count.load(Ordering::Acquire);
                if seen.guards.load(Ordering::Acquire) > 0 && now == last {
                    wake(&db, &waking);
                }
                last = now;
            }
        })?;
        Ok(Self { activity, stop: Some(stop), thread: Some(thread) })
    }

    /// Guards a write.
    pub fn during<T>(&self, write: impl FnOnce() -> T) -> T {
        let _guard = self.guard();
        write()
    }

    /// Guards the work done while the returned guard exists. That includes reads, which may wait
    /// for sled's writes: paging a row in can page another one out.
    pub fn guard(&self) -> WatchGuard {
        self.activity.guards.fetch_add(1, Ordering::AcqRel);
        self.activity.count.fetch_add(1, Ordering::AcqRel);
        WatchGuard(Arc::clone(&self.activity))
    }
}

/// Calls `flush`, one call at a time: otherwise a hanging disk would accumulate a thread per
/// second.
fn wake(db: &sled::Db, waking: &Arc<AtomicBool>) {
    if waking.swap(true, Ordering::AcqRel) {
        return;
    }
    let (db, awake) = (db.clone(), Arc::clone(waking));
    let flush = move || {
        let failed = db.flush().is_err();
        if failed {
            // It must not be closed after a failure; see `Disk::poison`.
            std::mem::forget(db);
        }
        awake.store(false, Ordering::Release);
    };
    if Builder::new().name("coffer-wake".to_owned()).spawn(flush).is_err() {
        // If no thread can be started, the next interval tries again.
        waking.store(false, Ordering::Release);
    }
}

/// Drops a holder of sled, and returns an error if sled panics because its last sync failed. What
/// was synced before that is safe.
pub(in crate::store) fn close_catching_panic(holder: impl Sized) -> io::Result<()> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(holder)))
        .map_err(|_| io::Error::other("the last sync failed"))
}

impl Drop for Watchdog {
    /// Ends the thread and with it the watchdog's hold on sled, which closes once its last holder
    /// is dropped. The other holders have synced it and drop the watchdog first.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // This fails only if the thread has already ended.
            let _ = thread.join();
        }
    }
}
