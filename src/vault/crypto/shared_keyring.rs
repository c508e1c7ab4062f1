//! The keyring that a running server uses now, shared by all its threads.
//!
//! ```text
//! idempotency key   HKDF(token key, salt "coffer receipts v1", info "mac key")
//! ```

use std::fmt;
use std::sync::{Arc, RwLock};

use ring::hmac;

use crate::domain::{read_lock, write_lock};
use crate::vault::crypto::kdf::derive;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::root_key::{RootKey, RootKeys};
use crate::vault::crypto::service_keys::TokenKey;
use crate::vault::fingerprint::Fingerprint;

/// The current [`Keyring`]. Only the writer thread replaces it, as the last step of a change that
/// can no longer fail: every later change, in the same group or not, wraps under the new key.
pub(in crate::vault) struct SharedKeyring {
    current: RwLock<Arc<Keyring>>,
    previous_root: Option<Fingerprint>,
    idempotency: hmac::Key,
}

impl fmt::Debug for SharedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeyring").field("current", &self.current()).finish_non_exhaustive()
    }
}

impl SharedKeyring {
    /// Derives the idempotency key from the token key, which survives rotations and restarts.
    pub fn new(keyring: Keyring, roots: RootKeys<'_>, token: &TokenKey) -> Self {
        let key = derive(token.bytes(), b"coffer receipts v1", b"mac key");
        let previous = roots.previous.map(RootKey::fingerprint);
        Self {
            previous_root: previous.filter(|previous| *previous != keyring.root()),
            current: RwLock::new(Arc::new(keyring)),
            idempotency: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
        }
    }

    /// Returns the keyring as it is now. It does not change while the caller holds it.
    pub fn current(&self) -> Arc<Keyring> {
        Arc::clone(&read_lock(&self.current))
    }

    /// Replaces the keyring.
    pub fn replace(&self, keyring: Keyring) {
        *write_lock(&self.current) = Arc::new(keyring);
    }

    /// Returns the fingerprint of the previous root key, if the operator supplied one.
    pub fn previous_root(&self) -> Option<Fingerprint> {
        self.previous_root
    }

    /// HMAC-SHA256(idempotency key, parts); see `vault::idempotency` for what the parts are.
    pub fn idempotency_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.idempotency);
        for part in parts {
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}
