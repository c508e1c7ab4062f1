//! `coffer run --watch`: a command that is started again with new values.
//!
//! Owns: the child, the signals on their way to it, its end.
//! Must never: outlive its child, or leave it running; swallow its exit code.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::cli::terminal::error::Failure;

/// What a child that is asked to end gets, before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// All that can be caught and means something to another process.
const FORWARDED: [Signal; 9] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CONT,
    Signal::ALARM,
];

/// Those that a terminal sends to everybody who is in front of it.
const OF_A_TERMINAL: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// Runs commands, one after the other: the first one, and whatever comes by
/// `next`. The exit code of the one that ends by itself.
pub(super) fn supervise(first: Command, next: UnboundedReceiver<Command>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    let code = runtime.block_on(watch_over(first, next));
    // A thread may still wait for the server; nobody waits for it.
    runtime.shutdown_background();
    code
}

async fn watch_over(
    mut command: Command,
    mut next: UnboundedReceiver<Command>,
) -> Result<u8, Failure> {
    let mut signals = caught().map_err(|error| Failure::failed(format!("signals: {error}")))?;
    loop {
        let mut child = Running::spawn(command)?;
        let replaced = loop {
            tokio::select! {
                // First of all: a child that has gone cannot be signalled.
                biased;
                status = child.ended() => return Ok(code(status?)),
                Some(signal) = signals.recv() => child.forward(signal),
                Some(command) = next.recv() => break command,
            }
        };
        let _ = writeln_stderr("coffer: values have changed; starting the command again");
        child.forward(Signal::TERM);
        let deadline = tokio::time::sleep(GRACE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                status = child.ended() => { status?; break; },
                Some(signal) = signals.recv() => {
                    child.forward(signal);
                    // Whoever ends us does not want another one started.
                    if matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT) {
                        return child.ended().await.map(code);
                    }
                }
                () = &mut deadline => {
                    child.forward(Signal::KILL);
                    child.ended().await?;
                    break;
                }
            }
        }
        command = replaced;
        // Only the newest counts.
        while let Ok(newer) = next.try_recv() {
            command = newer;
        }
    }
}

fn writeln_stderr(line: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stderr(), "{line}")
}

/// As a shell says it: 128 and the signal's number for one that was killed.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// All signals, one after the other.
fn caught() -> std::io::Result<UnboundedReceiver<Signal>> {
    let (send, signals) = unbounded_channel();
    for forwarded in FORWARDED {
        let mut stream = signal(SignalKind::from_raw(forwarded.as_raw()))?;
        let send = send.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if send.send(forwarded).is_err() {
                    return;
                }
            }
        });
    }
    Ok(signals)
}

/// A child, and word of its end.
struct Running {
    child: Child,
    pid: Pid,
    gone: tokio::sync::oneshot::Receiver<()>,
    has_gone: bool,
}

impl Running {
    fn spawn(mut command: Command) -> Result<Self, Failure> {
        let child = command
            .spawn()
            .map_err(|error| crate::cli::commands::run::not_started(&command, &error))?;
        let pid = Pid::from_child(&child);
        let (tell, gone) = tokio::sync::oneshot::channel();
        // Looks at the end and leaves the child to be waited for: until that is
        // done its number belongs to nobody else, so a signal cannot go astray.
        std::thread::spawn(move || {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), look), Err(rustix::io::Errno::INTR)) {}
            let _ = tell.send(());
        });
        Ok(Self { child, pid, gone, has_gone: false })
    }

    async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        if !self.has_gone {
            let _ = (&mut self.gone).await;
            self.has_gone = true;
        }
        self.child.wait().map_err(|error| Failure::failed(format!("the command's end: {error}")))
    }

    fn forward(&self, signal: Signal) {
        if OF_A_TERMINAL.contains(&signal) && is_in_front() {
            // It has got that from the terminal itself.
            return;
        }
        let _ = kill_process(self.pid, signal);
    }
}

/// Whether a terminal sends its signals to our group of processes.
fn is_in_front() -> bool {
    let stdin = std::io::stdin();
    rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}
