//! Runs the command of a delivery after its file has changed.
//!
//! Owns: the environment of the command, its time limit, and how it ended.
//! Must never: pass it a value, keep its output (which may contain one), or run it through a shell.
//! Called by: `keep_delivering`.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandExit {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It exceeded its time limit and was killed together with its child processes.
    TimedOut,
    /// It could not be started.
    NotStarted(String),
}

impl CommandExit {
    /// Reports whether the command exited with code 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl fmt::Display for CommandExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotStarted(why) => write!(f, "cannot start it: {why}"),
        }
    }
}

/// The only variable passed to a command.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs a program with its arguments and blocks until it has ended. Returns `None` if `words` is
/// empty.
pub fn run(words: &[String], limit: Duration) -> Option<CommandExit> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Its own process group, so that its child processes can be killed with it.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(CommandExit::NotStarted(error.to_string())),
    };
    let pid = Pid::from_child(&child);
    let (sender, exited) = mpsc::channel();
    std::thread::spawn(move || {
        // Waits without reaping: until the child is reaped, its process id and group id cannot be
        // reused, so the kill below cannot hit another process.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
        let _ = sender.send(());
    });
    let timed_out = exited.recv_timeout(limit).is_err();
    if timed_out {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait();
    Some(match status {
        _ if timed_out => CommandExit::TimedOut,
        Ok(status) => exit_of(status),
        Err(error) => CommandExit::NotStarted(error.to_string()),
    })
}

fn exit_of(status: ExitStatus) -> CommandExit {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(code), _) => CommandExit::Code(code),
        (None, signal) => CommandExit::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_words<const N: usize>(words: [&str; N], seconds: u64) -> Option<CommandExit> {
        run(&words.map(str::to_owned), Duration::from_secs(seconds))
    }

    #[test]
    fn each_kind_of_exit_is_reported() {
        assert_eq!(run_words([], 5), None);
        assert_eq!(run_words(["true"], 5), Some(CommandExit::Code(0)));
        assert_eq!(run_words(["sh", "-c", "exit 7"], 5), Some(CommandExit::Code(7)));
        assert_eq!(run_words(["sh", "-c", "kill -9 $$"], 5), Some(CommandExit::Signal(9)));
        assert!(matches!(run_words(["/nowhere"], 5), Some(CommandExit::NotStarted(_))));
        // No shell in between.
        assert!(matches!(run_words(["true; false"], 5), Some(CommandExit::NotStarted(_))));
    }

    #[test]
    fn a_command_over_its_limit_is_killed_with_its_children() {
        let started = std::time::Instant::now();
        let exit = run_words(["sh", "-c", "sleep 600 & sleep 600"], 1);
        assert_eq!(exit, Some(CommandExit::TimedOut));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
