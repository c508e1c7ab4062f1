//! What to do about keys that already exist.
//!
//! Owns: the choices and their names.
//! Must never: decide which one applies.
//! Called by: `http`, which parses the choice; `vault`, which follows it in imports and copies.

/// What to do about a key that already exists in the target environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Change nothing at all and report the conflict.
    Fail,
    /// Keep the existing value.
    Skip,
    /// Store the new value as a new version.
    Replace,
}

impl OnConflict {
    /// Every choice.
    pub const ALL: [OnConflict; 3] = [Self::Fail, Self::Skip, Self::Replace];

    /// Returns the name used in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }

    /// Parses the name used in the API.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }
}
