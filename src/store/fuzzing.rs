//! Entry points for the fuzz targets: rows and keys as they could appear in a file from an
//! untrusted source.
//!
//! Owns: the round trips of keys and rows that fuzzing checks.
//! Must never: be part of any other build.
//! Called by: `fuzz/fuzz_targets`.

use crate::store::rows::keyspace::Table;
use crate::store::rows::row::{decode, encode};
use crate::store::rows::tables;

/// The first byte of every table's keys.
pub const TABLES: &[u8] = tables::PREFIXES;

/// Reads arbitrary bytes as a key and a row of a table, and checks that what was read survives a
/// round trip.
pub fn stored(prefix: u8, key: &[u8], row: &[u8]) {
    tables::round_trip(prefix, key, row);
}

/// Writes a row, reads it back, and checks that no truncated form of it is accepted.
pub fn written<T: Table>(row: &T::Row)
where
    T::Row: PartialEq + std::fmt::Debug,
{
    let bytes = encode(T::FORMAT, row);
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(row));
    for cut in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..cut]).is_err(), "a truncated row was read");
    }
}
