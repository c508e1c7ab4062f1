//! The pairs read from a text.
//!
//! Owns: the rules that a key is valid and occurs once.
//! Must never: copy a value, or quote a key that is not valid.
//! Called by: the readers, which fill it, and the importers, which consume it.

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::domain::KeyName;
use crate::formats::read::position::{BadInput, InputPosition};

/// A key and its value, which is zeroized on drop.
#[allow(missing_debug_implementations)]
pub struct InputEntry {
    /// The key.
    pub key: KeyName,
    /// The value, which may be empty.
    pub value: Zeroizing<String>,
}

/// The entries of a text, with distinct keys, in the order of the text.
#[allow(missing_debug_implementations)]
#[derive(Default)]
pub struct InputEntries {
    list: Vec<InputEntry>,
    keys: HashSet<KeyName>,
}

impl InputEntries {
    /// Appends an entry. Fails if the key is not valid or is already in the list.
    pub(super) fn add(
        &mut self,
        position: InputPosition,
        key: &str,
        value: Zeroizing<String>,
    ) -> Result<(), BadInput> {
        let key = KeyName::parse(key).map_err(|violation| {
            // The message does not quote the key: it may be a value in the wrong position.
            position.clone().bad(format!("the key {}", violation.0))
        })?;
        if !self.keys.insert(key.clone()) {
            return Err(position.bad("duplicate key"));
        }
        self.list.push(InputEntry { key, value });
        Ok(())
    }

    /// Returns the entries as a list.
    pub fn into_list(self) -> Vec<InputEntry> {
        self.list
    }

    /// Shows the entries as `KEY=value` in one line.
    #[cfg(test)]
    pub(super) fn to_line(&self) -> String {
        let pair = |entry: &InputEntry| format!("{}={}", entry.key, *entry.value);
        self.list.iter().map(pair).collect::<Vec<_>>().join(" ")
    }
}
