//! When a token, a session, a user was last seen: exactly in memory, to the
//! minute in the database.
//!
//! Must never: make a request wait for a disk; write more than once a minute.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::domain::Timestamp;
use crate::store::{
    LastUses, ReadError, Sessions, Store, Tokens, Tx, Unaudited, Used, Users, View,
};

/// How long after one writing the next may come.
const WRITE_MILLIS: i64 = 60_000;
/// After so many, those that were not seen for two minutes are forgotten; what
/// was written is in the database.
const MOST: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<Used, Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Timestamp,
    written: Timestamp,
}

impl Uses {
    /// When it was last seen, whether that was written down or not.
    pub fn last(&self, store: &Store, used: Used) -> Result<Option<Timestamp>, ReadError> {
        let seen = self.lock().get(&used).map(|seen| seen.at);
        match seen {
            Some(at) => Ok(Some(at)),
            None => written(store, used),
        }
    }

    /// Sees some of them now, and writes down those for which it is time.
    pub fn touch(&self, store: &Store, used: &[Used], now: Timestamp) {
        let due: Vec<_> = {
            let mut map = self.lock();
            if map.len() > MOST {
                map.retain(|_, seen| age(seen.at, now) < 2 * WRITE_MILLIS);
            }
            used.iter().copied().filter(|used| see(&mut map, *used, now)).collect()
        };
        if due.is_empty() {
            return;
        }
        // A server that cannot write now can do without.
        let _ = store
            .change(move |tx| {
                due.into_iter().try_for_each(|used| write(tx, used, now)).map(Unaudited)
            })
            .detach();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Used, Seen>> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

/// Whether it is time to write it down.
fn see(map: &mut HashMap<Used, Seen>, used: Used, now: Timestamp) -> bool {
    match map.get_mut(&used) {
        Some(seen) => {
            seen.at = now;
            // A clock that was set back writes at once, too.
            let due = !(0..WRITE_MILLIS).contains(&age(seen.written, now));
            if due {
                seen.written = now;
            }
            due
        }
        None => {
            map.insert(used, Seen { at: now, written: now });
            true
        }
    }
}

/// When something was last used, as far as that was written down. A damaged row
/// says nothing; nobody is kept out for it.
pub(super) fn written(view: &impl View, used: Used) -> Result<Option<Timestamp>, ReadError> {
    match view.get::<LastUses>(&used) {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("a last use: {damaged}");
            Ok(None)
        }
        found => found,
    }
}

fn age(at: Timestamp, now: Timestamp) -> i64 {
    now.millis().saturating_sub(at.millis())
}

/// What is gone in the meantime is not written about.
fn write(tx: &mut Tx<'_>, used: Used, now: Timestamp) -> Result<(), ReadError> {
    let there = match used {
        Used::Token(id) => tx.has::<Tokens>(&id)?,
        Used::Session(id) => tx.has::<Sessions>(&id)?,
        Used::User(id) => tx.has::<Users>(&id)?,
    };
    if there {
        tx.put::<LastUses>(&used, &now);
    }
    Ok(())
}
