//! Repairing what can be worked out from other rows, and recording it, as of
//! compactions.
//!
//! Must never: repair rows without an audit row about it; help whoever has
//! changed rows behind the server's back.

use serde_json::json;

use crate::audit::{Action, AuditKey, Draft};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{
    self, CommitError, Compacted, ReadError, RepairDepth, RepairReport, Store, Tx, View,
};

use crate::vault::Vault;
use crate::vault::error::Error;
use crate::vault::keys::unlock::Unlocked;
use crate::vault::keys::unlock::{stored_head, stored_start, verify_rows};

impl Vault {
    /// Records that the log was written anew.
    pub async fn record_compacted(&self, compacted: Compacted) -> Result<(), Error> {
        self.record_host(Action::ServerCompact, &described(compacted)).await
    }
}

/// That nothing was to be repaired, as a change that comes to nothing.
enum Nothing {
    ToDo,
    Read(ReadError),
}

/// Repairs what can be worked out from other rows, and removes what belongs to
/// nobody. The caller has copied the data directory.
pub fn repair(unlocked: &Unlocked, now: Timestamp) -> Result<RepairReport, Error> {
    repair_to(&unlocked.store, RepairDepth::Leftovers, now, |_| Ok(true))
}

/// Likewise, without removing what belongs to nobody: what a start does. Whoever
/// has changed rows behind the server's back is not to be helped by it, so where
/// the audit log does not hold, nothing is repaired.
pub fn repair_index(unlocked: &Unlocked, now: Timestamp) -> Result<RepairReport, Error> {
    let key = unlocked.audit_key.clone();
    repair_to(&unlocked.store, RepairDepth::Index, now, move |tx| holds(tx, &key))
}

fn holds(view: &impl View, key: &AuditKey) -> Result<bool, ReadError> {
    let (start, head) = (stored_start(view)?, stored_head(view)?);
    let verified = verify_rows(view, key, start.as_ref(), head.as_ref(), u64::MAX)?;
    if let Some(broken) = &verified.broken {
        log::error!(
            "the index rows are not repaired, because the audit log does not hold: {broken}"
        );
    }
    Ok(verified.broken.is_none())
}

/// `may` is asked only when there is something to repair: it may take long.
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
            let repaired = store::repair(tx, depth).map_err(Nothing::Read)?;
            if repaired.lines.is_empty() || !may(tx).map_err(Nothing::Read)? {
                return Err(Nothing::ToDo);
            }
            let draft = host(Action::ServerRepair, now).details(&json!(repaired.counts));
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
            Err(CommitError::Refused(Nothing::ToDo)) => return Ok(all),
            Err(CommitError::Refused(Nothing::Read(error))) => return Err(error.into()),
            Err(CommitError::Unavailable(why)) => return Err(why.into()),
            Err(CommitError::Panicked) => return Err(Error::Panicked),
        }
    }
}

/// Records that the log of a stopped server was written anew.
pub fn record_compaction(
    unlocked: &Unlocked,
    compacted: Compacted,
    now: Timestamp,
) -> Result<(), Error> {
    let draft = host(Action::ServerCompact, now).details(&described(compacted));
    unlocked.store.record::<Error>(draft).commit_blocking().map_err(Error::from)
}

fn host(action: Action, now: Timestamp) -> Draft {
    Draft::new(action, &Principal::host(), &Origin::host(), now)
}

fn described(
    Compacted { rows, live_bytes, before_bytes, after_bytes }: Compacted,
) -> serde_json::Value {
    json!({ "rows": rows, "liveBytes": live_bytes, "beforeBytes": before_bytes, "afterBytes": after_bytes })
}
