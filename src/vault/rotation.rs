//! Changing the wrapping key.
//!
//! ```text
//! rotate    a new wrapping key is in force; the service keys are wrapped under it
//! rewrap    every data key is unwrapped and wrapped under it, some at a time
//! retire    an old wrapping key that nothing needs any more is destroyed
//! ```
//!
//! A value is never opened for this: only 32-byte keys are. What a data key is
//! bound to is read from the rows, inside the writer, and what does not open for
//! that stays as it is: it is counted, named in the log, and keeps its wrapping
//! key from being retired. Wrapping happens inside the writer only, so nothing
//! is wrapped under an old key behind the change that made the new one; one
//! sweep finds everything. `RotationRow` remembers how far it is, over a restart.
//!
//! Must never: take anything that a key is bound to from a request; destroy a
//! key that something is wrapped under.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Clock, Origin, Principal, SecretId, SecretKind, Timestamp, Version};
use crate::store::{
    Doomed, KeyId, Keys, ReadError, Rotation, RotationRow, SecretPlaces,
    ServiceKeys as ServiceKeysTable, Store, Table, Tx, Versions, View,
};

use super::cipher::{self, Binding};
use super::keyring::{Fingerprint, Keychain, Keyring};
use super::lookup::locate;
use super::secrets::binding;
use super::service_keys::ServiceKeys;
use super::{Administer, Error, Permit, Random, Unavailable, Vault, guarded};

/// Versions that one write looks at. Reads wait while a write is applied.
const GROUP_ROWS: usize = 100;
/// How long the sweep waits when no write is taken.
const PAUSE: Duration = Duration::from_millis(250);
/// Versions that a status names; their number is always whole.
const NAMED: usize = 20;

/// A wrapping key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its number.
    pub id: u32,
    /// The root key that it is made from.
    pub root: Fingerprint,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether new keys are wrapped under it.
    pub active: bool,
    /// How many keys are wrapped under it.
    pub wrapped: u64,
}

/// The last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationInfo {
    /// The key that it made.
    pub key: u32,
    /// When.
    pub started_at: Timestamp,
    /// When everything had been looked at.
    pub finished_at: Option<Timestamp>,
    /// How many keys were wrapped again so far.
    pub rewrapped: u64,
    /// How many keys are wrapped under another key now.
    pub left: u64,
}

/// The wrapping keys, and how far the last rotation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The lowest number first.
    pub keys: Vec<KeyInfo>,
    /// `None` when there never was one.
    pub rotation: Option<RotationInfo>,
    /// The root key that new wrapping keys are made from.
    pub root: Fingerprint,
    /// The root key that was given beside it.
    pub previous_root: Option<Fingerprint>,
    /// Whether a wrapping key still needs that one.
    pub previous_root_needed: bool,
    /// Some of the versions that a finished rotation had to leave, because their
    /// data keys do not open.
    pub unopened: Vec<(SecretId, Version)>,
}

/// How many keys are wrapped under each wrapping key.
struct Census {
    wrapped: BTreeMap<KeyId, u64>,
    /// Rows that do not tell.
    damaged: u64,
    /// Some of those that are not under `active`.
    elsewhere: Vec<(SecretId, Version)>,
}

