//! The stored audit log: its rows, its start marker and its head, as a walk over the chain needs
//! them.
//!
//! Owns: how damaged rows take part in a verification or an export.
//! Must never: leave out a row silently.
//! Called by: `backup`, to verify what it restores; `maintenance`, to verify, export and prune.

use crate::audit::{self, AuditKey, Head, Mac, Row, Start, StoredRow, Verification};
use crate::domain::Timestamp;
use crate::store::{AuditHead, AuditRows, AuditStart, ReadError, View};

/// Reads the marker of the first kept row. A damaged marker becomes one whose seal does not verify.
pub(super) fn stored_start(view: &impl View) -> Result<Option<Start>, ReadError> {
    let zero = Mac([0; 32]);
    let damaged = Start { seq: 0, mac: zero, at: Timestamp::from_millis(0), seal: zero };
    match view.get::<AuditStart>(&()) {
        Err(ReadError::Damaged { .. }) => Ok(Some(damaged)),
        found => Ok(found?.map(|row| row.start())),
    }
}

/// Reads the head. A damaged head counts as missing.
pub(super) fn stored_head(view: &impl View) -> Result<Option<Head>, ReadError> {
    match view.get::<AuditHead>(&()) {
        Err(ReadError::Damaged { .. }) => Ok(None),
        found => Ok(found?.map(|row| row.head())),
    }
}

/// Reads a row as a walk takes it; `None` if there is no row with this number.
pub(super) fn stored_row(view: &impl View, seq: u64) -> Result<Option<StoredRow>, ReadError> {
    match view.get::<AuditRows>(&seq) {
        Ok(found) => Ok(found.map(|row| (seq, Some((row.mac(), row.body))))),
        Err(ReadError::Damaged { .. }) => Ok(Some((seq, None))),
        Err(error) => Err(error),
    }
}

/// Verifies the whole audit log of a database that is not being written to. A log that does not
/// verify is a result, not an error.
pub(super) fn verify_all(view: &impl View, key: &AuditKey) -> Result<Verification, ReadError> {
    let (start, head) = (stored_start(view)?, stored_head(view)?);
    verify_rows(view, key, start.as_ref(), head.as_ref(), u64::MAX)
}

/// Verifies the stored rows up to number `last`. While a server is writing, there are newer rows
/// than the head that was read.
pub(super) fn verify_rows(
    view: &impl View,
    key: &AuditKey,
    start: Option<&Start>,
    head: Option<&Head>,
    last: u64,
) -> Result<Verification, ReadError> {
    let mut next = start.map_or(0, |start| start.seq);
    let known = |seq: &Result<u64, ReadError>| seq.as_ref().map_or(true, |seq| *seq <= last);
    let rows = view.keys::<AuditRows>(&[]).take_while(known).filter_map(|seq| {
        next = next.saturating_add(1);
        match seq {
            Ok(seq) => stored_row(view, seq).transpose(),
            // A key that is not a number counts as a damaged row at this point of the walk.
            Err(ReadError::Damaged { .. }) => Some(Ok((next, None))),
            Err(error) => Some(Err(error)),
        }
    });
    audit::verify(key, start, head, rows)
}

/// A row of an export.
#[derive(Debug)]
pub struct ExportedRow {
    /// The number that the row is stored under.
    pub seq: u64,
    /// The row and its MAC; `None` if the row is damaged.
    pub content: Option<(Row, Mac)>,
}

/// Reads the rows with numbers above `after`, oldest first, without walking over the earlier ones.
/// A gap in the numbers is a missing row.
pub(super) fn export_rows<V: View>(
    view: &V,
    after: u64,
) -> impl Iterator<Item = Result<ExportedRow, ReadError>> + use<'_, V> {
    let numbers = view.keys_after::<AuditRows>(&[], Some(&after.to_be_bytes()));
    numbers.filter_map(|seq| {
        let seq = match seq {
            Ok(seq) => seq,
            // This program never writes such a key, so no row is left out.
            Err(damaged @ ReadError::Damaged { .. }) => {
                log::error!("left a row without a number out of an audit export: {damaged}");
                return None;
            }
            Err(error) => return Some(Err(error)),
        };
        let content = match view.get::<AuditRows>(&seq) {
            // Retention dropped the row after its number was read.
            Ok(None) => return None,
            Ok(Some(stored)) => stored.row().map(|row| (row, stored.mac())),
            Err(ReadError::Damaged { .. }) => None,
            Err(error) => return Some(Err(error)),
        };
        // A row that was moved to another number is not the row of that number.
        let content = content.filter(|(row, _)| row.seq == seq);
        Some(Ok(ExportedRow { seq, content }))
    })
}
