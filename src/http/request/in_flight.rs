//! Which requests with an `Idempotency-Key` are in progress.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::domain::lock;

type Keys = HashSet<[u8; 32]>;

/// The idempotency records of the requests in progress.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct InFlight(Arc<Mutex<Keys>>);

/// Marks a request as in progress until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct InFlightGuard {
    all: InFlight,
    key: [u8; 32],
}

impl InFlight {
    /// Marks the request with this key as in progress; `None` if one already is.
    pub fn start(&self, key: [u8; 32]) -> Option<InFlightGuard> {
        self.lock().insert(key).then(|| InFlightGuard { all: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        lock(&self.0)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key);
    }
}
