//! Doors for the fuzz targets, in builds for them only: rows and keys as they
//! could stand in a file that somebody else wrote.
//!
//! Must never: be part of any other build.

use crate::store::rows::keyspace::Table;
use crate::store::rows::row::{decode, encode};
use crate::store::rows::tables;

/// The first bytes of all keys.
pub const TABLES: &[u8] = tables::PREFIXES;

/// Reads arbitrary bytes as a key and a row of a table. What is read must come
/// back the same when it is written and read again.
pub fn stored(prefix: u8, key: &[u8], row: &[u8]) {
    tables::back_and_forth(prefix, key, row);
}

/// Writes a row and reads it back.
pub fn written<T: Table>(row: &T::Row)
where
    T::Row: PartialEq + std::fmt::Debug,
{
    let bytes = encode(T::FORMAT, row);
    assert_eq!(decode::<T>(&bytes).as_ref(), Ok(row));
    for cut in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..cut]).is_err(), "a row that was cut off was read");
    }
}
