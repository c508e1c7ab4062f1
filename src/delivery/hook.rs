//! The command that is run after a file has changed.
//!
//! Owns: its time limit, its end.
//! Must never: give it a value, keep what it prints (it may print one), run it
//! through a shell.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long, and was killed with all that it had started.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

impl Ended {
    /// Whether it did what it should, by its own word.
    pub fn is_good(&self) -> bool {
        *self == Self::Code(0)
    }
}

/// What a command may rely on: where programs are, and nothing else of ours.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program with its arguments. Blocks until it has ended.
pub fn run(words: &[String], limit: Duration) -> Option<Ended> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, so that what it starts can be ended with it.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(Ended::NotStarted(error.to_string())),
    };
    let pid = Pid::from_child(&child);
    let (tell, gone) = mpsc::channel();
    std::thread::spawn(move || {
        // The child is only looked at: its number, and that of its group, belong to
        // nobody else until it has been waited for.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), look), Err(rustix::io::Errno::INTR)) {}
        let _ = tell.send(());
    });
    let timed_out = gone.recv_timeout(limit).is_err();
    if timed_out {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait();
    Some(match status {
        _ if timed_out => Ended::TimedOut,
        Ok(status) => ended(status),
        Err(error) => Ended::NotStarted(error.to_string()),
    })
}

fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_words<const N: usize>(words: [&str; N], seconds: u64) -> Option<Ended> {
        run(&words.map(str::to_owned), Duration::from_secs(seconds))
    }

    #[test]
    fn ends_are_told_apart() {
        assert_eq!(run_words([], 5), None);
        assert_eq!(run_words(["true"], 5), Some(Ended::Code(0)));
        assert_eq!(run_words(["sh", "-c", "exit 7"], 5), Some(Ended::Code(7)));
        assert_eq!(run_words(["sh", "-c", "kill -9 $$"], 5), Some(Ended::Signal(9)));
        assert!(matches!(run_words(["/nowhere"], 5), Some(Ended::NotStarted(_))));
        // No shell in between.
        assert!(matches!(run_words(["true; false"], 5), Some(Ended::NotStarted(_))));
    }

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        let begun = std::time::Instant::now();
        let ended = run_words(["sh", "-c", "sleep 600 & sleep 600"], 1);
        assert_eq!(ended, Some(Ended::TimedOut));
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
