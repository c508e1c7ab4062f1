//! Change counters, one per environment, in memory.
//!
//! Owns: the revisions that cached responses are keyed by, and the signal that one has changed.
//! Must never: lag behind what a reader can already see.
//! Called by: the writer, after each group; readers, through `Store::revision`.

use std::collections::HashMap;
use std::sync::RwLock;

use tokio::sync::watch;

use crate::domain::{EnvironmentId, read_lock, write_lock};

/// One change counter per environment.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    of: RwLock<HashMap<EnvironmentId, u64>>,
    /// Signals that a counter has changed.
    changed: watch::Sender<()>,
}

impl Revisions {
    pub fn of(&self, environment: EnvironmentId) -> u64 {
        let map = read_lock(&self.of);
        map.get(&environment).copied().unwrap_or(0)
    }

    /// Subscribes to the signal that a counter has changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn bump(&self, environments: impl Iterator<Item = EnvironmentId>) {
        let mut environments = environments.peekable();
        if environments.peek().is_none() {
            return;
        }
        let mut map = write_lock(&self.of);
        for environment in environments {
            *map.entry(environment).or_insert(0) += 1;
        }
        drop(map);
        self.changed.send_replace(());
    }
}
