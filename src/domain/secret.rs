//! Secrets and variables as other code sees them.
//!
//! Owns: their public fields, versions and reveal modes.
//! Must never: have a field for a secret value, or anything computed from one.
//! Called by: `store`, `vault` and `http`.

use serde::{Deserialize, Serialize};

use crate::domain::id::{EnvironmentId, SecretId, VarId};
use crate::domain::name::{Description, KeyName};
use crate::domain::time::Timestamp;

/// The number of a version of a secret or variable, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u32);

impl Version {
    /// The version of a newly created secret or variable.
    pub const FIRST: Version = Version(1);

    /// Returns the version with this number, or `None` for zero.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// Returns the number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the next version, or `None` on overflow.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether anyone may see the value again. The mode is part of what seals the value (see
/// `vault::cipher`), not only a flag stored beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevealMode {
    /// An admin may reveal the value.
    Revealable,
    /// Nobody may ever reveal the value, in any role.
    NeverReveal,
}

impl RevealMode {
    /// Converts the API's `neverReveal`.
    pub fn from_never_reveal(never: bool) -> Self {
        if never { Self::NeverReveal } else { Self::Revealable }
    }

    /// Returns the API's `neverReveal`.
    pub fn never_reveal(self) -> bool {
        self == Self::NeverReveal
    }
}

/// Everything about a secret that may be shown. There must never be a field for a value, or for a
/// part, a length, a hash or a fingerprint of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// The id.
    pub id: SecretId,
    /// The environment that contains it.
    pub environment: EnvironmentId,
    /// The key.
    pub key: KeyName,
    /// The purpose, in free text.
    pub description: Description,
    /// Whether the value may be revealed.
    pub mode: RevealMode,
    /// The active version.
    pub version: Version,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change of the value.
    pub updated_at: Timestamp,
}

/// One retained version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// The number of the version.
    pub version: Version,
    /// The time at which the version was stored.
    pub created_at: Timestamp,
    /// The name of the actor who stored it, at that time.
    pub created_by: String,
    /// Whether this is the active version.
    pub active: bool,
}

/// A variable: configuration that is not secret, so its value is included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarInfo {
    /// The id.
    pub id: VarId,
    /// The environment that contains it.
    pub environment: EnvironmentId,
    /// The key.
    pub key: KeyName,
    /// The value.
    pub value: String,
    /// The purpose, in free text.
    pub description: Description,
    /// The active version.
    pub version: Version,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change of the value.
    pub updated_at: Timestamp,
}
