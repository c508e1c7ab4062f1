//! Examining a backup: whether every record opens, and whether the indexes are consistent.
//!
//! Must never: let anything of a value out, except whether it opens.

use crate::audit::Verification;
use crate::domain::{RevealMode, SecretId};
use crate::store::{self, ReadError, SecretPlaces, Secrets, Vars, Versions, View};

use crate::vault::audit_rows::verify_all;
use crate::vault::backup::error::BackupError;
use crate::vault::crypto::cipher;
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::error::Error;
use crate::vault::keys::unlock::load_keys;
use crate::vault::secret_rows::{Binding, binding};
use crate::vault::verbs::var_values::value_is_whole;
use crate::vault::verbs::versions::sealed_value;

/// The result of an examination.
#[derive(Debug)]
pub struct Examined {
    /// The number of versions that open.
    pub opened: u64,
    /// The number of vars whose values are intact.
    pub vars: u64,
    /// The number of secrets that a restore makes revealable, which includes those that became
    /// never-reveal after the backup.
    pub revealable: u64,
    /// One line for each record that does not open or is inconsistent. Lines name ids, never
    /// values.
    pub findings: Vec<String>,
    /// The verification of the audit log.
    pub audit: Verification,
}

/// Opens every version of every secret, reads every var, verifies the audit log, and compares the
/// indexes with the rows. Opened values are erased at once.
pub(super) fn examine(view: &impl View, roots: RootKeys<'_>) -> Result<Examined, BackupError> {
    let (keyring, services) = load_keys(view, roots)?;
    let audit = verify_all(view, &services.audit)?;
    let mut findings = store::check(view)?;
    if let Some(broken) = &audit.broken {
        findings.push(format!("the audit log does not verify: {broken}"));
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
        // All versions of a secret follow each other.
        if of.as_ref().is_none_or(|(known, _)| *known != id) {
            let at = current_binding(view, id)?;
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

/// Counts the vars whose values are intact. `store::check` reports damaged rows.
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

/// Reads what a secret is bound to; `None` if its rows are missing or damaged.
fn current_binding(view: &impl View, id: SecretId) -> Result<Option<Binding>, ReadError> {
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
