//! How far a database can be read whose disk or log has a hole.
//!
//! Must never: name more of a key than says where it is; some are addresses.

use crate::store::rows::view::View;

/// The first bytes of all keys; see `keyspace`.
const TABLES: &[u8] = b"KkrEeNSsDCVvWXTtUuPpZzyLIiJAab";
/// So many bytes of a key behind its first one are an id, or what is like one.
const NAMED_BYTES: usize = 16;

/// The tables that cannot be read to their end, a line each, with the last key
/// before the hole.
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
                None => format!("no row of table {table:?} can be read in order: {error}"),
                Some(key) => {
                    let end = key.len().min(1 + NAMED_BYTES);
                    let key: String = key[1..end].iter().map(|b| format!("{b:02x}")).collect();
                    format!(
                        "table {table:?} can be read in order up to its row {rows}, {key}: {error}"
                    )
                }
            });
        }
        None
    };
    TABLES.iter().filter_map(end_of).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_table_that_is_drawn_is_looked_at() {
        let drawn = include_str!("rows/keyspace.rs").lines().filter_map(|line| {
            let (table, rest) = line.strip_prefix("//! '")?.split_once('\'')?;
            rest.starts_with("   ").then(|| table.as_bytes()[0])
        });
        let drawn: Vec<u8> = drawn.collect();
        assert_eq!(drawn, super::TABLES);
    }
}
