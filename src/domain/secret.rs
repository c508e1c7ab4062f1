//! What may be told about a secret or a var.

use serde::{Deserialize, Serialize};

use super::{Description, EnvironmentId, KeyName, SecretId, Timestamp, VarId};

/// Counts the values a secret or var has had; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(u32);

impl Version {
    /// The version a create makes.
    pub const FIRST: Version = Version(1);

    /// From a number; zero is no version.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The one after; `None` after four thousand million of them.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether a person may ever see the value again. It is part of what seals
/// the value (see `vault::cipher`), not only a flag beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevealMode {
    /// An admin may reveal it.
    Revealable,
    /// Nobody may, in no role, for ever.
    NeverReveal,
}

impl RevealMode {
    /// From the wire's `neverReveal`.
    pub fn from_never_reveal(never: bool) -> Self {
        if never { Self::NeverReveal } else { Self::Revealable }
    }

    /// The wire's `neverReveal`.
    pub fn never_reveal(self) -> bool {
        self == Self::NeverReveal
    }
}

/// Everything that may be told about a secret. There is no member for a value,
/// a piece, a length, a hash or a fingerprint of one, and there must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its id.
    pub id: SecretId,
    /// The environment it lives in.
    pub environment: EnvironmentId,
    /// Its key.
    pub key: KeyName,
    /// What it is for.
    pub description: Description,
    /// Whether it may be revealed.
    pub mode: RevealMode,
    /// The version in force.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its value last changed.
    pub updated_at: Timestamp,
}

/// One retained version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// Its number.
    pub version: Version,
    /// When it was put.
    pub created_at: Timestamp,
    /// Who put it, by the name they had then.
    pub created_by: String,
    /// Whether it is the one in force.
    pub active: bool,
}

/// A var: configuration that is not secret, so its value is part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarInfo {
    /// Its id.
    pub id: VarId,
    /// The environment it lives in.
    pub environment: EnvironmentId,
    /// Its key.
    pub key: KeyName,
    /// Its value.
    pub value: String,
    /// What it is for.
    pub description: Description,
    /// The version in force.
    pub version: Version,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its value last changed.
    pub updated_at: Timestamp,
}
