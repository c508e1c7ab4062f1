//! A file system for tests that loses, at a power cut, everything that was not synced. It keeps its
//! data in memory and is mounted with FUSE, so the real binary works on it. Needs Linux,
//! `/dev/fuse` and permission to mount.

mod mount;
mod state;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use mount::Mounted;
pub use state::Survivors;
use tempfile::TempDir;

use crate::rng::Rng;
use state::{Content, ROOT, State};

/// Longer than any test leaves a disk unchanged.
const DEADLINE: Duration = Duration::from_secs(60);

/// The disk. Clones share its state.
#[derive(Debug, Clone)]
pub struct Disk(Arc<(Mutex<State>, Condvar)>);

impl Disk {
    pub fn new() -> Self {
        Self(Arc::new((Mutex::new(State::new()), Condvar::new())))
    }

    /// Mounts the disk on an empty directory until the returned value is dropped.
    pub fn mount(&self, at: &Path) -> Result<Mounted, String> {
        mount::mount(self.clone(), at)
    }

    /// A failed assertion in one test thread must not be masked by a poisoned lock in another.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power after this many more changes and syncs: the next one, and every read, fails.
    pub fn cut_after(&self, steps: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.steps + steps);
    }

    /// Cancels the planned power cut.
    pub fn spare(&self) {
        self.state().cut_at = None;
    }

    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Returns once the power is off.
    #[track_caller]
    pub fn wait_for_cut(&self) {
        let on = |state: &mut State| !state.is_off;
        let (_state, waited) = self.0.1.wait_timeout_while(self.state(), DEADLINE, on).unwrap();
        assert!(!waited.timed_out(), "the power is still on: too few writes");
    }

    /// Returns `true` once the power is off, or `false` once `over` says that nobody waits for that
    /// anymore and [`Disk::wake`] was called.
    pub fn wait_for_cut_unless(&self, over: &AtomicBool) -> bool {
        let waits = |state: &mut State| !state.is_off && !over.load(Ordering::SeqCst);
        let state = self.0.1.wait_while(self.state(), waits);
        state.unwrap_or_else(PoisonError::into_inner).is_off
    }

    /// Wakes the threads that wait for a power cut, so that they check again.
    pub fn wake(&self) {
        let _state = self.state();
        self.0.1.notify_all();
    }

    /// Restores the power. The disk holds what the cut left.
    pub fn restore(&self, survivors: Survivors, rng: &mut Rng) {
        self.state().restore(survivors, rng);
    }

    /// Returns a separate copy of this disk in its current state, to see what would become of it.
    pub fn fork(&self) -> Self {
        Self(Arc::new((Mutex::new(self.state().clone()), Condvar::new())))
    }

    /// Replaces the content of this disk with that of another one. No file on it may be open.
    pub fn become_like(&self, other: &Self) {
        let state = other.state().clone();
        *self.state() = state;
    }

    /// Returns a directory with what a power cut with these survivors would leave.
    pub fn left(&self, survivors: Survivors, rng: &mut Rng) -> TempDir {
        let fork = self.fork();
        fork.restore(survivors, rng);
        let copy = tempfile::tempdir().unwrap();
        fork.copy_to(copy.path());
        copy
    }

    /// How many changes and syncs there have been.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Makes every sync fail after this many more have succeeded.
    pub fn fail_syncs_after(&self, good: u64) {
        self.state().good_syncs = Some(good);
    }

    /// Makes the disk full after this many more writes.
    pub fn fill_after(&self, good: u64) {
        self.state().good_writes = Some(good);
    }

    /// Makes one write fail after this many more have succeeded.
    pub fn fail_one_write_after(&self, good: u64) {
        self.state().good_writes_before_a_bad_one = Some(good);
    }

    /// Makes syncs and writes succeed again.
    pub fn mend(&self) {
        self.state().mend();
    }

    /// Whether a planned failure of a sync or write has happened.
    pub fn has_failed(&self) -> bool {
        !self.state().failed.is_empty()
    }

    /// Whether a planned failure has hit this file (by any of its names).
    pub fn has_failed_in(&self, names: &[&str]) -> bool {
        let state = self.state();
        let step = |number, name: &&str| state.find(number, OsStr::new(name));
        names.iter().try_fold(ROOT, step).is_ok_and(|file| state.failed.contains(&file))
    }

    /// Writes everything, as processes see it, into an existing directory.
    pub fn copy_to(&self, directory: &Path) {
        fn copy(state: &State, number: u64, to: &Path) {
            for (name, number) in state.entries(number).unwrap() {
                let to = to.join(name);
                match &state.node(*number).unwrap().content {
                    Content::File(bytes) => std::fs::write(to, bytes).unwrap(),
                    Content::Directory(_) => {
                        std::fs::create_dir_all(&to).unwrap();
                        copy(state, *number, &to);
                    }
                }
            }
        }
        copy(&self.state(), ROOT, directory);
    }
}

/// Hashes the content of every file below a directory. Many cuts leave the same content, and
/// opening it takes time, so equal results are opened once.
pub fn print_of(dir: &Path) -> u64 {
    fn add(dir: &Path, hasher: &mut DefaultHasher) {
        let entries = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
        for path in entries.collect::<BTreeSet<_>>() {
            path.file_name().hash(hasher);
            if path.is_dir() {
                add(&path, hasher);
            } else {
                std::fs::read(path).unwrap().hash(hasher);
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    add(dir, &mut hasher);
    hasher.finish()
}
