//! What a request wants done with keys that are there already.

/// What becomes of a key that the target has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Nothing at all is done.
    Fail,
    /// What is there stays.
    Skip,
    /// It gets a new version.
    Replace,
}

impl OnConflict {
    /// All of them.
    pub const ALL: [OnConflict; 3] = [Self::Fail, Self::Skip, Self::Replace];

    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Replace => "replace",
        }
    }

    /// The reverse of `as_str`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}
