//! An unlocked database: the store with its writer, and the keys that the root key opened.
//!
//! Must never: give a key to anyone outside the vault, except the token key, which `access` hashes
//! credentials with.
//! Called by: `keys::unlock`, which makes one; `Vault` and `access`, which are built from it.

use std::sync::Arc;

use crate::audit::AuditKey;
use crate::domain::encode_hex;
use crate::store::{KeyRow, ServiceKeysRow, Store};

use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::kdf::derive;
use crate::vault::crypto::service_keys::TokenKey;
use crate::vault::crypto::shared_keyring::SharedKeyring;

/// Identifies a database, in the names of its backups. It survives key rotations, changes of the
/// root key, and restores.
///
/// ```text
/// database id   HKDF(token key, salt "coffer database v1", info "id")[0..4]; not secret
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseId([u8; 4]);

impl DatabaseId {
    /// Builds an id from its bytes.
    pub const fn of_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    pub(super) fn of(token: &TokenKey) -> Self {
        let derived = derive(token.bytes(), b"coffer database v1", b"id");
        let (head, _) = derived.split_first_chunk().expect("a key has more than 4 bytes");
        Self(*head)
    }
}

impl std::fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

/// An unlocked database.
#[derive(Debug)]
pub struct Unlocked {
    /// The store, with its writer running.
    pub store: Arc<Store>,
    /// The key that credentials are hashed with.
    pub token_key: TokenKey,
    /// The rows that an empty database still needs.
    pub first_start: Option<FirstStart>,
    pub(super) keyring: Arc<SharedKeyring>,
    pub(super) audit_key: AuditKey,
    pub(super) backup_key: Arc<BackupKey>,
    pub(super) database: DatabaseId,
}

/// The rows that make an empty database a coffer database. They are written in one batch with the
/// first credential, so a database never has only some of them.
#[derive(Debug)]
pub struct FirstStart {
    pub(super) key: KeyRow,
    pub(super) service_keys: ServiceKeysRow,
}