fn census(view: &impl View, active: KeyId) -> Result<Census, ReadError> {
    let mut census = Census { wrapped: BTreeMap::new(), damaged: 0, elsewhere: Vec::new() };
    if let Some(row) = view.get::<ServiceKeysTable>(&())? {
        for key in [row.audit.key, row.token.key] {
            *census.wrapped.entry(key).or_insert(0) += 1;
        }
    }
    // By their keys first: a damaged row is one with a name.
    for found in view.keys::<Versions>(&[]) {
        let at = match found {
            Ok(at) => at,
            // Stored under what is no version: nothing leads there.
            Err(ReadError::Damaged { .. }) => continue,
            Err(error) => return Err(error),
        };
        let key = match view.get::<Versions>(&at) {
            Ok(Some(row)) => Some(row.data_key.key),
            // Dropped since.
            Ok(None) => continue,
            Err(ReadError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        match key {
            Some(key) => *census.wrapped.entry(key).or_insert(0) += 1,
            None => census.damaged += 1,
        }
        if key != Some(active) && census.elsewhere.len() < NAMED {
            census.elsewhere.push(at);
        }
    }
    Ok(census)
}

impl Census {
    /// How many keys may need a wrapping key. A row that does not tell may need
    /// any of them.
    fn needing(&self, id: KeyId) -> u64 {
        self.wrapped.get(&id).copied().unwrap_or(0) + self.damaged
    }

    fn outside(&self, active: KeyId) -> u64 {
        let elsewhere = self.wrapped.iter().filter(|(id, _)| **id != active);
        elsewhere.map(|(_, count)| count).sum::<u64>() + self.damaged
    }
}

impl Vault {
    /// The wrapping keys. Reads a row for each version of each secret; may block
    /// on the disk.
    pub fn key_status(&self, _permit: &Permit<Administer>) -> Result<KeyStatus, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::Overloaded)?;
        let keyring = self.keyring.now();
        let active = keyring.active();
        let rotation = stored(&*self.store)?;
        let census = census(&*self.store, active)?;
        let mut keys = Vec::new();
        for found in self.store.scan::<Keys>(&[], None) {
            let (id, row) = found?;
            keys.push(KeyInfo {
                id: id.0,
                root: Fingerprint(row.root_fingerprint),
                created_at: row.created_at,
                active: id == active,
                wrapped: census.wrapped.get(&id).copied().unwrap_or(0),
            });
        }
        let left = census.outside(active);
        let finished = rotation.as_ref().is_none_or(|row| row.finished_at.is_some());
        let previous_root = self.keyring.previous_root();
        Ok(KeyStatus {
            previous_root_needed: keys.iter().any(|key| key.root != keyring.root()),
            keys,
            rotation: rotation.map(|row| RotationInfo {
                key: row.to.0,
                started_at: row.started_at,
                finished_at: row.finished_at,
                rewrapped: row.rewrapped,
                left,
            }),
            root: keyring.root(),
            previous_root,
            unopened: if finished { census.elsewhere } else { Vec::new() },
        })
    }

    /// Makes a new wrapping key under the current root key and begins, in the
    /// background, to wrap everything under it.
    pub async fn rotate_keys(&self, permit: &Permit<Administer>) -> Result<RotationInfo, Error> {
        let now = self.now();
        let draft = permit.draft(Action::KeyRotate, now);
        let begin = self.begin(now, draft, false);
        let change = guarded(permit, now, begin);
        let (store, sweep) = (Arc::clone(&self.store), self.sweep());
        // In a task of its own from the first write on: a client that goes away
        // must not stop it in between.
        let begun = tokio::spawn(async move {
            let row = store.commit(change).await.map_err(Error::from)?;
            drop(tokio::spawn(sweep.run()));
            let counted = tokio::task::spawn_blocking(move || {
                census(&*store, row.to).map(|census| (row, census))
            });
            Ok::<_, Error>(counted.await.map_err(|_| Error::Panicked)??)
        });
        let (row, census) = begun.await.map_err(|_| Error::Panicked)??;
        let left = census.outside(row.to);
        Ok(RotationInfo {
            key: row.to.0,
            started_at: row.started_at,
            finished_at: None,
            rewrapped: row.rewrapped,
            left,
        })
    }

    /// Destroys a wrapping key that nothing needs any more: without its row the
    /// root key does not give it.
    pub async fn retire_key(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let missing = Error::NotFound(ResourceType::Key);
        let id = KeyId(id.parse().map_err(|_| missing)?);
        let draft = permit.draft(Action::KeyRetire, self.now());
        let keychain = Arc::clone(&self.keyring);
        self.commit_from_reserve(permit, move |tx| {
            let row = tx.get::<Keys>(&id)?.ok_or(Error::NotFound(ResourceType::Key))?;
            let keyring = keychain.now();
            if id == keyring.active() {
                return Err(Error::KeyInForce);
            }
            if stored(tx)?.is_some_and(|row| row.finished_at.is_none()) {
                return Err(Error::RotationUnderWay);
            }
            // In here, where nothing is written meanwhile: there is no way back.
            let wrapped = census(tx, keyring.active())?.needing(id);
            if wrapped > 0 {
                return Err(Error::KeyNeeded { wrapped });
            }
            tx.remove::<Keys>(&id);
            let root = Fingerprint(row.root_fingerprint).to_string();
            let draft = draft.on(id.0, None).details(&json!({ "rootFingerprint": root }));
            keychain.change(keyring.without(id));
            Ok(((), draft))
        })
        .await
    }

    /// What the start owes the keys. With a new root key beside the previous one
    /// a rotation begins by itself; whoever gives both wants that. One that a
    /// stop cut off goes on in the background.
    pub async fn finish_rotation(&self) -> Result<(), Error> {
        let keyring = self.keyring.now();
        let in_force = keyring.fingerprint(keyring.active());
        if in_force.is_some_and(|root| root != keyring.root()) {
            let now = self.now();
            let draft = Draft::new(Action::KeyRotate, &Principal::host(), &Origin::host(), now);
            let begun = self.store.commit_from_reserve(self.begin(now, draft, true)).await;
            match begun.map_err(Error::from) {
                Ok(_) => log::info!(
                    "the root key is new: everything is wrapped under {} from here on",
                    keyring.root()
                ),
                Err(Error::Unavailable(why @ Unavailable::DiskNearlyFull)) => {
                    log::error!("the root key is not changed: {why}; start again with more space");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(row) = stored(&*self.store)?
            && row.finished_at.is_none()
        {
            log::info!("wrapping what is left under key {}", row.to.0);
            drop(tokio::spawn(self.sweep().run()));
        }
        Ok(())
    }

    /// The change that a rotation begins with. `again` also over one that is
    /// under way: what that one has left this one finds.
    fn begin(
        &self,
        now: Timestamp,
        draft: Draft,
        again: bool,
    ) -> impl FnOnce(&mut Tx<'_>) -> Result<(RotationRow, Draft), Error> + Send + use<> {
        let (keychain, random) = (Arc::clone(&self.keyring), self.random);
        move |tx| {
            if stored(tx)?.is_some_and(|row| row.finished_at.is_none()) && !again {
                return Err(Error::RotationUnderWay);
            }
            let old = keychain.now();
            let (key, new) = old.with_new(random, now)?;
            let services = tx.get::<ServiceKeysTable>(&())?;
            let services =
                services.ok_or(ReadError::Damaged { table: ServiceKeysTable::PREFIX })?;
            let services = ServiceKeys::rewrap(&new, random, &services)?;
            let row = RotationRow {
                to: new.active(),
                started_at: now,
                finished_at: None,
                cursor: None,
                rewrapped: 2,
                unopened: 0,
            };
            tx.put::<Keys>(&new.active(), &key);
            tx.put::<ServiceKeysTable>(&(), &services);
            tx.put::<Rotation>(&(), &row);
            let root = new.root().to_string();
            let details = json!({ "previous": old.active().0, "rootFingerprint": root });
            let draft = draft.on(new.active().0, None).details(&details);
            keychain.change(new);
            Ok((row, draft))
        }
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            store: Arc::clone(&self.store),
            keychain: Arc::clone(&self.keyring),
            clock: Arc::clone(&self.clock),
            random: self.random,
        }
    }
}

/// Wraps everything under the key in force, some at a time. When the server
/// stops first, its next start goes on.
struct Sweep {
    store: Arc<Store>,
    keychain: Arc<Keychain>,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl Sweep {
    async fn run(self) {
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
        let change = move |tx: &mut Tx<'_>| rewrap_some(tx, &keychain.now(), random);
        if !self.store.finish(change).await.map_err(Error::from)? {
            return Ok(false);
        }
        let now = self.clock.now();
        let change = move |tx: &mut Tx<'_>| finish(tx, now);
        self.store.commit_from_reserve(change).await.map_err(Error::from)?;
        Ok(true)
    }
}

/// The last rotation. One that does not tell is none: what it has left counts
/// all the same, and the next one finds it.
fn stored(view: &impl View) -> Result<Option<RotationRow>, ReadError> {
    match view.get::<Rotation>(&()) {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("the last rotation is not known: {damaged}");
            Ok(None)
        }
        found => found,
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
        && tx.has::<Doomed>(&place.environment)?
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
