//! The service keys: one authenticates the audit chain, one hashes credentials.
//!
//! They are random and wrapped like data keys, so they survive a change of the wrapping key or
//! the root key.
//!
//! Must never: be regenerated for a database that has them. Its audit log would no longer verify,
//! and none of its tokens would be found.

use std::fmt;

use zeroize::Zeroizing;

use crate::audit::AuditKey;
use crate::store::ServiceKeysRow;

use crate::vault::crypto::kdf::KeyBytes;
use crate::vault::crypto::keyring::{CannotOpen, Keyring};
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;

const AUDIT_AAD: &[u8] = b"coffer service key v1\0audit";
const TOKEN_AAD: &[u8] = b"coffer service key v1\0token";

/// The key that credentials are hashed with.
pub struct TokenKey(KeyBytes);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// Returns the bytes, for `access` to hash with.
    pub fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

/// The service keys, unwrapped.
pub(in crate::vault) struct ServiceKeys {
    pub audit: AuditKey,
    pub token: TokenKey,
}

impl ServiceKeys {
    /// Generates both keys and wraps them for the database.
    pub fn generate(keyring: &Keyring, random: Random) -> Result<ServiceKeysRow, Error> {
        Ok(ServiceKeysRow {
            audit: keyring.wrap(random, &random.secret()?, AUDIT_AAD)?,
            token: keyring.wrap(random, &random.secret()?, TOKEN_AAD)?,
        })
    }

    /// Rewraps both keys under the active wrapping key.
    pub fn rewrap(
        keyring: &Keyring,
        random: Random,
        row: &ServiceKeysRow,
    ) -> Result<ServiceKeysRow, Error> {
        Ok(ServiceKeysRow {
            audit: keyring.rewrap(random, &row.audit, AUDIT_AAD)?,
            token: keyring.rewrap(random, &row.token, TOKEN_AAD)?,
        })
    }

    /// Unwraps the stored keys.
    pub fn load(keyring: &Keyring, row: &ServiceKeysRow) -> Result<Self, CannotOpen> {
        Ok(Self {
            audit: AuditKey::new(&keyring.unwrap(&row.audit, AUDIT_AAD)?),
            token: TokenKey(keyring.unwrap(&row.token, TOKEN_AAD)?),
        })
    }
}
