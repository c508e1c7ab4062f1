//! What an examination has found: how bad it is, what it is, what to do.

use serde::{Deserialize, Serialize};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It was not, and is now.
    Repaired,
    /// Nothing is broken, and something is to be done all the same.
    Warn,
    /// Something is broken.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Repaired => "repaired",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One line of an examination. It names ids and paths, never a value, a key or
/// a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, what: what.into(), remedy: None }
    }

    /// It was not, and is now.
    pub fn repaired(what: impl Into<String>) -> Self {
        Self { severity: Severity::Repaired, ..Self::ok(what) }
    }

    /// Nothing is broken yet.
    pub fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// Something is broken.
    pub fn error(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Error, ..Self::warn(what, remedy) }
    }
}
