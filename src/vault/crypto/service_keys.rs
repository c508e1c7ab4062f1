//! The keys of services: one authenticates the audit chain, one hashes tokens.
//!
//! They are random and wrapped like data keys, so that they stay when a wrapping
//! key or the root key changes. Must never: be made anew for a database that has
//! them.

use crate::store::ServiceKeysRow;

use crate::vault::crypto::keyring::{Keyring, TokenKey, Unopened};
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;

const AUDIT_AAD: &[u8] = b"coffer service key v1\0audit";
const TOKEN_AAD: &[u8] = b"coffer service key v1\0token";

/// The keys of services, unwrapped.
pub(in crate::vault) struct ServiceKeys {
    pub audit: crate::audit::AuditKey,
    pub token: TokenKey,
}

impl ServiceKeys {
    /// New ones, wrapped for the database.
    pub fn generate(keyring: &Keyring, random: Random) -> Result<ServiceKeysRow, Error> {
        Ok(ServiceKeysRow {
            audit: keyring.wrap(random, &random.secret()?, AUDIT_AAD)?,
            token: keyring.wrap(random, &random.secret()?, TOKEN_AAD)?,
        })
    }

    /// Wraps them again under the key in force.
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

    /// From the database.
    pub fn load(keyring: &Keyring, row: &ServiceKeysRow) -> Result<Self, Unopened> {
        Ok(Self {
            audit: crate::audit::AuditKey::new(&keyring.unwrap(&row.audit, AUDIT_AAD)?),
            token: TokenKey(keyring.unwrap(&row.token, TOKEN_AAD)?),
        })
    }
}
