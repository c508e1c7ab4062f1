//! SIGKILL in place of a system call: the first run is killed at the first call of a kind, the next
//! run at the second, and so on, until a run completes.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::process::{Ended, Launch};
use crate::tier;

/// More calls of one kind than any thread makes: strace counts per thread.
const MOST: usize = 100;

/// The call at which one run is killed.
pub struct Cut<'a> {
    call: &'a str,
    number: usize,
}

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killed at {} {}", self.call, self.number)
    }
}

impl Cut<'_> {
    /// The arguments for strace. Some systems have only the newer variant of a call, so a name
    /// matches every call that begins with it.
    pub fn words(&self) -> [String; 4] {
        let Self { call, number } = self;
        let inject = format!("inject=/^{call}:signal=KILL:when={number}");
        // Calls that are not traced cannot be killed at. The other traced calls are those that
        // tests wait for.
        let trace = format!("trace=execve,fdatasync,/^{call}");
        ["-e".to_owned(), trace, "-e".to_owned(), inject]
    }

    /// Runs a command to its end, or until this cut kills it.
    pub fn run(&self, strace: &[String], launch: &Launch) -> Ended {
        let mut wrapper = strace.to_vec();
        wrapper.extend(["-f", "-qq", "-o", "/dev/null"].map(str::to_owned));
        wrapper.extend(self.words());
        launch.clone().under(wrapper).run("")
    }

    /// Whether the run was killed here. Any other failure, such as arguments that strace rejects,
    /// does not count.
    #[track_caller]
    pub fn hit(&self, ended: &Ended) -> bool {
        let killed = ended.signal == Some(9) || ended.code == Some(137);
        assert!(killed || ended.code == Some(0), "{self}: {ended:#?}");
        killed
    }
}

/// A cut at the first call of a kind.
pub fn first(call: &str) -> Cut<'_> {
    Cut { call, number: 1 }
}

/// Repeats `run` with a later cut each time until it returns `false`, because the run was not
/// killed. Returns how many runs were killed.
#[track_caller]
pub fn at_each(call: &str, mut run: impl FnMut(&Cut<'_>) -> bool) -> usize {
    // A run that is not killed comes after the last call, so the short form can skip calls before
    // it.
    let numbers = (1..=MOST).step_by(tier::rounds(1, 3));
    let most = numbers.clone().count();
    let hit = numbers.take_while(|number| run(&Cut { call, number: *number })).count();
    assert!(hit < most, "every one of {most} runs was killed at {call}");
    hit
}

/// Copies a directory and everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}
