//! A setting before it has a type: a TOML value, or the text of a variable.
//!
//! Owns: how both forms are read as text, number or list.
//! Must never: know a setting.
//! Called by: `settings` and `declared`.

use std::ops::RangeInclusive;

/// A value as it was written.
pub(super) enum Raw {
    Toml(toml::Value),
    Text(String),
}

impl Raw {
    /// Returns the value as text, or `None` if it is something else.
    pub fn text(self) -> Option<String> {
        match self {
            Raw::Text(text) | Raw::Toml(toml::Value::String(text)) => Some(text),
            Raw::Toml(_) => None,
        }
    }

    /// Returns the value as a number in `range`, or a message.
    pub fn number(self, range: RangeInclusive<u64>) -> Result<u64, String> {
        let number = match &self {
            Raw::Toml(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Raw::Text(text) => text.trim().parse().ok(),
            Raw::Toml(_) => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            format!("must be a whole number from {} to {}.", range.start(), range.end())
        })
    }

    /// Returns the value as a list of strings, or a message. The items of a variable are separated
    /// by commas.
    pub fn list(self) -> Result<Vec<String>, String> {
        let wrong = || "must be a list of strings, such as [\"a\", \"b\"].".to_owned();
        match self {
            Raw::Text(text) => Ok(text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()),
            Raw::Toml(toml::Value::Array(items)) => {
                items.into_iter().map(|item| Raw::Toml(item).text().ok_or_else(wrong)).collect()
            }
            Raw::Toml(_) => Err(wrong()),
        }
    }
}
