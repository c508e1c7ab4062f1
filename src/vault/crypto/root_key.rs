//! Root keys: the 32 bytes that the operator supplies.
//!
//! ```text
//! fingerprint   HKDF(root key, salt "coffer fingerprint v1", info "root key")[0..8]
//! backup key    HKDF(root key, salt "coffer backup v1", info "backup key")
//! ```
//!
//! Must never: be stored in the database, or be printed except into a key file.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::kdf::{KeyBytes, derive};
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;

/// Why a text is not a root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRootKey {
    /// The text is not base64.
    #[error("the root key is not base64")]
    NotBase64,
    /// The text does not decode to 32 bytes.
    #[error("the root key must be 32 bytes (44 characters of base64)")]
    NotThatLong,
    /// All bytes are zero, the most common placeholder.
    #[error("the root key is all zeros")]
    AllZero,
}

/// A root key. Erased when dropped; Debug shows its fingerprint only.
pub struct RootKey(KeyBytes);

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.fingerprint())
    }
}

impl RootKey {
    /// Parses padded base64 (RFC 4648, section 4); surrounding whitespace is ignored.
    pub fn parse(text: &str) -> Result<Self, BadRootKey> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| BadRootKey::NotBase64)?);
        let array = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| BadRootKey::NotThatLong)?;
        if array.iter().all(|byte| *byte == 0) {
            return Err(BadRootKey::AllZero);
        }
        Ok(Self(Zeroizing::new(*array)))
    }

    /// Generates a new root key.
    pub fn generate(random: Random) -> Result<Self, Error> {
        random.secret().map(Self)
    }

    /// Formats the key as the text that [`RootKey::parse`] reads, for the key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.0.as_slice()))
    }

    pub(super) fn from_bytes(bytes: KeyBytes) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &KeyBytes {
        &self.0
    }

    /// Derives the key that backups are sealed under. A running server keeps this one for its
    /// scheduled backups: the root key cannot be derived from it.
    pub fn backup_key(&self) -> BackupKey {
        let key = derive(&self.0, b"coffer backup v1", b"backup key");
        BackupKey::new(key, self.fingerprint())
    }

    /// Derives the fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        let key = derive(&self.0, b"coffer fingerprint v1", b"root key");
        let (head, _) = key.split_first_chunk().expect("a key has more than 8 bytes");
        Fingerprint(*head)
    }
}

/// The root keys that the operator supplied.
#[derive(Debug, Clone, Copy)]
pub struct RootKeys<'a> {
    /// The key that new wrapping keys are derived from.
    pub current: &'a RootKey,
    /// The key before it, while the root key is being changed.
    pub previous: Option<&'a RootKey>,
}

impl<'a> From<&'a RootKey> for RootKeys<'a> {
    fn from(current: &'a RootKey) -> Self {
        Self { current, previous: None }
    }
}

impl<'a> RootKeys<'a> {
    pub(in crate::vault) fn find(&self, wanted: Fingerprint) -> Option<&'a RootKey> {
        let given = [Some(self.current), self.previous];
        given.into_iter().flatten().find(|key| key.fingerprint() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_root_keys_are_refused() {
        let bad = |text: &str| RootKey::parse(text).err();
        assert_eq!(bad("not base64!"), Some(BadRootKey::NotBase64));
        assert_eq!(bad(""), Some(BadRootKey::NotThatLong));
        assert_eq!(bad(&BASE64.encode([7; 31])), Some(BadRootKey::NotThatLong));
        assert_eq!(bad(&BASE64.encode([0; 32])), Some(BadRootKey::AllZero));
        assert_eq!(bad(&format!(" {}\n", BASE64.encode([7; 32]))), None);
    }
}
