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

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Origin, Principal, SecretId, Timestamp, Version};
use crate::store::{
    KeyId, KeyRow, Keys, ReadError, Rotation, RotationRow, ServiceKeys as ServiceKeysTable, Table,
    Tx, Versions, View,
};

use crate::vault::crypto::keyring::RootKeys;
use crate::vault::crypto::keyring::{Fingerprint, Keyring};
use crate::vault::crypto::service_keys::ServiceKeys;
use crate::vault::error::Error;
use crate::vault::guarded_change::guarded_once;
use crate::vault::idempotency::{HasOutcome, Outcome};
use crate::vault::keys::rewrap::Sweep;
use crate::vault::keys::unlock::UnlockError;
use crate::vault::policy::{Administer, Permit};
use crate::vault::{Unavailable, Vault};

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

/// A rotation that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationBegun {
    /// The key that it made, which is in force.
    pub key: u32,
    /// When.
    pub started_at: Timestamp,
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
    /// Whether something is still wrapped under a wrapping key that is made from
    /// another root key than the current one.
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

/// The keyring of a database; `None` when it has no keys. A wrapping key whose
/// root key was not given is left out when nothing is wrapped under it any more:
/// a change of the root key that was finished and not yet cleared up, as a backup
/// of that time holds it, opens with the new root key alone.
pub(in crate::vault) fn load_keyring(
    view: &impl View,
    roots: RootKeys<'_>,
) -> Result<Option<Keyring>, UnlockError> {
    let rows = view.scan::<Keys>(&[], None).collect::<Result<Vec<_>, _>>()?;
    let Some((newest, _)) = rows.last() else { return Ok(None) };
    let newest = *newest;
    let given = |row: &KeyRow| roots.find(Fingerprint(row.root_fingerprint)).is_some();
    let (mut kept, mut left_out) = (rows, Vec::new());
    if !kept.iter().all(|(_, row)| given(row)) {
        let census = census(view, newest)?;
        // Never the newest: the next number is counted from it.
        (kept, left_out) = kept
            .into_iter()
            .partition(|(id, row)| given(row) || *id == newest || census.needing(*id) > 0);
    }
    let loaded = Keyring::load(roots, kept);
    let loaded = loaded.map_err(|unrooted| UnlockError::unrooted(unrooted, roots))?;
    for (id, row) in left_out {
        log::warn!(
            "root key {} is not given and no longer needed; clear up with: coffer key retire {}",
            Fingerprint(row.root_fingerprint),
            id.0
        );
    }
    Ok(loaded)
}

impl Vault {
    /// The wrapping keys. Reads a row for each version of each secret; may block
    /// on the disk.
    pub fn key_status(&self, _permit: &Permit<Administer>) -> Result<KeyStatus, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
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
            previous_root_needed: keys
                .iter()
                .any(|key| key.root != keyring.root() && census.needing(KeyId(key.id)) > 0),
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
    pub async fn rotate_keys(&self, permit: &Permit<Administer>) -> Result<RotationBegun, Error> {
        let now = self.now();
        let draft = permit.draft(Action::KeyRotate, now);
        let begin = self.begin(now, draft, false);
        let change = guarded_once(permit, now, begin);
        let (store, sweep) = (Arc::clone(&self.store), self.sweep());
        // In a task of its own from the first write on: a client that goes away
        // must not stop it in between.
        let begun = tokio::spawn(async move {
            let begun = store.change(change).commit().await.map_err(Error::from)?;
            drop(tokio::spawn(sweep.run()));
            Ok::<_, Error>(begun)
        });
        begun.await.map_err(|_| Error::Panicked)?
    }

    /// Destroys a wrapping key that nothing needs any more: without its row the
    /// root key does not give it.
    pub async fn retire_key(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let id = key_id(id).ok_or(Error::NotFound(ResourceType::Key))?;
        let draft = permit.draft(Action::KeyRetire, self.now());
        let keychain = Arc::clone(&self.keyring);
        self.change(permit, move |tx| {
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
            tx.once_accepted(move || keychain.change(keyring.without(id)));
            Ok(((), draft))
        })
        .from_reserve()
        .commit()
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
            let begun = self.store.change(self.begin(now, draft, true)).from_reserve().commit();
            match begun.await.map_err(Error::from) {
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
    ) -> impl FnOnce(&mut Tx<'_>) -> Result<(RotationBegun, Draft), Error> + Send + use<> {
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
            let begun = RotationBegun { key: new.active().0, started_at: now };
            // Only once nothing can refuse the change any more: keys that are active without
            // their row could never open again what was wrapped under them.
            tx.once_accepted(move || keychain.change(new));
            Ok((begun, draft))
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

/// A key's number as it is written in the one way there is.
pub(in crate::vault) fn key_id(text: &str) -> Option<KeyId> {
    text.parse().ok().filter(|id: &u32| id.to_string() == text).map(KeyId)
}

impl HasOutcome for RotationBegun {
    fn outcome(&self) -> Outcome<'_> {
        Outcome::Rotation(self)
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
