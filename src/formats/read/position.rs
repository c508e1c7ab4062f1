//! Positions in a text, and the refusal of one.
//!
//! Owns: how a refusal says where it applies.
//! Must never: quote the text.
//! Called by: the readers.

use std::borrow::Cow;
use std::fmt;

use crate::domain::KeyName;

/// A position in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputPosition {
    /// The text as a whole.
    Whole,
    /// The line with this number, counted from 1.
    Line(usize),
    /// The member with this number, counted from 1.
    Member(usize),
    /// The entry with this key.
    Key(KeyName),
}

impl InputPosition {
    /// Names a member by its key if that is a valid key, otherwise by its number: any other name
    /// may be a value in the wrong position.
    pub(super) fn member(index: usize, name: &str) -> Self {
        KeyName::parse(name).map_or(Self::Member(index + 1), Self::Key)
    }

    pub(super) fn bad(self, why: impl Into<Cow<'static, str>>) -> BadInput {
        BadInput { position: self, why: why.into() }
    }
}

/// The refusal of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInput {
    /// The position of the problem.
    pub position: InputPosition,
    /// The reason, without any part of a value.
    pub why: Cow<'static, str>,
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.position {
            InputPosition::Whole => f.write_str(&self.why),
            InputPosition::Line(line) => write!(f, "line {line}: {}", self.why),
            InputPosition::Member(number) => write!(f, "member {number}: {}", self.why),
            InputPosition::Key(key) => write!(f, "{key}: {}", self.why),
        }
    }
}

impl std::error::Error for BadInput {}
