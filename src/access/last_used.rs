//! When a token, a session or a user was last used: exact in memory, to the minute in the database.
//!
//! Owns: both records, and when the stored one is updated.
//! Must never: make a request wait for the disk, or write more than once a minute.
//! Called by: `authenticate` for every request; the lists that show these times.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::domain::{Timestamp, lock};
use crate::store::{
    LastUses, ReadError, Sessions, Store, Tokens, Tx, Unaudited, Used, Users, View,
};

/// The least time between two writes for the same credential or user.
const WRITE_INTERVAL_MILLIS: i64 = 60_000;
/// The number of entries above which those not used for two minutes are dropped from memory; the
/// database has their times.
const MAX_ENTRIES: usize = 16_384;

/// The times of last use, in memory.
#[derive(Debug, Default)]
pub(super) struct LastUsed(Mutex<HashMap<Used, LastUse>>);

#[derive(Debug, Clone, Copy)]
struct LastUse {
    at: Timestamp,
    written_at: Timestamp,
}

impl LastUsed {
    /// Returns the time of the last use, from memory or from the database.
    pub fn get(&self, store: &Store, used: Used) -> Result<Option<Timestamp>, ReadError> {
        let in_memory = lock(&self.0).get(&used).map(|last| last.at);
        match in_memory {
            Some(at) => Ok(Some(at)),
            None => stored_last_use(store, used),
        }
    }

    /// Records a use now, and queues a write for the entries whose stored time is old.
    pub fn touch(&self, store: &Store, used: &[Used], now: Timestamp) {
        let due: Vec<_> = {
            let mut map = lock(&self.0);
            if map.len() > MAX_ENTRIES {
                map.retain(|_, last| age(last.at, now) < 2 * WRITE_INTERVAL_MILLIS);
            }
            used.iter().copied().filter(|used| record_use(&mut map, *used, now)).collect()
        };
        if due.is_empty() {
            return;
        }
        // If the write is refused, for example on a full disk, the time in memory suffices.
        let _ = store
            .change(move |tx| {
                due.into_iter().try_for_each(|used| write_use(tx, used, now)).map(Unaudited)
            })
            .detach();
    }
}

/// Records a use in memory. Returns whether the stored time is due for a write.
fn record_use(map: &mut HashMap<Used, LastUse>, used: Used, now: Timestamp) -> bool {
    match map.get_mut(&used) {
        Some(last) => {
            last.at = now;
            // Also writes at once if the clock was set back.
            let due = !(0..WRITE_INTERVAL_MILLIS).contains(&age(last.written_at, now));
            if due {
                last.written_at = now;
            }
            due
        }
        None => {
            map.insert(used, LastUse { at: now, written_at: now });
            true
        }
    }
}

/// Returns the stored time of the last use. A damaged row counts as none, so that it locks nobody
/// out.
pub(super) fn stored_last_use(
    view: &impl View,
    used: Used,
) -> Result<Option<Timestamp>, ReadError> {
    match view.get::<LastUses>(&used) {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("cannot read a time of last use: {damaged}");
            Ok(None)
        }
        found => found,
    }
}

fn age(at: Timestamp, now: Timestamp) -> i64 {
    now.millis().saturating_sub(at.millis())
}

/// Writes the time of a use, unless the credential or the user has been deleted in the meantime.
fn write_use(tx: &mut Tx<'_>, used: Used, now: Timestamp) -> Result<(), ReadError> {
    let exists = match used {
        Used::Token(id) => tx.has::<Tokens>(&id)?,
        Used::Session(id) => tx.has::<Sessions>(&id)?,
        Used::User(id) => tx.has::<Users>(&id)?,
    };
    if exists {
        tx.put::<LastUses>(&used, &now);
    }
    Ok(())
}
