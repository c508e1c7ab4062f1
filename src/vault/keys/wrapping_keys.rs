//! The stored wrapping keys: what is wrapped under each of them, and which of them a start needs.
//!
//! Must never: leave out a wrapping key that a row may still need.
//! Called by: `unlock`, to load the keyring; `rotation`, to report and retire keys.

use std::collections::BTreeMap;

use crate::domain::{SecretId, Version};
use crate::store::{
    KeyId, KeyRow, Keys, ReadError, ServiceKeys as ServiceKeysTable, Versions, View,
};

use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::keys::unlock_error::UnlockError;

/// The most versions that [`WrappedCounts::elsewhere`] names.
const MAX_NAMED: usize = 20;

/// How many keys are wrapped under each wrapping key.
pub(super) struct WrappedCounts {
    wrapped: BTreeMap<KeyId, u64>,
    /// The number of damaged rows, which do not say what they are wrapped under.
    damaged: u64,
    /// Some of the versions that are not wrapped under the active key.
    pub elsewhere: Vec<(SecretId, Version)>,
}

impl WrappedCounts {
    /// Counts the data keys and service keys. Reads a row for each version of each secret.
    pub fn count(view: &impl View, active: KeyId) -> Result<Self, ReadError> {
        let mut usage = Self { wrapped: BTreeMap::new(), damaged: 0, elsewhere: Vec::new() };
        if let Some(row) = view.get::<ServiceKeysTable>(&())? {
            for key in [row.audit.key, row.token.key] {
                *usage.wrapped.entry(key).or_insert(0) += 1;
            }
        }
        // Read keys first, rows second: this way a damaged row still has a name.
        for found in view.keys::<Versions>(&[]) {
            let at = match found {
                Ok(at) => at,
                // No secret leads to a row whose key does not decode.
                Err(ReadError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            let key = match view.get::<Versions>(&at) {
                Ok(Some(row)) => Some(row.data_key.key),
                // Dropped after its key was read.
                Ok(None) => continue,
                Err(ReadError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            match key {
                Some(key) => *usage.wrapped.entry(key).or_insert(0) += 1,
                None => usage.damaged += 1,
            }
            if key != Some(active) && usage.elsewhere.len() < MAX_NAMED {
                usage.elsewhere.push(at);
            }
        }
        Ok(usage)
    }

    /// Returns how many keys are known to be wrapped under a wrapping key.
    pub fn wrapped(&self, id: KeyId) -> u64 {
        self.wrapped.get(&id).copied().unwrap_or(0)
    }

    /// Returns how many keys may need a wrapping key. A damaged row may need any of them.
    pub fn needing(&self, id: KeyId) -> u64 {
        self.wrapped(id) + self.damaged
    }

    /// Returns how many keys are not, or may not be, wrapped under the active key.
    pub fn outside(&self, active: KeyId) -> u64 {
        let elsewhere = self.wrapped.iter().filter(|(id, _)| **id != active);
        elsewhere.map(|(_, count)| count).sum::<u64>() + self.damaged
    }
}

/// Loads the keyring of a database; `None` if it has no keys.
///
/// A wrapping key whose root key was not supplied is left out if nothing is wrapped under it
/// anymore. So a backup from the time between a finished change of the root key and the retirement
/// of the old wrapping key opens with the new root key alone.
pub(super) fn load_keyring(
    view: &impl View,
    roots: RootKeys<'_>,
) -> Result<Option<Keyring>, UnlockError> {
    let rows = view.scan::<Keys>(&[], None).collect::<Result<Vec<_>, _>>()?;
    let Some((newest, _)) = rows.last() else { return Ok(None) };
    let newest = *newest;
    let given = |row: &KeyRow| roots.find(Fingerprint(row.root_fingerprint)).is_some();
    let (mut kept, mut left_out) = (rows, Vec::new());
    if !kept.iter().all(|(_, row)| given(row)) {
        let usage = WrappedCounts::count(view, newest)?;
        // The newest key always stays: the number of the next one follows from it.
        (kept, left_out) = kept
            .into_iter()
            .partition(|(id, row)| given(row) || *id == newest || usage.needing(*id) > 0);
    }
    let loaded = Keyring::load(roots, kept);
    let loaded = loaded.map_err(|missing| UnlockError::missing_root_key(missing, roots))?;
    for (id, row) in left_out {
        log::warn!(
            "root key {} was not given and is no longer needed. Retire its wrapping key: coffer key retire {}",
            Fingerprint(row.root_fingerprint),
            id.0
        );
    }
    Ok(loaded)
}
