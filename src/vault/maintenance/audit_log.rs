//! Reading, exporting and verifying the audit log.
//!
//! Must never: show a row of an environment outside the caller's scope, or
//! count one; leave a row out of an export.

use crate::audit::{Action, Mac, ResourceType, Row, Verification};
use crate::domain::{EnvironmentId, Timestamp, UserId};
use crate::store::{AuditRows, ReadError, View};

use crate::vault::error::Error;
use crate::vault::keys::unlock::{stored_head, stored_start, verify_rows};
use crate::vault::policy::{Administer, Permit, Read};
use crate::vault::{Unavailable, Vault};

/// Which rows are wanted. What is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Rows of this environment.
    pub environment: Option<EnvironmentId>,
    /// Rows about this kind of thing.
    pub resource_type: Option<ResourceType>,
    /// Rows about the thing with this id.
    pub resource_id: Option<String>,
    /// Rows about this.
    pub action: Option<Action>,
    /// Rows about what this user did.
    pub user: Option<UserId>,
    /// Rows about what was done, or about what was refused.
    pub success: Option<bool>,
    /// Rows from this moment on.
    pub from: Option<Timestamp>,
    /// Rows from before this moment.
    pub to: Option<Timestamp>,
    /// Only rows with a lower number than this are shown: the cursor that stays
    /// where it is while new rows come.
    pub before_seq: Option<u64>,
    /// Only rows with a higher number than this: what has come since it was seen.
    pub after_seq: Option<u64>,
    /// How many of the newest rows are left out.
    pub offset: usize,
    /// At most so many are shown.
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

/// Some rows, and how many there are.
#[derive(Debug)]
pub struct AuditPage {
    /// Newest first.
    pub rows: Vec<Row>,
    /// How many rows match, whatever part of them is shown.
    pub total: u64,
}

/// A row on its way out of the server.
#[derive(Debug)]
pub struct ExportedRow {
    /// The number under which it is stored.
    pub seq: u64,
    /// What it says, and its MAC; `None` when it is damaged.
    pub content: Option<(Row, Mac)>,
}

/// The stored rows behind `after`, oldest first, without a walk over those
/// before. A number that is left out is one without a row.
pub(in crate::vault) fn export_rows<V: View>(
    view: &V,
    after: u64,
) -> impl Iterator<Item = Result<ExportedRow, ReadError>> + use<'_, V> {
    let numbers = view.keys_after::<AuditRows>(&[], Some(&after.to_be_bytes()));
    numbers.filter_map(|seq| {
        let seq = match seq {
            Ok(seq) => seq,
            // Nothing that this program wrote; there is no row to leave out.
            Err(damaged @ ReadError::Damaged { .. }) => {
                log::error!("left out of an export, because it has no number: {damaged}");
                return None;
            }
            Err(error) => return Some(Err(error)),
        };
        let content = match view.get::<AuditRows>(&seq) {
            // Dropped by retention since its number was read.
            Ok(None) => return None,
            Ok(Some(stored)) => stored.row().map(|row| (row, stored.mac())),
            Err(ReadError::Damaged { .. }) => None,
            Err(error) => return Some(Err(error)),
        };
        // A row that was put under another number is not the row of that number.
        let content = content.filter(|(row, _)| row.seq == seq);
        Some(Ok(ExportedRow { seq, content }))
    })
}

impl Vault {
    /// The rows that match, of those that the caller may read. Walks the whole
    /// log, from its end back to `after_seq` if there is one; rows that are damaged
    /// are left out. May block on the disk. Only so many walks go on at a time: each costs as much as the log is
    /// long, whoever asks for it.
    pub fn audit_logs(
        &self,
        permit: &Permit<Read>,
        query: &AuditQuery,
    ) -> Result<AuditPage, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let mut page = AuditPage { rows: Vec::new(), total: 0 };
        let (mut skipped, mut damaged, mut before) = (0, 0, u64::MAX);
        let mut rows = self.store.scan_back::<AuditRows>();
        // Rows stand by their numbers: what is behind has lower ones. It is not read.
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
            log::error!("{damaged} audit rows are damaged; verify the log");
        }
        Ok(page)
    }

    /// Up to `limit` rows behind number `after`, oldest first. May block on the
    /// disk.
    ///
    /// Leaves no row, as reading the log leaves none: it shows the caller nothing
    /// that the list does not, and a row about each page would make a copy that
    /// is kept up to date never reach the end of the log.
    pub fn export_audit_log(
        &self,
        _permit: &Permit<Administer>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<ExportedRow>, Error> {
        Ok(export_rows(&*self.store, after).take(limit).collect::<Result<_, _>>()?)
    }

    /// Walks the chain from its first kept row to the end it has now. May block
    /// on the disk.
    pub fn verify_audit_log(&self, _permit: &Permit<Administer>) -> Result<Verification, Error> {
        let _walk = self.walks.try_acquire().map_err(|_| Unavailable::OtherExaminations)?;
        let store = &*self.store;
        loop {
            // The marker first, then the head; rows that come meanwhile lie
            // behind the head.
            let start = stored_start(store)?;
            let head = stored_head(store)?;
            let last = head.as_ref().map_or(u64::MAX, |head| head.seq);
            let found = verify_rows(store, &self.audit_key, start.as_ref(), head.as_ref(), last)?;
            let Some(broken) = &found.broken else { return Ok(found) };
            // Rows that retention dropped under the walk are not missing.
            if stored_start(store)? == start {
                log::error!("the audit log does not hold: {broken}");
                return Ok(found);
            }
        }
    }
}
