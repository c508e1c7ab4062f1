//! Deleting old audit events, as `[audit] keep_days` says.
//!
//! Must never: keep the server from serving because it fails.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::vault::{self, PruneError, Unavailable, Vault};

const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// How many writes the start makes before it accepts requests: enough for the events of a day or
/// two of downtime. The rest is deleted while the server runs.
const FIRST_BATCHES: usize = 20;

/// Deletes some old events before the server accepts requests. Returns whether there may be more.
pub(super) async fn prune_at_start(vault: &Vault, keep_days: u32) -> bool {
    prune(vault, keep_days, FIRST_BATCHES).await
}

/// Deletes old events every hour, and `at_once` if the start left some. May be dropped at any
/// time: the writer finishes a write that has begun.
pub(super) async fn keep_pruning(vault: &Vault, keep_days: u32, at_once: bool) -> Infallible {
    let mut ticks = tokio::time::interval(INTERVAL);
    // After the machine was suspended, one pass makes up for all that were missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    if !at_once {
        ticks.reset();
    }
    loop {
        ticks.tick().await;
        prune(vault, keep_days, usize::MAX).await;
    }
}

async fn prune(vault: &Vault, keep_days: u32, batches: usize) -> bool {
    match vault.prune_audit_log(keep_days, batches).await {
        Ok(more) => more,
        Err(PruneError::Store(vault::Error::Unavailable(Unavailable::ShuttingDown))) => false,
        Err(error) => {
            log::error!("cannot delete old audit events: {error}");
            false
        }
    }
}
