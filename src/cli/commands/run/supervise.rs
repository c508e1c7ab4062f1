//! `coffer run --watch`: restarts a program with new values.
//!
//! Owns: the child process, and forwarding signals to it.
//! Must never: outlive its child, or leave it running; lose its exit code.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use crate::cli::commands::run::start_error::not_started;
use crate::cli::terminal::error::Failure;

/// How long a child may take to end before it is killed.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// The signals that are passed on: all that can be caught and mean something to another process.
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

/// The signals that a terminal sends to the whole foreground process group.
const FROM_TERMINAL: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// Runs a command, and replaces it with each one that `next` delivers. Returns the exit code of
/// the one that ends by itself.
pub(super) fn supervise(first: Command, next: UnboundedReceiver<Command>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let code = runtime.block_on(run_all(first, next));
    // A thread may still be waiting for the server.
    runtime.shutdown_background();
    code
}

async fn run_all(
    mut command: Command,
    mut next: UnboundedReceiver<Command>,
) -> Result<u8, Failure> {
    let mut signals = forwarded_signals()
        .map_err(|error| Failure::failed(format!("cannot handle signals: {error}")))?;
    loop {
        let mut child = ChildProcess::spawn(command)?;
        let replaced = loop {
            tokio::select! {
                // In this order, because a child that has ended cannot be signaled.
                biased;
                status = child.ended() => return Ok(exit_code(status?)),
                Some(signal) = signals.recv() => child.forward(signal),
                Some(command) = next.recv() => break command,
            }
        };
        let _ = writeln!(std::io::stderr(), "coffer: values changed, restarting");
        child.forward(Signal::TERM);
        let deadline = tokio::time::sleep(GRACE_PERIOD);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                status = child.ended() => { status?; break; },
                Some(signal) = signals.recv() => {
                    child.forward(signal);
                    // A signal to stop means to stop, not to restart.
                    if matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT) {
                        return child.ended().await.map(exit_code);
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
        // Skips to the newest.
        while let Ok(newer) = next.try_recv() {
            command = newer;
        }
    }
}

/// The exit code as a shell reports it: 128 plus the signal's number if the child was killed.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Catches the signals to forward, from now on.
fn forwarded_signals() -> std::io::Result<UnboundedReceiver<Signal>> {
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

/// A child process, with a notification of its end.
struct ChildProcess {
    child: Child,
    pid: Pid,
    end: oneshot::Receiver<()>,
    has_ended: bool,
}

impl ChildProcess {
    fn spawn(mut command: Command) -> Result<Self, Failure> {
        let child = command.spawn().map_err(|error| not_started(&command, &error))?;
        let pid = Pid::from_child(&child);
        let (notify, end) = oneshot::channel();
        // Notices the end without reaping the child: until it is reaped, no other process can get
        // its id, so a signal cannot hit the wrong process.
        std::thread::spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
            let _ = notify.send(());
        });
        Ok(Self { child, pid, end, has_ended: false })
    }

    async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        if !self.has_ended {
            let _ = (&mut self.end).await;
            self.has_ended = true;
        }
        self.child
            .wait()
            .map_err(|error| Failure::failed(format!("cannot wait for the program: {error}")))
    }

    fn forward(&self, signal: Signal) {
        if FROM_TERMINAL.contains(&signal) && is_in_foreground() {
            // The terminal has sent it to the child as well.
            return;
        }
        let _ = kill_process(self.pid, signal);
    }
}

/// Whether this process group is in the foreground of its terminal.
fn is_in_foreground() -> bool {
    let stdin = std::io::stdin();
    rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp())
}
