//! Dropping old rows of the audit log.
//!
//! Must never: drop a row that is not the first one kept, that is not known to
//! hold, or that is the last one; drop anything without leaving a marker and an
//! audit row about it in the same write.
//!
//! Rows go in number order, and the first one that is young enough ends it: when
//! a clock was set back, older rows behind it stay until it goes. The rows are
//! verified on their way out. One that was tampered with stays, with all that
//! comes behind it: dropping it would turn evidence into a log that holds.

use serde_json::json;

use crate::audit::{Action, AuditKey, Broken, Draft, Walk};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{AuditRows, AuditStart, CommitError, ReadError, StartRow, Tx, View};

use crate::vault::Vault;
use crate::vault::error::Error;
use crate::vault::keys::unlock::{stored_row, stored_start};

/// Rows that one write drops. Reads wait while a write is applied, so it is small.
const BATCH_ROWS: usize = 500;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What keeps retention from going on.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// Rows that are old enough do not hold; they stay.
    #[error("{0}; no row is dropped from here on")]
    Broken(#[from] Broken),
    /// The database could not be read or written.
    #[error("{0}")]
    Store(#[from] Error),
}

enum Stop {
    /// The first row is young enough.
    Done,
    Broken(Broken),
    Read(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Vault {
    /// Drops the rows at the front of the audit log that are older than so many
    /// days, in at most so many writes; whether there may be more. With 0 days
    /// nothing is ever dropped.
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
                Err(CommitError::Refused(Stop::Done)) => return Ok(false),
                Err(CommitError::Refused(Stop::Broken(broken))) => return Err(broken.into()),
                Err(CommitError::Refused(Stop::Read(error))) => {
                    return Err(Error::from(error).into());
                }
                Err(CommitError::Unavailable(why)) => return Err(Error::from(why).into()),
                Err(CommitError::Panicked) => return Err(Error::Panicked.into()),
            }
        }
        Ok(true)
    }
}

/// Removes some rows and moves the marker behind them. Runs in the writer.
fn drop_batch(
    tx: &mut Tx<'_>,
    key: &AuditKey,
    keep_days: u32,
    now: Timestamp,
) -> Result<((), Draft), Stop> {
    let oldest = now.millis().saturating_sub(i64::from(keep_days) * DAY_MILLIS);
    let mut walk = Walk::from_start(key, stored_start(tx)?.as_ref())?;
    let first = walk.seq() + 1;
    let mut numbers = Vec::new();
    {
        let mut keys = tx.keys::<AuditRows>(&[]).peekable();
        while numbers.len() < BATCH_ROWS {
            let Some(seq) = keys.next() else { break };
            // The last row is the one that the head speaks of.
            if keys.peek().is_none() {
                break;
            }
            let seq = seq?;
            // None: it cannot have gone, because only this thread removes rows.
            let Some(row) = stored_row(tx, seq)? else { break };
            let mut next = walk.clone();
            if next.step(&row)?.draft.at.millis() >= oldest {
                break;
            }
            walk = next;
            numbers.push(seq);
        }
    }
    let Some(last) = numbers.last() else { return Err(Stop::Done) };
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
