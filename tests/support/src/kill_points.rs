//! SIGKILL in place of a system call: of the first of a kind, in another run of the
//! second, and so on, until a run is not hit any more.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::process::{Ended, Launch};
use crate::tier;

/// More than anything makes of one kind in one thread: strace counts in each.
const MOST: usize = 100;

/// Where one run is to be cut off.
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
    /// The words for strace. Some systems have one of a family only in its newer
    /// form, so a call stands for all whose names begin like it.
    pub fn words(&self) -> [String; 4] {
        let Self { call, number } = self;
        let inject = format!("inject=/^{call}:signal=KILL:when={number}");
        // What is not traced is not cut; the others are what tests wait for.
        let trace = format!("trace=execve,fdatasync,/^{call}");
        ["-e".to_owned(), trace, "-e".to_owned(), inject]
    }

    /// Runs a command to its end, or to this cut.
    pub fn run(&self, strace: &[String], launch: &Launch) -> Ended {
        let mut wrapper = strace.to_vec();
        wrapper.extend(["-f", "-qq", "-o", "/dev/null"].map(str::to_owned));
        wrapper.extend(self.words());
        launch.clone().under(wrapper).run("")
    }

    /// Whether a run was cut off here. Whatever else keeps it from a good end, as
    /// words that strace does not know, is no kill.
    #[track_caller]
    pub fn hit(&self, ended: &Ended) -> bool {
        let killed = ended.signal == Some(9) || ended.code == Some(137);
        assert!(killed || ended.code == Some(0), "{self}: {ended:#?}");
        killed
    }
}

/// The first call of a kind.
pub fn first(call: &str) -> Cut<'_> {
    Cut { call, number: 1 }
}

/// Makes one run after the other until one was not hit, as `run` tells; how many were.
#[track_caller]
pub fn at_each(call: &str, mut run: impl FnMut(&Cut<'_>) -> bool) -> usize {
    // A run that is not hit comes after the last call, so calls can be left out before it.
    let numbers = (1..=MOST).step_by(tier::rounds(1, 3));
    let most = numbers.clone().count();
    let hit = numbers.take_while(|number| run(&Cut { call, number: *number })).count();
    assert!(hit < most, "every one of {most} runs was killed at {call}");
    hit
}

/// A directory and all that is in it.
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
