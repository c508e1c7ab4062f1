//! Deleting secrets and vars, which are stored alike: a row under environment and key, a place that
//! leads to it, and the chunks of a value.
//!
//! Must never: remove a row that belongs to another id, even if a damaged place leads to it.
//! Called by: the delete verbs, and the sweep of a deleted environment.

use serde_json::json;

use crate::audit::Draft;
use crate::domain::{Id, SecretId, SecretKind, VarId, VarKind};
use crate::store::{ReadError, Tx, View};

use crate::vault::error::Error;
use crate::vault::lookup::{Located, check_version, environment_row, locate, update_counts};
use crate::vault::policy;
use crate::vault::verbs::var_values::remove_values;
use crate::vault::verbs::versions::remove_versions;

/// A kind of row that can be deleted by its id.
pub(in crate::vault) trait Deletable: Located {
    /// Removes everything that the row's value consists of.
    fn remove_value(tx: &mut Tx<'_>, id: Id<Self>) -> Result<(), Error>;
}

impl Deletable for SecretKind {
    fn remove_value(tx: &mut Tx<'_>, id: SecretId) -> Result<(), Error> {
        remove_versions(tx, id)
    }
}

impl Deletable for VarKind {
    fn remove_value(tx: &mut Tx<'_>, id: VarId) -> Result<(), Error> {
        remove_values(tx, id)
    }
}

/// Removes every row of a secret or var. Returns whether the row at its place was among them: a
/// damaged place can lead to another id's row, which stays.
pub(super) fn remove<K: Deletable>(
    tx: &mut Tx<'_>,
    place: &K::Place,
    id: Id<K>,
) -> Result<bool, Error> {
    K::remove_value(tx, id)?;
    tx.remove::<K::Places>(&id);
    let at = (K::environment(place), K::key(place).clone());
    let own = match tx.get::<K::Table>(&at) {
        Ok(row) => row.is_some_and(|row| K::id(&row) == id),
        Err(ReadError::Damaged { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if own {
        tx.remove::<K::Table>(&at);
    }
    Ok(own)
}

/// Deletes a secret or var as one change. A damaged row can be deleted too, unless the caller
/// expects a version, which cannot be checked then.
pub(super) fn delete<K: Deletable>(
    tx: &mut Tx<'_>,
    id: Id<K>,
    expected: Option<&[u32]>,
    draft: Draft,
) -> Result<((), Draft), Error> {
    let version = match locate::<K>(tx, id) {
        Ok((_, row)) => {
            check_version(expected, K::version(&row))?;
            Some(K::version(&row))
        }
        Err(Error::Damaged(_)) if expected.is_none() => None,
        Err(error) => return Err(error),
    };
    let place = K::place(tx, id)?.ok_or(Error::NotFound(K::TYPE))?;
    let environment = environment_row(tx, K::environment(&place))?;
    if remove::<K>(tx, &place, id)? {
        update_counts(tx, K::environment(&place), |counts| {
            let count = K::count(counts);
            *count = count.saturating_sub(1);
        })?;
    }
    let draft = policy::label(draft, K::environment(&place), &environment)
        .on(id, Some(K::key(&place).as_str()))
        .details(&json!({ "oldVersion": version }));
    Ok(((), draft))
}
