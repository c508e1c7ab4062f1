//! The key that the keys of backup files are derived from.
//!
//! ```text
//! file key     HKDF(backup key, salt of the file, info "file key")
//! origin key   HKDF(backup key, salt of the rows, info "origin key")
//! ```
//!
//! Must never: be printed, or leave the vault.

use std::fmt;

use ring::aead::LessSafeKey;
use ring::hmac;

use crate::vault::crypto::kdf::{KeyBytes, aead, derive};
use crate::vault::fingerprint::Fingerprint;

/// Derives the two keys of each backup file. A running server keeps it for its scheduled backups;
/// the root key cannot be derived from it.
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
    pub(super) fn new(key: KeyBytes, root: Fingerprint) -> Self {
        Self { key, root }
    }

    /// Returns the fingerprint of the root key that this key was derived from.
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    /// HKDF(backup key, salt of the file, "file key")
    pub(in crate::vault) fn file_key(&self, salt: &[u8; 32]) -> LessSafeKey {
        aead(&derive(&self.key, salt, b"file key"))
    }

    /// HKDF(backup key, salt of the rows, "origin key")
    pub(in crate::vault) fn origin_key(&self, salt: &[u8; 32]) -> hmac::Key {
        let key = derive(&self.key, salt, b"origin key");
        hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())
    }
}
