//! Signals from the operator: stop and reload.

use std::io;
use std::time::{Duration, Instant};

/// Signals within this time count as one: a terminal and a parent process may both pass on a
/// single Ctrl-C.
const REPEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Starts listening for SIGTERM and SIGINT (elsewhere Ctrl-C). The future resolves at the first
/// one; a second one then ends the process at once.
pub(super) fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            log::info!("{name}: finishing running requests");
            actix_web::rt::spawn(async move {
                let first = Instant::now();
                while first.elapsed() < REPEAT_INTERVAL {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                log::warn!("second signal: stopping now; acknowledged changes are saved");
                std::process::exit(1);
            });
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // If no handler can be installed, Ctrl-C ends the process by itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// SIGHUPs since [`ReloadSignals::listen`]. There are none on systems other than Unix.
pub(super) struct ReloadSignals {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

impl ReloadSignals {
    /// Starts listening.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signals: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::hangup())?
            },
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.signals.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
