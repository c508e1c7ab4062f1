//! The wrapping keys, which data keys and service keys are wrapped under.
//!
//! ```text
//! wrapping key   HKDF(root key, salt of the KeyRow, info "coffer wrapping key v1")
//! wrapped key    AES-256-GCM(wrapping key, random nonce, aad, key)
//! ```
//!
//! A wrapping key seals short keys only, so the 2^32 messages that random 96-bit nonces allow
//! (NIST SP 800-38D, 8.3) are far away. Without the salt of its KeyRow, the root key does not
//! yield a wrapping key.
//!
//! Owns: which wrapping keys are loaded, and which one is active. It keeps the current root key in
//! memory, to derive the next wrapping key.
//! Must never: print key bytes, or return them from the vault.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ring::aead::LessSafeKey;

use crate::domain::Timestamp;
use crate::store::{KeyId, KeyRow, WrappedKey};

use crate::vault::crypto::kdf::{KeyBytes, aead, derive, open_key, seal_key};
use crate::vault::crypto::random::Random;
use crate::vault::crypto::root_key::{RootKey, RootKeys};
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;

/// Parses the number of a wrapping key, written the one canonical way (no sign, no leading zero).
pub(in crate::vault) fn parse_key_id(text: &str) -> Option<KeyId> {
    text.parse().ok().filter(|id: &u32| id.to_string() == text).map(KeyId)
}

/// A wrapped key or a sealed value does not open; holds the fingerprint of the key it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct CannotOpen(pub Fingerprint);

impl From<CannotOpen> for Error {
    fn from(CannotOpen(key): CannotOpen) -> Self {
        Error::Unreadable { key }
    }
}

/// A wrapping key needs a root key that was not supplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct MissingRootKey {
    /// The fingerprint of the missing root key.
    pub wanted: Fingerprint,
    /// Whether another wrapping key found its root key, which means that a change of the root key
    /// is unfinished.
    pub partly: bool,
}

struct WrappingKey {
    key: LessSafeKey,
    root: Fingerprint,
}

/// The wrapping keys that the supplied root keys yield; the newest is active. Immutable:
/// `SharedKeyring` holds the current one.
#[derive(Clone)]
pub(in crate::vault) struct Keyring {
    wrapping: BTreeMap<KeyId, Arc<WrappingKey>>,
    active: KeyId,
    /// Yields new wrapping keys.
    root: Arc<RootKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Derives the wrapping keys from their rows; `None` if there is no row.
    pub fn load(
        roots: RootKeys<'_>,
        rows: impl IntoIterator<Item = (KeyId, KeyRow)>,
    ) -> Result<Option<Self>, MissingRootKey> {
        let mut wrapping = BTreeMap::new();
        let mut missing = None;
        for (id, row) in rows {
            let wanted = Fingerprint(row.root_fingerprint);
            match roots.find(wanted) {
                Some(root) => {
                    wrapping.insert(id, Arc::new(Self::wrapping_key(root, &row)));
                }
                None => missing = missing.or(Some(wanted)),
            }
        }
        if let Some(wanted) = missing {
            return Err(MissingRootKey { wanted, partly: !wrapping.is_empty() });
        }
        let root = Arc::new(RootKey::from_bytes(roots.current.bytes().clone()));
        let active = wrapping.last_key_value().map(|(id, _)| *id);
        Ok(active.map(|active| Self { wrapping, active, root }))
    }

    /// Creates the row of a new wrapping key.
    pub fn new_row(root: &RootKey, random: Random, now: Timestamp) -> Result<KeyRow, Error> {
        Ok(KeyRow {
            salt: random.bytes()?,
            root_fingerprint: root.fingerprint().0,
            created_at: now,
        })
    }

    fn wrapping_key(root: &RootKey, row: &KeyRow) -> WrappingKey {
        WrappingKey {
            key: aead(&derive(root.bytes(), &row.salt, b"coffer wrapping key v1")),
            root: Fingerprint(row.root_fingerprint),
        }
    }

    /// Adds a new wrapping key under the current root key and makes it active. Returns the row to
    /// store and the extended keyring.
    pub fn with_new(&self, random: Random, now: Timestamp) -> Result<(KeyRow, Self), Error> {
        let active = KeyId(self.active.0.checked_add(1).ok_or(Error::KeysExhausted)?);
        let row = Self::new_row(&self.root, random, now)?;
        let mut wrapping = self.wrapping.clone();
        wrapping.insert(active, Arc::new(Self::wrapping_key(&self.root, &row)));
        Ok((row, Self { wrapping, active, root: Arc::clone(&self.root) }))
    }

