//! Reading, exporting and verifying the audit log.
//!
//! Must never: show or count a row of an environment outside the caller's scope; leave a row out of
//! an export.
//! Called by: `http`; `cli`, for the database of a stopped server.

use crate::audit::{Action, ResourceType, Row, Verification};
use crate::domain::{EnvironmentId, Timestamp, UserId};
use crate::store::{AuditRows, Opened, ReadError, Unavailable, View};

use crate::vault::audit_rows::{
    ExportedRow, export_rows, stored_head, stored_start, verify_all, verify_rows,
};
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::error::Error;
use crate::vault::keys::unlock::load_keys;
use crate::vault::keys::unlock_error::UnlockError;
use crate::vault::policy::{Administer, Permit, Read};
use crate::vault::service::Vault;

/// Selects rows of the audit log. A condition that is `None` matches every row.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Rows of this environment.
    pub environment: Option<EnvironmentId>,
    /// Rows about this type of resource.
    pub resource_type: Option<ResourceType>,
    /// Rows about the resource with this id.
    pub resource_id: Option<String>,
    /// Rows about this action.
    pub action: Option<Action>,
    /// Rows about actions of this user.
    pub user: Option<UserId>,
    /// Rows about actions that succeeded (`true`) or were refused (`false`).
    pub success: Option<bool>,
    /// Rows from this time on.
    pub from: Option<Timestamp>,
    /// Rows from before this time.
    pub to: Option<Timestamp>,
    /// Returns only rows with a lower number: a cursor that does not move while rows are added.
    pub before_seq: Option<u64>,
    /// Rows with a higher number: what was added since that row was seen.
    pub after_seq: Option<u64>,
    /// The number of the newest matching rows to skip.
    pub offset: usize,
    /// The most rows to return.
    pub limit: usize,
}

impl AuditQuery {
    fn matches(&self, row: &Row) -> bool {
        fn fits<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none_or(|wanted| found == Some(wanted))
        }
        let draft = &row.draft;
        self.after_seq.is_none_or(|after| row.seq > after)
            && fits(self.environment.as_ref(), draft.environment.as_ref().map(|at| &at.id))
            && fits(self.resource_type.as_ref(), Some(&draft.action.resource_type()))
            && fits(self.resource_id.as_ref(), draft.resource.id.as_ref())
            && fits(self.action.as_ref(), Some(&draft.action))
            && fits(self.user.as_ref(), draft.actor.user.as_ref().map(|user| &user.id))
            && fits(self.success.as_ref(), Some(&draft.error.is_none()))
            && self.from.is_none_or(|from| draft.at >= from)
            && self.to.is_none_or(|to| draft.at < to)
    }
}

/// A page of matching rows, and their total number.
#[derive(Debug)]
pub struct AuditPage {
    /// The rows, newest first.
    pub rows: Vec<Row>,
    /// The number of all matching rows.
    pub total: u64,
}

/// Verifies the audit log of a database that is not being written to. A log that does not verify is
/// a result, not an error.
pub fn verify_audit<'a>(
    opened: &impl View,
    roots: impl Into<RootKeys<'a>>,
) -> Result<Verification, UnlockError> {
    let (_, services) = load_keys(opened, roots.into())?;
    Ok(verify_all(opened, &services.audit)?)
}

/// Exports the rows with numbers above `after` from a database that is not being written to,
/// oldest first. Needs no key.
pub fn export_audit(
    opened: &Opened,
    after: u64,
) -> impl Iterator<Item = Result<ExportedRow, ReadError>> {
    export_rows(opened, after)
}

impl Vault {
    /// Returns the matching rows that the caller may read. Walks the log from its end back to
    /// `after_seq`, or to its start; skips damaged rows. May block on the disk. Only a few walks
    /// run at a time, because each costs as much as the log is long.
    pub fn audit_logs(
        &self,
        permit: &Permit<Read>,
        query: &AuditQuery,
    ) -> Result<AuditPage, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let mut page = AuditPage { rows: Vec::new(), total: 0 };
        let (mut skipped, mut damaged, mut before) = (0, 0, u64::MAX);
        let mut rows = self.store.scan_back::<AuditRows>();
        // Rows are stored by number, so the walk stops before it reads a row with a lower one.
        while query.after_seq.is_none_or(|after| after < before.saturating_sub(1)) {
            let Some(found) = rows.next() else { break };
            if let Ok((seq, _)) = &found {
                before = *seq;
            }
            let row = match found {
                Ok((seq, _)) if query.after_seq.is_some_and(|after| seq <= after) => break,
                Ok((_, stored)) => stored.row(),
                Err(ReadError::Damaged { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            let Some(row) = row else {
                damaged += 1;
                continue;
            };
            let environment = row.draft.environment.as_ref().map(|at| at.id);
            if !permit.may_read_row(environment) || !query.matches(&row) {
                continue;
            }
            page.total += 1;
            if query.before_seq.is_some_and(|before| row.seq >= before) {
                continue;
            }
            if skipped < query.offset {
                skipped += 1;
            } else if page.rows.len() < query.limit {
                page.rows.push(row);
            }
        }
        if damaged > 0 {
            log::error!("{damaged} audit rows are damaged. Run: coffer audit verify");
        }
        Ok(page)
    }

    /// Returns up to `limit` rows with numbers above `after`, oldest first. May block on the disk.
    ///
    /// Leaves no audit row, like every read of the log: it shows the caller nothing that the list
    /// does not, and with a row about each page, an incremental copy of the log would never reach
    /// its end.
    pub fn export_audit_log(
        &self,
        _permit: &Permit<Administer>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ExportedRow>, Error> {
        Ok(export_rows(&*self.store, after).take(limit).collect::<Result<_, _>>()?)
    }

    /// Verifies the chain from its first kept row to its current end. May block on the disk.
    pub fn verify_audit_log(&self, _permit: &Permit<Administer>) -> Result<Verification, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let store = &*self.store;
        loop {
            // The marker is read before the head, so rows added meanwhile come after the head.
            let start = stored_start(store)?;
            let head = stored_head(store)?;
            let last = head.as_ref().map_or(u64::MAX, |head| head.seq);
            let found = verify_rows(store, &self.audit_key, start.as_ref(), head.as_ref(), last)?;
            let Some(broken) = &found.broken else { return Ok(found) };
            // Rows that retention dropped during the walk are not missing: try again.
            if stored_start(store)? == start {
                log::error!("the audit log does not verify: {broken}");
                return Ok(found);
            }
        }
    }
}
