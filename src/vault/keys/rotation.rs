//! Rotating the wrapping key.
//!
//! ```text
//! rotate    a new wrapping key becomes active; the service keys are wrapped under it
//! rewrap    every data key is unwrapped, and wrapped under the new key, in small steps
//! retire    an old wrapping key that nothing needs anymore is destroyed
//! ```
//!
//! A rotation never opens a value, only 32-byte keys. The binding of a data key is read from the
//! rows, inside the writer. A data key that does not unwrap for it stays as it is: it is counted,
//! named in the log, and prevents its wrapping key from being retired. Keys are wrapped only inside
//! the writer, so nothing is wrapped under an old key after the change that made the new one, and
//! one sweep finds everything. `RotationRow` stores the progress across restarts.
//!
//! Must never: take the binding of a key from a request; destroy a wrapping key that something is
//! wrapped under.
//! Called by: `http` for rotations; `server`, to continue one at the start.

use std::sync::Arc;

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Origin, Principal, SecretId, Timestamp, Version};
use crate::store::{
    KeyId, Keys, ReadError, Rotation, RotationRow, ServiceKeys as ServiceKeysTable, Table, Tx,
    Unavailable, View,
};

use crate::vault::crypto::keyring::parse_key_id;
use crate::vault::crypto::service_keys::ServiceKeys;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::guarded_change::guarded_once;
use crate::vault::keys::rewrap::Sweep;
use crate::vault::keys::wrapping_keys::WrappedCounts;
use crate::vault::policy::{Administer, Permit};
use crate::vault::service::Vault;
use crate::vault::verb_result::RotationBegun;

/// A wrapping key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The number of the key.
    pub id: u32,
    /// The root key that it is derived from.
    pub root: Fingerprint,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether new keys are wrapped under it.
    pub active: bool,
    /// How many keys are wrapped under it.
    pub wrapped: u64,
}

/// The last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationInfo {
    /// The number of the wrapping key that it created.
    pub key: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// When it had checked every key.
    pub finished_at: Option<Timestamp>,
    /// How many keys it has rewrapped so far.
    pub rewrapped: u64,
    /// How many keys are still wrapped under another key.
    pub left: u64,
}

/// The wrapping keys, and the progress of the last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The wrapping keys, by number.
    pub keys: Vec<KeyInfo>,
    /// The last rotation; `None` if there was none.
    pub rotation: Option<RotationInfo>,
    /// The root key that new wrapping keys are derived from.
    pub root: Fingerprint,
    /// The previous root key, if the operator supplied one.
    pub previous_root: Option<Fingerprint>,
    /// Whether keys are still wrapped under a wrapping key of another root key than the current
    /// one.
    pub previous_root_needed: bool,
    /// Some of the versions whose data keys a finished rotation could not unwrap.
    pub unopened: Vec<(SecretId, Version)>,
}