    /// Removes a wrapping key; the active one stays.
    pub fn without(&self, id: KeyId) -> Self {
        let mut keyring = self.clone();
        keyring.wrapping.retain(|key, _| *key != id || *key == self.active);
        keyring
    }

    /// Returns the number of the active wrapping key.
    pub fn active(&self) -> KeyId {
        self.active
    }

    /// Returns the fingerprint of the root key that yields new wrapping keys.
    pub fn root(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// Unwraps a key and wraps it under the active wrapping key, with the same `aad`.
    pub fn rewrap(
        &self,
        random: Random,
        wrapped: &WrappedKey,
        aad: &[u8],
    ) -> Result<WrappedKey, Error> {
        let key = self.unwrap(wrapped, aad)?;
        self.wrap(random, &key, aad)
    }

    /// Wraps a key. `aad` says what the key is for; only the same `aad` unwraps it.
    pub fn wrap(&self, random: Random, key: &KeyBytes, aad: &[u8]) -> Result<WrappedKey, Error> {
        let nonce = random.bytes()?;
        let (sealed, tag) = seal_key(&self.wrapping[&self.active].key, nonce, aad, key);
        Ok(WrappedKey { key: self.active, nonce, sealed, tag })
    }

    /// Unwraps a key.
    pub fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<KeyBytes, CannotOpen> {
        // The fingerprint of a key that is not loaded is unknown; its number takes its place.
        let unknown = || {
            let mut name = [0; 8];
            name[4..].copy_from_slice(&wrapped.key.0.to_be_bytes());
            CannotOpen(Fingerprint(name))
        };
        let wrapping = self.wrapping.get(&wrapped.key).ok_or_else(unknown)?;
        open_key(&wrapping.key, wrapped.nonce, aad, (&wrapped.sealed, &wrapped.tag))
            .ok_or(CannotOpen(wrapping.root))
    }

    /// Returns the fingerprint of the root key behind a loaded wrapping key.
    pub fn fingerprint(&self, id: KeyId) -> Option<Fingerprint> {
        self.wrapping.get(&id).map(|key| key.root)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    #[test]
    fn a_wrapped_key_opens_only_for_what_it_was_wrapped_for() {
        let root = RootKey::parse(&BASE64.encode([7; 32])).unwrap();
        let now = Timestamp::from_millis(0);
        let row = Keyring::new_row(&root, Random, now).unwrap();
        let keyring = Keyring::load((&root).into(), [(KeyId(1), row.clone())]).unwrap().unwrap();
        let key = Random.secret().unwrap();
        let wrapped = keyring.wrap(Random, &key, b"for this").unwrap();
        assert_eq!(*keyring.unwrap(&wrapped, b"for this").unwrap(), *key);
        assert!(keyring.unwrap(&wrapped, b"for that").is_err());

        let other = RootKey::parse(&BASE64.encode([8; 32])).unwrap();
        let missing = |rows: Vec<_>| Keyring::load((&other).into(), rows).unwrap_err();
        let wanted = root.fingerprint();
        let one = missing(vec![(KeyId(1), row.clone())]);
        assert_eq!(one, MissingRootKey { wanted, partly: false });
        let new = Keyring::new_row(&other, Random, now).unwrap();
        let both = vec![(KeyId(1), row), (KeyId(2), new)];
        assert_eq!(missing(both.clone()), MissingRootKey { wanted, partly: true });
        let roots = RootKeys { current: &other, previous: Some(&root) };
        let keyring = Keyring::load(roots, both).unwrap().unwrap();
        assert_eq!((keyring.active(), keyring.root()), (KeyId(2), other.fingerprint()));
        assert_eq!(*keyring.unwrap(&wrapped, b"for this").unwrap(), *key);
        assert!(keyring.rewrap(Random, &wrapped, b"for that").is_err());
        let again = keyring.rewrap(Random, &wrapped, b"for this").unwrap();
        assert_eq!(*keyring.without(KeyId(1)).unwrap(&again, b"for this").unwrap(), *key);
        assert!(keyring.without(KeyId(1)).unwrap(&wrapped, b"for this").is_err());
        assert!(
            keyring.without(KeyId(2)).unwrap(&again, b"for this").is_ok(),
            "the active key stays"
        );
    }
}
