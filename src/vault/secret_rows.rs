//! What the rows of a secret say together: where its value belongs, and what may be shown of it.
//!
//! Owns: [`Binding`], the identity that a sealed value is bound to.
//! Must never: hold plaintext.
//! Called by: the policy and the cipher, and every verb and examination that reads secrets.

use crate::domain::{EnvironmentId, KeyName, RevealMode, SecretId, SecretInfo, Version};
use crate::store::{SecretPlace, SecretRow, WrappedKey};

/// What a sealed value belongs to. The cipher binds all of it as associated data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub environment: EnvironmentId,
    pub secret: SecretId,
    pub key: KeyName,
    pub version: Version,
    pub mode: RevealMode,
}

/// A sealed value and its wrapped data key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SealedValue {
    pub data_key: WrappedKey,
    pub ciphertext: Vec<u8>,
}

/// Returns what the current version of a secret is bound to.
pub(super) fn binding(place: &SecretPlace, row: &SecretRow) -> Binding {
    Binding {
        environment: place.environment,
        secret: row.id,
        key: place.key.clone(),
        version: row.version,
        mode: row.mode,
    }
}

/// Returns the public part of a secret: everything but its value.
pub(super) fn info(place: &SecretPlace, row: SecretRow) -> SecretInfo {
    SecretInfo {
        id: row.id,
        environment: place.environment,
        key: place.key.clone(),
        description: row.description,
        mode: row.mode,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