impl Vault {
    /// Reports the wrapping keys. Reads a row for each version of each secret; may block on the
    /// disk.
    pub fn key_status(&self, _permit: &Permit<Administer>) -> Result<KeyStatus, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let keyring = self.keyring.current();
        let active = keyring.active();
        let rotation = last_rotation(&*self.store)?;
        let usage = WrappedCounts::count(&*self.store, active)?;
        let mut keys = Vec::new();
        for found in self.store.scan::<Keys>(&[], None) {
            let (id, row) = found?;
            keys.push(KeyInfo {
                id: id.0,
                root: Fingerprint(row.root_fingerprint),
                created_at: row.created_at,
                active: id == active,
                wrapped: usage.wrapped(id),
            });
        }
        let left = usage.outside(active);
        let finished = rotation.as_ref().is_none_or(|row| row.finished_at.is_some());
        let previous_root = self.keyring.previous_root();
        Ok(KeyStatus {
            previous_root_needed: keys
                .iter()
                .any(|key| key.root != keyring.root() && usage.needing(KeyId(key.id)) > 0),
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
            unopened: if finished { usage.elsewhere } else { Vec::new() },
        })
    }

    /// Creates a new wrapping key under the current root key, and starts rewrapping everything
    /// under it in the background.
    pub async fn rotate_keys(&self, permit: &Permit<Administer>) -> Result<RotationBegun, Error> {
        let now = self.now();
        let draft = permit.draft(Action::KeyRotate, now);
        let begin = self.begin(now, draft, false);
        let change = guarded_once(permit, now, begin);
        let (store, sweep) = (Arc::clone(&self.store), self.sweep());
        // A task of its own: a client that disconnects must not stop it between the first write and
        // the start of the sweep.
        let begun = tokio::spawn(async move {
            let begun = store.change(change).commit().await.map_err(Error::from)?;
            drop(tokio::spawn(sweep.run()));
            Ok::<_, Error>(begun)
        });
        begun.await.map_err(|_| Error::Panicked)?
    }

    /// Destroys a wrapping key that nothing needs anymore: without the salt in its row, the root
    /// key does not yield it.
    pub async fn retire_key(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let id = parse_key_id(id).ok_or(Error::NotFound(ResourceType::Key))?;
        let draft = permit.draft(Action::KeyRetire, self.now());
        let shared = Arc::clone(&self.keyring);
        self.change(permit, move |tx| {
            let row = tx.get::<Keys>(&id)?.ok_or(Error::NotFound(ResourceType::Key))?;
            let keyring = shared.current();
            if id == keyring.active() {
                return Err(Error::KeyIsActive);
            }
            if last_rotation(tx)?.is_some_and(|row| row.finished_at.is_none()) {
                return Err(Error::RotationInProgress);
            }
            // Counted inside the writer, where nothing else is written meanwhile: destroying a key
            // cannot be undone.
            let wrapped = WrappedCounts::count(tx, keyring.active())?.needing(id);
            if wrapped > 0 {
                return Err(Error::KeyNeeded { wrapped });
            }
            tx.remove::<Keys>(&id);
            let root = Fingerprint(row.root_fingerprint).to_string();
            let draft = draft.on(id.0, None).details(&json!({ "rootFingerprint": root }));
            tx.once_accepted(move || shared.replace(keyring.without(id)));
            Ok(((), draft))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Completes the key changes that are due at the start. If the current root key is new, a
    /// rotation starts: an operator who supplies two root keys wants that. A rotation that a stop
    /// interrupted continues in the background.
    pub async fn finish_rotation(&self) -> Result<(), Error> {
        let keyring = self.keyring.current();
        let active_root = keyring.fingerprint(keyring.active());
        if active_root.is_some_and(|root| root != keyring.root()) {
            let now = self.now();
            let draft = Draft::new(Action::KeyRotate, &Principal::host(), &Origin::host(), now);
            let begun = self.store.change(self.begin(now, draft, true)).from_reserve().commit();
            match begun.await.map_err(Error::from) {
                Ok(_) => log::info!("changing the root key to {}", keyring.root()),
                Err(Error::Unavailable(why @ Unavailable::DiskNearlyFull)) => {
                    log::error!(
                        "cannot change the root key: {why}. Free some disk space and restart"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(row) = last_rotation(&*self.store)?
            && row.finished_at.is_none()
        {
            log::info!("rewrapping data keys under key {}", row.to.0);
            drop(tokio::spawn(self.sweep().run()));
        }
        Ok(())
    }

    /// Returns the first change of a rotation. With `replace`, it may replace a rotation in
    /// progress: the new one also finds what the old one has not rewrapped.
    fn begin(
        &self,
        now: Timestamp,
        draft: Draft,
        replace: bool,
    ) -> impl FnOnce(&mut Tx<'_>) -> Result<(RotationBegun, Draft), Error> + Send + use<> {
        let (shared, random) = (Arc::clone(&self.keyring), self.random);
        move |tx| {
            if last_rotation(tx)?.is_some_and(|row| row.finished_at.is_none()) && !replace {
                return Err(Error::RotationInProgress);
            }
            let old = shared.current();
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
            // Deferred until nothing can refuse the change anymore: if keys were wrapped under a
            // wrapping key whose row was never written, they could never be opened again.
            tx.once_accepted(move || shared.replace(new));
            Ok((begun, draft))
        }
    }

    fn sweep(&self) -> Sweep {
        Sweep {
            store: Arc::clone(&self.store),
            keyring: Arc::clone(&self.keyring),
            clock: Arc::clone(&self.clock),
            random: self.random,
        }
    }
}

/// Reads the last rotation. A damaged row counts as none: the keys that it has not rewrapped are
/// counted anyway, and the next rotation finds them.
fn last_rotation(view: &impl View) -> Result<Option<RotationRow>, ReadError> {
    match view.get::<Rotation>(&()) {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("cannot read the last rotation: {damaged}");
            Ok(None)
        }
        found => found,
    }
}
