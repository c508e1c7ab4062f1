//! Whether every record of a backup opens, and whether they fit each other.

use crate::audit::Verification;
use crate::domain::{RevealMode, SecretId};
use crate::store::{self, ReadError, SecretPlaces, Secrets, Vars, Versions, View};

use crate::vault::backup::BackupError;
use crate::vault::crypto::cipher::{self, Binding};
use crate::vault::crypto::keyring::RootKeys;
use crate::vault::error::Error;
use crate::vault::keys::unlock::keys_and_audit;
use crate::vault::verbs::secrets::binding;
use crate::vault::verbs::vars::value_is_whole;
use crate::vault::verbs::versions::sealed_value;

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// Versions of secrets that open.
    pub opened: u64,
    /// Vars whose values are whole.
    pub vars: u64,
    /// Secrets that can be revealed where this is restored: also those that became
    /// never-reveal behind it.
    pub revealable: u64,
    /// One line for each thing that does not open or does not fit. Lines name
    /// ids, never values.
    pub findings: Vec<String>,
    /// What the walk over the audit log has found.
    pub audit: Verification,
}

/// Opens every version of every secret, and drops what was in it at once; reads
/// every var; walks the audit log; compares the indexes with the rows.
pub(super) fn examine(view: &impl View, roots: RootKeys<'_>) -> Result<Examined, BackupError> {
    let (keyring, audit) = keys_and_audit(view, roots)?;
    let mut findings = store::check(view)?;
    if let Some(broken) = &audit.broken {
        findings.push(format!("the audit log does not hold: {broken}"));
    }
    let (mut opened, mut revealable, mut of) = (0, 0, None);
    for key in view.keys::<Versions>(&[]) {
        let (id, version) = match key {
            Ok(key) => key,
            Err(damaged @ ReadError::Damaged { .. }) => {
                findings.push(damaged.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        // Versions of one secret stand together.
        if of.as_ref().is_none_or(|(known, _)| *known != id) {
            let at = place(view, id)?;
            revealable +=
                u64::from(at.as_ref().is_some_and(|at| at.mode == RevealMode::Revealable));
            of = Some((id, at));
        }
        let Some((_, Some(at))) = &of else {
            findings.push(format!("version {version} of {id} belongs to no secret"));
            continue;
        };
        let at = Binding { version, ..at.clone() };
        let opens = match sealed_value(view, (id, version)) {
            Ok(Some(sealed)) => cipher::opens(&keyring, &at, sealed).map_err(Error::from),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match opens {
            Ok(()) => opened += 1,
            Err(Error::Read(error @ ReadError::Sled(_))) => return Err(error.into()),
            Err(error) => findings.push(format!("version {version} of {id}: {error}")),
        }
    }
    let vars = vars(view, &mut findings)?;
    Ok(Examined { opened, vars, revealable, findings, audit })
}

/// How many vars are whole. A row that is damaged was found with the rows.
fn vars(view: &impl View, findings: &mut Vec<String>) -> Result<u64, ReadError> {
    let mut whole = 0;
    for found in view.scan::<Vars>(&[], None) {
        match found {
            Ok((_, row)) if value_is_whole(view, &row)? => whole += 1,
            Ok((_, row)) => findings.push(format!("the value of {} is damaged", row.id)),
            Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

/// What a secret's versions are bound to; `None` when its rows do not say.
fn place(view: &impl View, id: SecretId) -> Result<Option<Binding>, ReadError> {
    let found = view.get::<SecretPlaces>(&id).and_then(|place| match place {
        Some(place) => {
            let row = view.get::<Secrets>(&(place.environment, place.key.clone()))?;
            Ok(row.filter(|row| row.id == id).map(|row| binding(&place, &row)))
        }
        None => Ok(None),
    });
    match found {
        Err(ReadError::Damaged { .. }) => Ok(None),
        found => found,
    }
}
