//! Checks that every stored record opens: each version of each secret, and the value of each var.
//!
//! Must never: let anything of a value out, except whether it opens.
//! Called by: `doctor`.

use std::collections::BTreeSet;

use crate::domain::{RevealMode, SecretKind, VarKind, Version};
use crate::store::{ReadError, SecretPlace, SecretRow, Secrets, VarPlace, VarRow, Vars, View};

use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::error::Error;
use crate::vault::lookup::Located;
use crate::vault::secret_rows::{Binding, binding};
use crate::vault::verbs::var_values::value_is_whole;
use crate::vault::verbs::versions::{numbers, sealed_value};

/// How many records were checked, and which of them are broken.
#[derive(Default)]
pub(super) struct Records {
    pub secrets: u64,
    pub versions: u64,
    pub vars: u64,
    pub broken: Vec<String>,
}

impl Records {
    /// Opens every version of every secret.
    pub fn check_secrets<V: View>(&mut self, view: &V, keyring: &Keyring) -> Result<(), ReadError> {
        self.visit::<SecretKind, V>(view, |records, place, row| {
            records.secrets += 1;
            match open_all(view, keyring, (place, row), &mut records.broken) {
                Ok(versions) => records.versions += versions,
                Err(error) => {
                    let id = row.id;
                    records.broken.push(format!("cannot read the versions of {id}: {error}"));
                }
            }
        })
    }

    /// Reads the value of every var.
    pub fn check_vars<V: View>(&mut self, view: &V) -> Result<(), ReadError> {
        self.visit::<VarKind, V>(view, |records, place, row| {
            records.vars += 1;
            match is_broken(view, place, row) {
                Ok(false) => {}
                Ok(true) => records.broken.push(format!("the value of {} is damaged", row.id)),
                Err(error) => {
                    let id = row.id;
                    records.broken.push(format!("cannot read the value of {id}: {error}"));
                }
            }
        })
    }

    /// Visits every row of a kind. After a point where the table cannot be read in order anymore,
    /// each of the remaining rows is looked up by its place.
    fn visit<K: Located, V: View>(
        &mut self,
        view: &V,
        visit: impl Fn(&mut Self, &K::Place, &K::Row),
    ) -> Result<(), ReadError> {
        let mut seen = BTreeSet::new();
        let mut hole = None;
        for found in view.scan::<K::Table>(&[], None) {
            let ((environment, key), row) = match found {
                Ok(found) => found,
                // `store::check` reports damaged rows.
                Err(ReadError::Damaged { .. }) => continue,
                Err(error) => {
                    hole = Some(error);
                    break;
                }
            };
            seen.insert(K::id(&row));
            visit(self, &K::new_place(environment, key), &row);
        }
        let Some(hole) = hole else { return Ok(()) };
        for (id, place) in view.scan::<K::Places>(&[], None).map_while(Result::ok) {
            if seen.contains(&id) {
                continue;
            }
            match view.get::<K::Table>(&(K::environment(&place), K::key(&place).clone())) {
                Ok(Some(row)) => visit(self, &place, &row),
                Ok(None) | Err(ReadError::Damaged { .. }) => {}
                Err(_) => self.broken.push(format!("cannot read {id}")),
            }
        }
        Err(hole)
    }
}

/// Returns whether the value of a var is damaged, and not just overwritten or deleted during the
/// walk: a var's row is written and removed together with its value.
fn is_broken(view: &impl View, place: &VarPlace, row: &VarRow) -> Result<bool, ReadError> {
    if value_is_whole(view, row)? {
        return Ok(false);
    }
    match view.get::<Vars>(&(place.environment, place.key.clone())) {
        Ok(now) => Ok(now.is_some_and(|now| now.id == row.id && now.version == row.version)),
        Err(ReadError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens every version of a secret. Returns how many versions there are.
fn open_all(
    view: &impl View,
    keyring: &Keyring,
    (place, row): (&SecretPlace, &SecretRow),
    broken: &mut Vec<String>,
) -> Result<u64, ReadError> {
    let versions = numbers(view, row.id)?;
    for version in &versions {
        if opens(view, keyring, (place, row), *version)? {
            continue;
        }
        // The secret may have been changed, latched or deleted during the walk: read it again.
        let now = match view.get::<Secrets>(&(place.environment, place.key.clone())) {
            Ok(Some(now)) if now.id == row.id => now,
            Ok(_) => continue,
            Err(ReadError::Damaged { .. }) => row.clone(),
            Err(error) => return Err(error),
        };
        let kept = numbers(view, row.id)?.contains(version);
        if kept && !opens(view, keyring, (place, &now), *version)? {
            let why = if opens_in_other_mode(view, keyring, (place, &now), *version)? {
                "was sealed for another reveal mode than its row says"
            } else {
                "does not open"
            };
            broken.push(format!("version {version} of {} {why}", row.id));
        }
    }
    Ok(versions.len() as u64)
}

fn opens(
    view: &impl View,
    keyring: &Keyring,
    (place, row): (&SecretPlace, &SecretRow),
    version: Version,
) -> Result<bool, ReadError> {
    let binding = Binding { version, ..binding(place, row) };
    match sealed_value(view, (row.id, version)) {
        Ok(Some(sealed)) => Ok(cipher::opens(keyring, &binding, sealed).is_ok()),
        Ok(None) | Err(Error::Damaged(_)) => Ok(false),
        Err(Error::Read(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Returns whether a version that does not open was sealed for the other reveal mode.
fn opens_in_other_mode(
    view: &impl View,
    keyring: &Keyring,
    (place, row): (&SecretPlace, &SecretRow),
    version: Version,
) -> Result<bool, ReadError> {
    let mode = RevealMode::from_never_reveal(row.mode != RevealMode::NeverReveal);
    opens(view, keyring, (place, &SecretRow { mode, ..row.clone() }), version)
}
