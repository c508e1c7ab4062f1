//! Rendered lists of secrets, kept while nothing in their environment changes.
//!
//! Owns: bytes of answers that hold no values; lists of vars are not kept.
//! Must never: serve what was rendered before a change that was answered. The
//! revision is taken before the rows are read, so a list that raced a change
//! is kept under the old revision and found by nobody.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::domain::EnvironmentId;
use crate::vault::Page;

use crate::http::response::answer::Answer;

/// All kept answers together, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// The environment's, and that of what is declared: answers name who uses a row.
pub(super) type Revision = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct ListCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<(EnvironmentId, Page), (Revision, Answer)>,
    bytes: usize,
}

impl ListCache {
    pub fn get(&self, key: &(EnvironmentId, Page), revision: Revision) -> Option<Answer> {
        let kept = self.0.lock().expect("no holder of this lock can panic");
        kept.lists.get(key).filter(|(at, _)| *at == revision).map(|(_, answer)| answer.clone())
    }

    pub fn put(&self, key: (EnvironmentId, Page), revision: Revision, answer: &Answer) {
        let size = size(&key.1, answer);
        // One that would fill the place by itself is not worth the others.
        if size > MOST_BYTES / 4 {
            return;
        }
        let mut kept = self.0.lock().expect("no holder of this lock can panic");
        if kept.bytes + size > MOST_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += size;
        let old = kept.lists.get(&key).map(|(_, old)| self::size(&key.1, old));
        kept.lists.insert(key, (revision, answer.clone()));
        if let Some(old) = old {
            kept.bytes -= old;
        }
    }
}

/// What a kept list takes up, its key and some bookkeeping included.
fn size(page: &Page, answer: &Answer) -> usize {
    256 + answer.body.len() + page.prefix.len() + page.after.as_ref().map_or(0, String::len)
}
