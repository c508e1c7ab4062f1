//! Retention: dropping old rows of the audit log.
//!
//! Must never: drop a row that is not the first kept one, that does not verify, or that is the last
//! one; drop anything without a marker and an audit row about it in the same write.
//! Called by: `server`, on a schedule.
//!
//! Rows are dropped in the order of their numbers, up to the first one that is young enough. So
//! after a clock was set back, older rows with higher numbers stay until that row goes. Rows are
//! verified as they are dropped. A row that was tampered with stays, and so do all rows after it:
//! dropping it would leave a log that verifies, without the evidence.

use serde_json::json;

use crate::audit::{Action, AuditKey, Broken, Draft, Walk};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{AuditRows, AuditStart, CommitError, ReadError, StartRow, Tx, View};

use crate::vault::audit_rows::{stored_row, stored_start};
use crate::vault::error::Error;
use crate::vault::service::Vault;

/// The number of rows that one write drops, which is small because reads wait while it is applied.
const BATCH_ROWS: usize = 500;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Why retention stopped.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A row that is old enough does not verify. It stays, and so do all rows after it.
    #[error("{0}; this row and all later ones are kept")]
    Broken(#[from] Broken),
    /// The database could not be read or written.
    #[error("{0}")]
    Store(#[from] Error),
}

/// Why a batch dropped nothing.
enum NothingDropped {
    /// The first kept row is young enough.
    Done,
    Broken(Broken),
    Read(ReadError),
}

impl From<ReadError> for NothingDropped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Broken> for NothingDropped {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Vault {
    /// Drops the rows at the start of the audit log that are older than `keep_days` days, in at
    /// most `batches` writes. Returns whether there may be more. With 0 days, nothing is ever
    /// dropped.
    pub async fn prune_audit_log(
        &self,
        keep_days: u32,
        batches: usize,
    ) -> Result<bool, PruneError> {
        if keep_days == 0 {
            return Ok(false);
        }
        for _ in 0..batches {
            let (key, now) = (self.audit_key.clone(), self.now());
            let change = move |tx: &mut Tx<'_>| drop_batch(tx, &key, keep_days, now);
            match self.store.change(change).from_reserve().commit().await {
                Ok(()) => {}
                Err(CommitError::Refused(NothingDropped::Done)) => return Ok(false),
                Err(CommitError::Refused(NothingDropped::Broken(broken))) => {
                    return Err(broken.into());
                }
                Err(CommitError::Refused(NothingDropped::Read(error))) => {
                    return Err(Error::from(error).into());
                }
                Err(CommitError::Unavailable(why)) => return Err(Error::from(why).into()),
                Err(CommitError::Panicked) => return Err(Error::Panicked.into()),
            }
        }
        Ok(true)
    }
}

/// Drops the next rows and moves the marker past them. Runs in the writer.
fn drop_batch(
    tx: &mut Tx<'_>,
    key: &AuditKey,
    keep_days: u32,
    now: Timestamp,
) -> Result<((), Draft), NothingDropped> {
    let oldest = now.millis().saturating_sub(i64::from(keep_days) * DAY_MILLIS);
    let mut walk = Walk::from_start(key, stored_start(tx)?.as_ref())?;
    let first = walk.seq() + 1;
    let mut numbers = Vec::new();
    {
        let mut keys = tx.keys::<AuditRows>(&[]).peekable();
        while numbers.len() < BATCH_ROWS {
            let Some(seq) = keys.next() else { break };
            // The head refers to the last row.
            if keys.peek().is_none() {
                break;
            }
            let seq = seq?;
            // Always there: only this thread removes rows.
            let Some(row) = stored_row(tx, seq)? else { break };
            let mut next = walk.clone();
            if next.step(&row)?.draft.at.millis() >= oldest {
                break;
            }
            walk = next;
            numbers.push(seq);
        }
    }
    let Some(last) = numbers.last() else { return Err(NothingDropped::Done) };
    let details = json!({
        "firstSeq": first, "lastSeq": last, "rows": numbers.len(), "keepDays": keep_days,
    });
    let draft = Draft::new(Action::AuditPrune, &Principal::host(), &Origin::host(), now);
    for seq in &numbers {
        tx.remove::<AuditRows>(seq);
    }
    tx.put::<AuditStart>(&(), &StartRow::new(&walk.start(now)));
    Ok(((), draft.details(&details)))
}
