//! How far each table can be read when the disk or the log is damaged.
//!
//! Owns: the lines that describe it.
//! Must never: print more of a key than is needed to locate it; some keys are e-mail addresses.
//! Called by: `vault`'s doctor.

use crate::store::rows::tables::PREFIXES;
use crate::store::rows::view::View;

/// The length of an id: the most bytes of a key that are printed, after its first byte.
const PRINTED_BYTES: usize = 16;

/// Returns a line for each table that cannot be read to its end, with the last key before the
/// damage.
pub fn unreadable_tables(view: &impl View) -> Vec<String> {
    let end_of = |table: &u8| {
        let (mut rows, mut last) = (0u64, None);
        for found in view.scan_bytes(&[*table], None) {
            let error = match found {
                Ok((key, _)) => {
                    (rows, last) = (rows + 1, Some(key));
                    continue;
                }
                Err(error) => error,
            };
            let table = char::from(*table);
            return Some(match last {
                None => format!("table {table:?} cannot be read in order: {error}"),
                Some(key) => {
                    let end = key.len().min(1 + PRINTED_BYTES);
                    let key: String = key[1..end].iter().map(|b| format!("{b:02x}")).collect();
                    format!(
                        "table {table:?} can be read in order up to row {rows}, key {key}: {error}"
                    )
                }
            });
        }
        None
    };
    PREFIXES.iter().filter_map(end_of).collect()
}
