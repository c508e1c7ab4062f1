//! What may be told about an environment.

use serde::{Deserialize, Serialize};

use super::{DisplayName, EnvironmentId, EnvironmentName, Timestamp};

/// The rules of one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Whether admins may reveal revealable secrets here at all.
    pub allow_secret_reveal: bool,
    /// What `neverReveal` is for a new secret that does not say.
    pub never_reveal_by_default: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { allow_secret_reveal: true, never_reveal_by_default: false }
    }
}

/// An environment and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentInfo {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// What it is called on screen.
    pub display_name: DisplayName,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its name, display name or settings last changed.
    pub updated_at: Timestamp,
    /// How many secrets it holds.
    pub secrets: u32,
    /// How many vars it holds.
    pub vars: u32,
}
