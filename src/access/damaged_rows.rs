//! Damaged rows in lists and scans.
//!
//! Owns: the rule that one damaged row never breaks an answer about other rows.
//! Must never: hide an error other than damage.
//! Called by: everything here that scans a table, as `rows.filter_map(...)`.

use crate::store::ReadError;

/// Skips a damaged row of a list, and logs it.
pub(super) fn skip_damaged<T>(found: Result<T, ReadError>) -> Option<Result<T, ReadError>> {
    match found {
        Err(damaged @ ReadError::Damaged { .. }) => {
            log::error!("left out of a list: {damaged}");
            None
        }
        found => Some(found),
    }
}

/// Skips a damaged row where nobody asked for a list, without a log line.
pub(super) fn only_readable<T>(found: Result<T, ReadError>) -> Option<Result<T, ReadError>> {
    Some(found).filter(|found| !matches!(found, Err(ReadError::Damaged { .. })))
}
