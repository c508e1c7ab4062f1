//! An environment as other code sees it.
//!
//! Owns: its settings with their defaults, and its public fields.
//! Must never: hold a key or a secret of the environment.
//! Called by: `store`, `vault` and `http`.

use serde::{Deserialize, Serialize};

use crate::domain::id::EnvironmentId;
use crate::domain::name::{DisplayName, EnvironmentName};
use crate::domain::time::Timestamp;

/// The settings of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSettings {
    /// Whether admins may reveal the revealable secrets of the environment.
    pub allow_secret_reveal: bool,
    /// The `neverReveal` of a new secret whose request does not set it.
    pub never_reveal_by_default: bool,
}

impl Default for EnvironmentSettings {
    fn default() -> Self {
        Self { allow_secret_reveal: true, never_reveal_by_default: false }
    }
}

/// An environment with the number of its secrets and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// The id.
    pub id: EnvironmentId,
    /// The name.
    pub name: EnvironmentName,
    /// The name shown in the console.
    pub display_name: DisplayName,
    /// When the environment was created.
    pub created_at: Timestamp,
    /// When its name, display name or settings last changed.
    pub updated_at: Timestamp,
    /// The number of secrets.
    pub secrets: u32,
    /// The number of variables.
    pub vars: u32,
}
