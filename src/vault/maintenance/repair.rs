//! Repairs: restoring rows that follow from other rows, with an audit row about each repair; and
//! the audit rows about compactions.
//!
//! Must never: repair anything without recording it; cover up a change that was made to the rows
//! behind the server's back.
//! Called by: `server` at the start; `cli`, for `doctor --repair` and `compact`.

use serde_json::json;

use crate::audit::{Action, AuditKey, Draft};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{
    self, CommitError, Compacted, ReadError, RepairDepth, RepairReport, Store, Tx, View,
};

use crate::vault::audit_rows::verify_all;
use crate::vault::error::Error;
use crate::vault::service::Vault;
use crate::vault::unlocked::Unlocked;

impl Vault {
    /// Records that the database was compacted.
    pub async fn record_compacted(&self, compacted: Compacted) -> Result<(), Error> {
        self.record_host(Action::ServerCompact, &compaction_details(compacted)).await
    }
}

/// Why a repair wrote nothing.
enum NoRepair {
    NotNeeded,
    Read(ReadError),
}

/// Restores what follows from other rows, and removes rows that belong to nothing. The caller must
/// have copied the data directory first.
pub fn repair(unlocked: &Unlocked, now: Timestamp) -> Result<RepairReport, Error> {
    repair_to(&unlocked.store, RepairDepth::Leftovers, now, |_| Ok(true))
}

/// Restores the index rows at a start, and removes nothing. If the audit log does not verify,
/// nothing is repaired: a repair could cover up a change that was made behind the server's back.
pub fn repair_index(unlocked: &Unlocked, now: Timestamp) -> Result<RepairReport, Error> {
    let key = unlocked.audit_key.clone();
    repair_to(&unlocked.store, RepairDepth::Index, now, move |tx| audit_log_verifies(tx, &key))
}

fn audit_log_verifies(view: &impl View, key: &AuditKey) -> Result<bool, ReadError> {
    let verified = verify_all(view, key)?;
    if let Some(broken) = &verified.broken {
        log::error!("not repairing the index, because the audit log does not verify: {broken}");
    }
    Ok(verified.broken.is_none())
}

/// Repairs in as many writes as needed. `may` is called only if something needs repair, because it
/// can take long.
fn repair_to(
    store: &Store,
    depth: RepairDepth,
    now: Timestamp,
    may: impl Fn(&Tx<'_>) -> Result<bool, ReadError> + Clone + Send + 'static,
) -> Result<RepairReport, Error> {
    let mut all = RepairReport::default();
    loop {
        let may = may.clone();
        let change = move |tx: &mut Tx<'_>| {
            let repaired = store::repair(tx, depth).map_err(NoRepair::Read)?;
            if repaired.lines.is_empty() || !may(tx).map_err(NoRepair::Read)? {
                return Err(NoRepair::NotNeeded);
            }
            let draft = host_draft(Action::ServerRepair, now).details(&json!(repaired.counts));
            Ok((repaired, draft))
        };
        match store.change(change).commit_blocking() {
            Ok(repaired) => {
                let is_full = repaired.is_full();
                all.add(repaired);
                if !is_full {
                    return Ok(all);
                }
            }
            Err(CommitError::Refused(NoRepair::NotNeeded)) => return Ok(all),
            Err(CommitError::Refused(NoRepair::Read(error))) => return Err(error.into()),
            Err(CommitError::Unavailable(why)) => return Err(why.into()),
            Err(CommitError::Panicked) => return Err(Error::Panicked),
        }
    }
}

/// Records that the database of a stopped server was compacted.
pub fn record_compaction(
    unlocked: &Unlocked,
    compacted: Compacted,
    now: Timestamp,
) -> Result<(), Error> {
    let draft = host_draft(Action::ServerCompact, now).details(&compaction_details(compacted));
    unlocked.store.record::<Error>(draft).commit_blocking().map_err(Error::from)
}

fn host_draft(action: Action, now: Timestamp) -> Draft {
    Draft::new(action, &Principal::host(), &Origin::host(), now)
}

fn compaction_details(
    Compacted { rows, live_bytes, before_bytes, after_bytes }: Compacted,
) -> serde_json::Value {
    json!({ "rows": rows, "liveBytes": live_bytes, "beforeBytes": before_bytes, "afterBytes": after_bytes })
}
