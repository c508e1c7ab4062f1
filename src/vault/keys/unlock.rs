//! Unlocking: from a root key and an opened database to a store that can be written.
//!
//! Owns: the checks before the writer starts.
//! Must never: create keys for a database that contains anything.
//! Called by: `server` and `cli` at the start; `backup`, to restore.

use std::sync::Arc;

use crate::audit::{Broken, Chain, Head};
use crate::domain::{DisplayName, EnvironmentName, Timestamp};
use crate::store::{
    AuditHead, AuditRows, KeyId, Keys, Opened, ReadError, ServiceKeys as ServiceKeysTable, Tx, View,
};

use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::crypto::service_keys::ServiceKeys;
use crate::vault::crypto::shared_keyring::SharedKeyring;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::keys::unlock_error::UnlockError;
use crate::vault::keys::wrapping_keys::load_keyring;
use crate::vault::unlocked::{DatabaseId, FirstStart, Unlocked};
use crate::vault::verbs::environments::{self, NewEnvironment};

const FIRST_KEY: KeyId = KeyId(1);

impl FirstStart {
    /// Writes the keys and the first environments.
    pub fn write(
        &self,
        tx: &mut Tx<'_>,
        environments: &[EnvironmentName],
        now: Timestamp,
    ) -> Result<(), Error> {
        tx.put::<Keys>(&FIRST_KEY, &self.key);
        tx.put::<ServiceKeysTable>(&(), &self.service_keys);
        for name in environments {
            let new = NewEnvironment { name: name.clone(), display_name: DisplayName::default() };
            environments::put_new(tx, environments::new_id(Random, now)?, new, now)?;
        }
        Ok(())
    }
}

/// Returns the fingerprint of the root key that a database is sealed under (of the new one, while
/// it is being changed); `None` for an empty database.
pub fn sealed_under(opened: &Opened) -> Result<Option<Fingerprint>, ReadError> {
    let newest = opened.scan::<Keys>(&[], None).last().transpose()?;
    Ok(newest.map(|(_, row)| Fingerprint(row.root_fingerprint)))
}

/// Loads the keys of a database that is not empty.
pub(in crate::vault) fn load_keys(
    opened: &impl View,
    roots: RootKeys<'_>,
) -> Result<(Keyring, ServiceKeys), UnlockError> {
    let keyring = load_keyring(opened, roots)?.ok_or(UnlockError::DamagedKeys)?;
    let row = opened.get::<ServiceKeysTable>(&())?.ok_or(UnlockError::DamagedKeys)?;
    let services = ServiceKeys::load(&keyring, &row).map_err(|_| UnlockError::DamagedKeys)?;
    Ok((keyring, services))
}

/// Checks that the stored head is the end of the stored rows. An older head, put back with its own
/// valid seal, would let new rows overwrite the rows after it.
fn check_end(opened: &Opened, head: Option<&Head>) -> Result<(), UnlockError> {
    let Some(head) = head else { return Ok(()) };
    let broken = |seq, what| Err(Broken { seq, what }.into());
    match opened.scan::<AuditRows>(&[], Some(&head.seq.to_be_bytes())).next() {
        None => {}
        Some(Ok((seq, _))) => return broken(seq, "the row comes after the head"),
        Some(Err(ReadError::Damaged { .. })) => {
            return broken(head.seq.saturating_add(1), "the row comes after the head");
        }
        Some(Err(error)) => return Err(error.into()),
    }
    match opened.get::<AuditRows>(&head.seq) {
        Ok(Some(row)) if row.mac() == head.mac => Ok(()),
        Ok(_) | Err(ReadError::Damaged { .. }) => {
            broken(head.seq, "the row is not the one of the head")
        }
        Err(error) => Err(error.into()),
    }
}

/// Loads the keys, or creates them for an empty database, and starts the writer.
pub fn unlock<'a>(
    opened: Opened,
    roots: impl Into<RootKeys<'a>>,
    now: Timestamp,
) -> Result<Unlocked, UnlockError> {
    let roots = roots.into();
    let (keyring, service_keys, first_start) = match load_keyring(&opened, roots)? {
        Some(keyring) => {
            let row = opened.get::<ServiceKeysTable>(&())?.ok_or(UnlockError::DamagedKeys)?;
            (keyring, row, None)
        }
        // A database that has rows but no keys has lost its keys.
        None if !opened.is_empty() => return Err(UnlockError::DamagedKeys),
        None => {
            let key = Keyring::new_row(roots.current, Random, now).map_err(UnlockError::Other)?;
            let keyring = Keyring::load(roots, [(FIRST_KEY, key.clone())])
                .ok()
                .flatten()
                .expect("the root key that made this row loads it");
            let row = ServiceKeys::generate(&keyring, Random).map_err(UnlockError::Other)?;
            (keyring, row.clone(), Some(FirstStart { key, service_keys: row }))
        }
    };
    let services =
        ServiceKeys::load(&keyring, &service_keys).map_err(|_| UnlockError::DamagedKeys)?;
    let shared = SharedKeyring::new(keyring, roots, &services.token);
    let database = DatabaseId::of(&services.token);
    let audit_key = services.audit.clone();
    let chain = if first_start.is_some() {
        Chain::start(services.audit)
    } else {
        let head = opened.get::<AuditHead>(&())?.map(|row| row.head());
        check_end(&opened, head.as_ref())?;
        Chain::resume(services.audit, head.as_ref())?
    };
    let store = opened.start(chain).map_err(UnlockError::Thread)?;
    Ok(Unlocked {
        store: Arc::new(store),
        token_key: services.token,
        first_start,
        keyring: Arc::new(shared),
        audit_key,
        backup_key: Arc::new(roots.current.backup_key()),
        database,
    })
}
