//! The signal that the server is about to stop, for requests that wait for a change.

use tokio::sync::watch;

/// Tells waiting requests that the server is about to stop.
#[derive(Debug, Default)]
pub(in crate::http) struct StopSignal(watch::Sender<bool>);

impl StopSignal {
    /// Wakes every listener, now and in future.
    pub fn send(&self) {
        self.0.send_replace(true);
    }

    pub fn listen(&self) -> StopListener {
        StopListener(self.0.subscribe())
    }
}

/// Waits for a [`StopSignal`].
pub(in crate::http) struct StopListener(watch::Receiver<bool>);

impl StopListener {
    /// Resolves when the server is about to stop.
    pub async fn stopped(&mut self) {
        // An error means that the sender, and so the server, is gone already.
        let _ = self.0.wait_for(|is_stopping| *is_stopping).await;
    }
}
