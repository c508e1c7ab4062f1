//! Where settings come from before they have a type.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use zeroize::Zeroizing;

/// The process's environment, as an argument. Only names that begin with
/// `COFFER_` and the few others that we read are in it.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Zeroizing<String>>);

// Some of the values are secrets.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

const OTHERS: [&str; 1] = ["CREDENTIALS_DIRECTORY"];

impl Variables {
    /// Those of this process. A value that is not UTF-8 is an error with the
    /// name of its variable.
    pub fn of_process() -> Result<Self, super::ConfigError> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
            let value = value.into_string().map_err(|_| {
                super::ConfigError::new(name, "is not UTF-8. Give it as UTF-8 text.")
            })?;
            variables.insert(name.to_owned(), Zeroizing::new(value));
        }
        Ok(Self(variables))
    }

    /// These ones; for tests.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned =
            |(name, value): (&str, &str)| (name.to_owned(), Zeroizing::new(value.to_owned()));
        Self(pairs.into_iter().map(owned).collect())
    }

    /// A variable's value, if it is set, if only to nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// Likewise, where one that is set to nothing is as good as none. Not for a key or
    /// a password: an empty one is a slip, and must not end in another one being made;
    /// nor for the server that is asked and the token that it is shown, where it must
    /// not end in another one being used (whether one is to be asked as well is another
    /// question).
    pub fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The variables of ours that do not name a setting.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| !name.contains("__"))
    }

    /// The variables that name settings: `COFFER_SECTION__KEY`.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with("COFFER_") && name.contains("__"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("COFFER_") || OTHERS.contains(&name)
}

/// A value as it was written.
pub(super) enum Raw {
    Toml(toml::Value),
    Text(String),
}

impl Raw {
    pub fn text(self) -> Option<String> {
        match self {
            Raw::Text(text) | Raw::Toml(toml::Value::String(text)) => Some(text),
            Raw::Toml(_) => None,
        }
    }

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

    pub fn list(self) -> Result<Vec<String>, String> {
        let wrong = || "must be a list of texts, such as [\"a\", \"b\"].".to_owned();
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
