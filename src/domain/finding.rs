//! The findings of an examination such as `coffer doctor`.
//!
//! Owns: the severities and the shape of a finding.
//! Must never: name a value, a key or a token; ids and paths only.
//! Called by: `store` and `vault`, which report findings; `http` and `cli`, which show them.

use serde::{Deserialize, Serialize};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong.
    Ok,
    /// Something was wrong and has been repaired.
    Repaired,
    /// Nothing is broken, but somebody should act.
    Warn,
    /// Something is broken.
    Error,
}

impl Severity {
    /// Returns the name used in JSON and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repaired => "repaired",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A finding. It names ids and paths, never a value, a key or a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// What was found, as a sentence.
    pub what: String,
    /// What to do about it, if anything.
    pub remedy: Option<String>,
}

impl Finding {
    /// Reports that nothing is wrong.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, what: what.into(), remedy: None }
    }

    /// Reports a repair.
    pub fn repaired(what: impl Into<String>) -> Self {
        Self { severity: Severity::Repaired, ..Self::ok(what) }
    }

    /// Reports something that is not broken but needs action.
    pub fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// Reports something broken.
    pub fn error(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, ..Self::warn(what, remedy) }
    }
}
