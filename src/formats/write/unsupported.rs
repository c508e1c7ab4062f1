//! The refusal of a value that a format cannot represent.
//!
//! Owns: the error, and the rule that all environment formats share.
//! Must never: contain a value.
//! Called by: the writers.

use std::fmt;

/// A value that a format cannot represent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedValue {
    /// The key of the value.
    pub key: String,
    /// The reason, without the value, as the rest of a sentence that starts with the key.
    pub why: &'static str,
}

impl fmt::Display for UnsupportedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.why)
    }
}

impl std::error::Error for UnsupportedValue {}

/// Why a value cannot be written, as in "contains a line break".
pub(super) type Reason = &'static str;

/// Refuses NUL, which ends the text of an environment variable (environ(7)).
pub(super) fn refuse_nul(value: &str) -> Result<(), Reason> {
    if value.contains('\0') {
        Err("contains a NUL character, which an environment variable cannot hold")
    } else {
        Ok(())
    }
}
