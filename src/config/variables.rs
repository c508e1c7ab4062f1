//! The process's environment, as an argument.
//!
//! Owns: which variables are kept.
//! Must never: show a value: some of them are secrets.
//! Called by: `server` and `cli`; tests build their own.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::config::error::ConfigError;

/// The variables whose names start with `COFFER_`, and the few others that coffer reads. Values are
/// zeroized on drop.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Zeroizing<String>>);

// Shows names only: some of the values are secrets.
impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

const OTHER_NAMES: [&str; 1] = ["CREDENTIALS_DIRECTORY"];

impl Variables {
    /// Takes the variables of this process. Fails with the name of a variable whose value is not
    /// UTF-8.
    pub fn of_process() -> Result<Self, ConfigError> {
        let mut variables = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| is_read_by_coffer(name)) else { continue };
            let value = value
                .into_string()
                .map_err(|_| ConfigError::new(name, "is not UTF-8. Set it to UTF-8 text."))?;
            variables.insert(name.to_owned(), Zeroizing::new(value));
        }
        Ok(Self(variables))
    }

    /// Builds variables from pairs; for tests.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned =
            |(name, value): (&str, &str)| (name.to_owned(), Zeroizing::new(value.to_owned()));
        Self(pairs.into_iter().map(owned).collect())
    }

    /// Returns the value of a variable that is set, even if it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// Returns the value of a variable that is set and not empty. Not for a key or a password: an
    /// empty one is a mistake, and must not lead to a new one being created. Nor for the URL and the
    /// token of a server, where it must not lead to another one being used (except to decide whether
    /// a server is to be contacted at all).
    pub fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns the names of the variables that do not name a setting.
    pub(super) fn others(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| !name.contains("__"))
    }

    /// Returns the variables that name a setting: `COFFER_SECTION__KEY`.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with("COFFER_") && name.contains("__"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn is_read_by_coffer(name: &str) -> bool {
    name.starts_with("COFFER_") || OTHER_NAMES.contains(&name)
}
