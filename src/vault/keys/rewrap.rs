//! The sweep of a rotation, which wraps every data key under the active wrapping key.
//!
//! Must never: open a value; take a binding from anywhere but the rows; rewrap a data key that does
//! not unwrap for its binding.
//! Called by: `rotation`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Clock, Origin, Principal, SecretId, SecretKind, Timestamp, Version};
use crate::store::{
    PendingDeletions, ReadError, Rotation, RotationRow, SecretPlaces, Store, Table, Tx, Unaudited,
    Unavailable, Versions, View,
};

use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::crypto::shared_keyring::SharedKeyring;
use crate::vault::error::Error;
use crate::vault::lookup::locate;
use crate::vault::secret_rows::{Binding, binding};

/// The number of versions in one write, which is small because reads wait while it is applied.
const GROUP_ROWS: usize = 100;
/// How long the sweep waits after the database has refused a write.
const PAUSE: Duration = Duration::from_millis(250);

/// Rewraps all data keys in small steps. If the server stops first, its next start continues.
pub(super) struct Sweep {
    pub store: Arc<Store>,
    pub keyring: Arc<SharedKeyring>,
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
                    log::error!("a key rotation has stopped until the next start: {error}");
                    return;
                }
            }
        }
    }

    /// Makes one write. Returns `true` after the last one.
    async fn step(&self) -> Result<bool, Error> {
        let (shared, random) = (Arc::clone(&self.keyring), self.random);
        let change =
            move |tx: &mut Tx<'_>| rewrap_some(tx, &shared.current(), random).map(Unaudited);
        if !self.store.change(change).from_reserve().commit().await.map_err(Error::from)? {
            return Ok(false);
        }
        let now = self.clock.now();
        let change = move |tx: &mut Tx<'_>| finish(tx, now);
        self.store.change(change).from_reserve().commit().await.map_err(Error::from)?;
        Ok(true)
    }
}

/// Reads the rotation in progress.
fn in_progress(tx: &Tx<'_>) -> Result<RotationRow, Error> {
    let row = tx.get::<Rotation>(&())?.filter(|row| row.finished_at.is_none());
    Ok(row.ok_or(ReadError::Damaged { table: Rotation::PREFIX })?)
}

/// Rewraps the next data keys. Returns `true` if these were the last ones.
fn rewrap_some(tx: &mut Tx<'_>, keyring: &Keyring, random: Random) -> Result<bool, Error> {
    let mut rotation = in_progress(tx)?;
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
                log::error!("cannot rewrap the data key of version {version} of {id}: {error}");
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
    // The rows of a deleted environment are about to be removed.
    if let Some(place) = tx.get::<SecretPlaces>(&id)?
        && tx.has::<PendingDeletions>(&place.environment)?
    {
        return Ok(Rewrapped::NotNeeded);
    }
    let (place, secret) = locate::<SecretKind>(tx, id)?;
    let binding = Binding { version, ..binding(&place, &secret) };
    row.data_key = cipher::rewrap(keyring, random, &binding, &row.data_key)?;
    tx.put::<Versions>(&(id, version), &row);
    Ok(Rewrapped::Now)
}

/// Makes the last write of a rotation.
fn finish(tx: &mut Tx<'_>, now: Timestamp) -> Result<((), Draft), Error> {
    let mut rotation = in_progress(tx)?;
    rotation.finished_at = Some(now);
    tx.put::<Rotation>(&(), &rotation);
    let RotationRow { to, rewrapped, unopened, .. } = rotation;
    if unopened > 0 {
        log::error!("{unopened} data keys do not open and stay under their old wrapping key");
    }
    log::info!("the key rotation is complete: key {} is in use", to.0);
    let draft = Draft::new(Action::KeyRewrap, &Principal::host(), &Origin::host(), now);
    let details = json!({ "rewrapped": rewrapped, "unopened": unopened });
    Ok(((), draft.on(to.0, None).details(&details)))
}
