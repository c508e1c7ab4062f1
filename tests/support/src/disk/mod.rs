//! A file system for tests that forgets, at a power cut, what was not synced.
//! It keeps everything in memory and is mounted with FUSE, so the real binary
//! works on it. Needs Linux, `/dev/fuse` and the right to mount.

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

/// Longer than any test leaves a disk without a change.
const DEADLINE: Duration = Duration::from_secs(60);

/// The disk. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Disk(Arc<(Mutex<State>, Condvar)>);

impl Disk {
    pub fn new() -> Self {
        Self(Arc::new((Mutex::new(State::new()), Condvar::new())))
    }

    /// Makes it visible in an empty directory, until it is dropped.
    pub fn mount(&self, at: &Path) -> Result<Mounted, String> {
        mount::mount(self.clone(), at)
    }

    /// A failed assertion in one test thread must not hide behind another.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power goes after so many more changes and syncs: the next one, and
    /// every read, fails.
    pub fn cut_after(&self, steps: u64) {
        let mut state = self.state();
        state.cut_at = Some(state.steps + steps);
    }

    /// Never mind: the power stays.
    pub fn spare(&self) {
        self.state().cut_at = None;
    }

    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Returns when the power has gone.
    #[track_caller]
    pub fn wait_for_cut(&self) {
        let on = |state: &mut State| !state.is_off;
        let (_state, waited) = self.0.1.wait_timeout_while(self.state(), DEADLINE, on).unwrap();
        assert!(!waited.timed_out(), "nobody wrote until the power went");
    }

    /// Returns when the power has gone (`true`), or when `over` says that nobody
    /// waits for that any more and [`Disk::wake`] was called.
    pub fn wait_for_cut_unless(&self, over: &AtomicBool) -> bool {
        let waits = |state: &mut State| !state.is_off && !over.load(Ordering::SeqCst);
        let state = self.0.1.wait_while(self.state(), waits);
        state.unwrap_or_else(PoisonError::into_inner).is_off
    }

    /// Wakes the threads that wait for a cut, so that they look again.
    pub fn wake(&self) {
        let _state = self.state();
        self.0.1.notify_all();
    }

    /// The power is back, over what the cut has left.
    pub fn restore(&self, survivors: Survivors, dice: &mut Rng) {
        self.state().restore(survivors, dice);
    }

    /// Another disk that is as this one is now, for a look at what would become of
    /// it.
    pub fn fork(&self) -> Self {
        Self(Arc::new((Mutex::new(self.state().clone()), Condvar::new())))
    }

    /// Makes everything on it as it is on another one. Nobody may have it open.
    pub fn become_like(&self, other: &Self) {
        let state = other.state().clone();
        *self.state() = state;
    }

    /// What it would hold after a power cut that leaves so much.
    pub fn left(&self, survivors: Survivors, dice: &mut Rng) -> TempDir {
        let fork = self.fork();
        fork.restore(survivors, dice);
        let copy = tempfile::tempdir().unwrap();
        fork.copy_to(copy.path());
        copy
    }

    /// How many changes and syncs there have been.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// After so many more syncs every one fails.
    pub fn fail_syncs_after(&self, good: u64) {
        self.state().good_syncs = Some(good);
    }

    /// After so many more writes there is no room for another.
    pub fn fill_after(&self, good: u64) {
        self.state().good_writes = Some(good);
    }

    /// After so many more writes one fails.
    pub fn fail_one_write_after(&self, good: u64) {
        self.state().good_writes_before_a_bad_one = Some(good);
    }

    /// Syncs and writes succeed again.
    pub fn mend(&self) {
        self.state().mend();
    }

    /// Whether a sync or write has failed because it was to fail.
    pub fn has_failed(&self) -> bool {
        !self.state().failed.is_empty()
    }

    /// Whether that was one of this file (by the names that lead to it).
    pub fn has_failed_in(&self, names: &[&str]) -> bool {
        let state = self.state();
        let step = |number, name: &&str| state.find(number, OsStr::new(name));
        names.iter().try_fold(ROOT, step).is_ok_and(|file| state.failed.contains(&file))
    }

    /// Writes everything, as processes see it, into a directory that is there.
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

/// What every file below a directory holds, as a number: many cuts leave the same, and
/// to open that takes its time.
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
