//! Rendered lists of secrets, kept while nothing in their environment changes.
//!
//! Owns: the bytes of answers that contain no values. Lists of vars contain values and are not
//! kept.
//! Must never: return a list that was rendered before a change that was answered. Callers read the
//! revision before they read the rows, so a list that raced a change is kept under the old
//! revision, where nobody finds it.
//! Called by: `handlers::secrets`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use actix_web::web::Bytes;

use crate::domain::{EnvironmentId, lock};
use crate::vault::Page;

/// The total size of the kept lists, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// The revision of the environment, and that of the configuration: lists show which workloads use
/// a secret.
pub(super) type Revision = (u64, u64);

/// A bounded cache of rendered lists.
#[derive(Debug, Default)]
pub(super) struct ListCache(Mutex<CachedLists>);

#[derive(Debug, Default)]
struct CachedLists {
    lists: HashMap<(EnvironmentId, Page), (Revision, Bytes)>,
    bytes: usize,
}

impl ListCache {
    /// Returns the list if it was kept under this revision.
    pub fn get(&self, key: &(EnvironmentId, Page), revision: Revision) -> Option<Bytes> {
        let cached = self.lock();
        cached.lists.get(key).filter(|(at, _)| *at == revision).map(|(_, body)| body.clone())
    }

    /// Keeps a list, unless it would take up too much of the cache. A full cache is emptied.
    pub fn put(&self, key: (EnvironmentId, Page), revision: Revision, body: &Bytes) {
        let size = size(&key.1, body);
        if size > MAX_BYTES / 4 {
            return;
        }
        let mut cached = self.lock();
        if cached.bytes + size > MAX_BYTES {
            *cached = CachedLists::default();
        }
        cached.bytes += size;
        let old = cached.lists.get(&key).map(|(_, old)| self::size(&key.1, old));
        cached.lists.insert(key, (revision, body.clone()));
        if let Some(old) = old {
            cached.bytes -= old;
        }
    }

    fn lock(&self) -> MutexGuard<'_, CachedLists> {
        lock(&self.0)
    }
}

/// Estimates the memory of a kept list, including its key and some bookkeeping.
fn size(page: &Page, body: &Bytes) -> usize {
    256 + body.len() + page.prefix.len() + page.after.as_ref().map_or(0, String::len)
}
