//! The sweep of a rotation: every data key is wrapped under the key in force.
//!
//! Must never: open a value; take what a key is bound to from anywhere but the
//! rows; wrap what does not open for that.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Clock, Origin, Principal, SecretId, SecretKind, Timestamp, Version};
use crate::store::{
    PendingDeletions, ReadError, Rotation, RotationRow, SecretPlaces, Store, Table, Tx, Unaudited,
    Versions, View,
};

use crate::vault::Unavailable;
use crate::vault::crypto::cipher::{self, Binding};
use crate::vault::crypto::keyring::{Keychain, Keyring};
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::lookup::locate;
use crate::vault::verbs::secrets::binding;

/// Versions that one write looks at. Reads wait while a write is applied.
const GROUP_ROWS: usize = 100;
/// How long the sweep waits when no write is taken.
const PAUSE: Duration = Duration::from_millis(250);

/// Wraps everything under the key in force, some at a time. When the server
/// stops first, its next start goes on.
pub(in crate::vault) struct Sweep {
    pub store: Arc<Store>,
    pub keychain: Arc<Keychain>,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
}

impl Sweep {
    pub async fn run(self) {
        loop {
            match self.step().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(Error::Unavailable(Unavailable::Overloaded | Unavailable::DiskNearlyFull)) => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Error::Unavailable(_)) => return,
                Err(error) => {
                    log::error!("a rotation stands still until the next start: {error}");
                    return;
                }
            }
        }
    }

    /// One write; `true` when it was the last one.
    async fn step(&self) -> Result<bool, Error> {
        let (keychain, random) = (Arc::clone(&self.keychain), self.random);
        let change = move |tx: &mut Tx<'_>| rewrap_some(tx, &keychain.now(), random).map(Unaudited);
        if !self.store.change(change).from_reserve().commit().await.map_err(Error::from)? {
            return Ok(false);
        }
        let now = self.clock.now();
        let change = move |tx: &mut Tx<'_>| finish(tx, now);
        self.store.change(change).from_reserve().commit().await.map_err(Error::from)?;
        Ok(true)
    }
}

/// The rotation that is under way.
fn under_way(tx: &Tx<'_>) -> Result<RotationRow, Error> {
    let row = tx.get::<Rotation>(&())?.filter(|row| row.finished_at.is_none());
    Ok(row.ok_or(ReadError::Damaged { table: Rotation::PREFIX })?)
}

/// Wraps some data keys again; `true` when there are none behind them.
fn rewrap_some(tx: &mut Tx<'_>, keyring: &Keyring, random: Random) -> Result<bool, Error> {
    let mut rotation = under_way(tx)?;
    let cursor = rotation.cursor.map(|at| {
        let mut bytes = Vec::new();
        Versions::encode(&at, &mut bytes);
        bytes
    });
    let readable = |found: &Result<_, ReadError>| !matches!(found, Err(ReadError::Damaged { .. }));
    let found: Vec<_> = tx
        .keys_after::<Versions>(&[], cursor.as_deref())
        .filter(readable)
        .take(GROUP_ROWS)
        .collect::<Result<_, _>>()?;
    for at in &found {
        match rewrap_one(tx, keyring, random, *at) {
            Ok(Rewrapped::Now) => rotation.rewrapped += 1,
            Ok(Rewrapped::NotNeeded) => {}
            Err(Error::Read(ReadError::Sled(error))) => return Err(ReadError::from(error).into()),
            Err(Error::NoRandomness) => return Err(Error::NoRandomness),
            Err(error) => {
                let (id, version) = at;
                log::error!("version {version} of {id} stays under its old key: {error}");
                rotation.unopened += 1;
            }
        }
    }
    rotation.cursor = found.last().copied().or(rotation.cursor);
    tx.put::<Rotation>(&(), &rotation);
    Ok(found.len() < GROUP_ROWS)
}

enum Rewrapped {
    Now,
    NotNeeded,
}

fn rewrap_one(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    random: Random,
    (id, version): (SecretId, Version),
) -> Result<Rewrapped, Error> {
    let damaged = Error::Damaged(ResourceType::Secret);
    let Some(mut row) = tx.get::<Versions>(&(id, version))? else { return Err(damaged) };
    if row.data_key.key == keyring.active() {
        return Ok(Rewrapped::NotNeeded);
    }
    // What is left of a deleted environment is being removed.
    if let Some(place) = tx.get::<SecretPlaces>(&id)?
        && tx.has::<PendingDeletions>(&place.environment)?
    {
        return Ok(Rewrapped::NotNeeded);
    }
    let (place, secret) = locate::<SecretKind>(tx, id)?;
    let bound = Binding { version, ..binding(&place, &secret) };
    row.data_key = cipher::rewrap(keyring, random, &bound, &row.data_key)?;
    tx.put::<Versions>(&(id, version), &row);
    Ok(Rewrapped::Now)
}

/// The last write of a rotation.
fn finish(tx: &mut Tx<'_>, now: Timestamp) -> Result<((), Draft), Error> {
    let mut rotation = under_way(tx)?;
    rotation.finished_at = Some(now);
    tx.put::<Rotation>(&(), &rotation);
    let RotationRow { to, rewrapped, unopened, .. } = rotation;
    if unopened > 0 {
        log::error!("{unopened} data keys do not open and stay under their old key");
    }
    log::info!("everything that opens is wrapped under key {} now", to.0);
    let draft = Draft::new(Action::KeyRewrap, &Principal::host(), &Origin::host(), now);
    let details = json!({ "rewrapped": rewrapped, "unopened": unopened });
    Ok(((), draft.on(to.0, None).details(&details)))
}
