//! The key that makes the keys of backup files. A server keeps this one for its
//! scheduled backups; the root key cannot be worked out from it.
//! Must never: be printed, or leave the vault.

use std::fmt;

use ring::aead::LessSafeKey;
use ring::hmac;

use crate::vault::crypto::keyring::{Fingerprint, KeyBytes, aead, derive};

/// Makes the keys of backup files, two for each.
pub struct BackupKey {
    key: KeyBytes,
    root: Fingerprint,
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupKey(of {})", self.root)
    }
}

impl BackupKey {
    pub(in crate::vault) fn new(key: KeyBytes, root: Fingerprint) -> Self {
        Self { key, root }
    }

    /// The fingerprint of the root key that it was made from.
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    /// file key = HKDF(backup key, the file's random salt, "file key")
    pub(in crate::vault) fn file_key(&self, salt: &[u8; 32]) -> LessSafeKey {
        aead(&derive(&self.key, salt, b"file key"))
    }

    /// origin key = HKDF(backup key, the rows' random salt, "origin key")
    pub(in crate::vault) fn origin_key(&self, salt: &[u8; 32]) -> hmac::Key {
        let key = derive(&self.key, salt, b"origin key");
        hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())
    }
}
