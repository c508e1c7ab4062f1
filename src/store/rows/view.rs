//! Reading rows: the same typed calls on the committed tree and inside a change.
//!
//! Owns: the `View` trait, its error, and scans of a sled tree.
//! Must never: read past the end of a scan, where another table's rows may be damaged.
//! Called by: everything that reads rows.

use serde::Serialize;

use crate::store::rows::keyspace::{Table, full_key};
use crate::store::rows::row;

/// An iterator over encoded keys and rows, in key order.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), ReadError>> + 'a>;

/// Why a row could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The database could not be read.
    #[error("the database could not be read: {}", describe_sled_error(.0))]
    Sled(#[from] sled::Error),
    /// A row exists but does not decode as its table's row type.
    #[error("a row of table {:?} is damaged", char::from(*.table))]
    Damaged {
        /// The table's prefix byte.
        table: u8,
    },
}

/// Describes an error of sled in plain words.
pub(in crate::store) fn describe_sled_error(error: &sled::Error) -> String {
    match error {
        sled::Error::Corruption { at: Some(at), .. } => format!("its log is damaged at {at:?}"),
        sled::Error::Corruption { at: None, .. } => "its files are damaged".to_owned(),
        other => other.to_string(),
    }
}

/// A source of rows: the database, a change in progress, or a backup in memory.
pub trait View {
    /// Returns the encoded row under a complete key.
    fn get_bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Iterates over the rows whose complete key begins with `prefix` and is greater than `after`.
    fn scan_bytes(&self, prefix: &[u8], after: Option<&[u8]>) -> Scan<'_>;

    /// Returns the row under a key.
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Row>, ReadError>
    where
        Self: Sized,
    {
        match self.get_bytes(&full_key::<T>(key))? {
            None => Ok(None),
            Some(bytes) => decode_row::<T>(&bytes).map(Some),
        }
    }

    /// Returns whether a row exists under a key, whether or not it decodes.
    fn has<T: Table>(&self, key: &T::Key) -> Result<bool, ReadError>
    where
        Self: Sized,
    {
        Ok(self.get_bytes(&full_key::<T>(key))?.is_some())
    }

    /// Iterates over the rows of a table whose key begins with `within` and is greater than `after`
    /// (both as `Table::encode` writes them). A damaged row is an `Err` of its own and does not end
    /// the scan.
    fn scan<'a, T: Table + 'a>(
        &'a self,
        within: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(T::Key, T::Row), ReadError>> + use<'a, Self, T>
    where
        Self: Sized,
    {
        let prefixed = |bytes: &[u8]| [&[T::PREFIX], bytes].concat();
        self.scan_bytes(&prefixed(within), after.map(prefixed).as_deref()).map(|found| {
            let (key, row) = found?;
            let key = T::decode(&key[1..]).ok_or(ReadError::Damaged { table: T::PREFIX })?;
            Ok((key, decode_row::<T>(&row)?))
        })
    }

    /// Iterates over the keys that begin with `within`, without decoding their rows.
    fn keys<'a, T: Table + 'a>(
        &'a self,
        within: &[u8],
    ) -> impl Iterator<Item = Result<T::Key, ReadError>> + use<'a, Self, T>
    where
        Self: Sized,
    {
        self.keys_after::<T>(within, None)
    }

    /// Iterates over the keys that begin with `within`, skipping those that do not decode.
    fn readable_keys<'a, T: Table + 'a>(
        &'a self,
        within: &[u8],
    ) -> impl Iterator<Item = Result<T::Key, ReadError>> + use<'a, Self, T>
    where
        Self: Sized,
    {
        self.keys::<T>(within).filter(|key| !matches!(key, Err(ReadError::Damaged { .. })))
    }

    /// Iterates over the keys that begin with `within` and are greater than `after`.
    fn keys_after<'a, T: Table + 'a>(
        &'a self,
        within: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<T::Key, ReadError>> + use<'a, Self, T>
    where
        Self: Sized,
    {
        let prefixed = |bytes: &[u8]| [&[T::PREFIX], bytes].concat();
        self.scan_bytes(&prefixed(within), after.map(prefixed).as_deref())
            .map(|found| T::decode(&found?.0[1..]).ok_or(ReadError::Damaged { table: T::PREFIX }))
    }
}

fn decode_row<T: Table>(bytes: &[u8]) -> Result<T::Row, ReadError> {
    row::decode::<T>(bytes).map_err(|row::Damaged| ReadError::Damaged { table: T::PREFIX })
}

pub(in crate::store) fn encode_row<T: Table>(row: &T::Row) -> Vec<u8>
where
    T::Row: Serialize,
{
    row::encode(T::FORMAT, row)
}

pub(in crate::store) fn tree_get(
    tree: &sled::Tree,
    key: &[u8],
) -> Result<Option<Vec<u8>>, ReadError> {
    Ok(tree.get(key)?.map(|bytes| bytes.to_vec()))
}

/// Ends an iterator of sled after its first error. sled does not advance past data that it cannot
/// read and returns the same error forever.
fn until_it_fails<T>(
    rows: impl Iterator<Item = Result<T, sled::Error>>,
) -> impl Iterator<Item = Result<T, sled::Error>> {
    let mut failed = false;
    rows.take_while(move |found| !std::mem::replace(&mut failed, found.is_err()))
}

pub(in crate::store) fn tree_scan<'a>(
    tree: &'a sled::Tree,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Scan<'a> {
    use std::ops::Bound;

    let prefix = prefix.to_vec();
    // A cursor that sorts before the prefix would start the scan outside it.
    let start = match after {
        Some(after) if after >= prefix.as_slice() => Bound::Excluded(after.to_vec()),
        _ => Bound::Included(prefix.clone()),
    };
    // The range has an end so that sled need not read on to find that the scan is over: what
    // follows belongs to another table and may be damaged.
    let rows = until_it_fails(tree.range::<Vec<u8>, _>((start, Bound::Included(end_of(&prefix)))));
    Box::new(
        rows.map(|found| {
            found.map(|(key, row)| (key.to_vec(), row.to_vec())).map_err(ReadError::from)
        }),
    )
}

/// Returns a key that sorts after every key with this prefix and before any other key, including
/// those that sled may have shortened at the edge of a leaf: binary fields of keys are shorter than
/// this padding, and text contains no 0xff.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff; 64]].concat()
}

/// Returns a range over all keys with a prefix that can be iterated from both ends.
pub(in crate::store) fn tree_range(tree: &sled::Tree, prefix: &[u8]) -> sled::Iter {
    tree.range(prefix.to_vec()..=end_of(prefix))
}

pub(in crate::store) fn tree_scan_back<T: Table>(
    tree: &sled::Tree,
) -> impl Iterator<Item = Result<(T::Key, T::Row), ReadError>> + use<T> {
    until_it_fails(tree_range(tree, &[T::PREFIX]).rev()).map(|found| {
        let (key, row) = found?;
        let key = T::decode(&key[1..]).ok_or(ReadError::Damaged { table: T::PREFIX })?;
        Ok((key, decode_row::<T>(&row)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading that leaf to find the end of a scan made damage in one table hide rows of another.
    #[test]
    fn a_scan_does_not_read_the_leaf_behind_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let open = || sled::Config::new().path(dir.path()).flush_every_ms(None).open().unwrap();
        let prefix = |n: u32| [&b"k"[..], &n.to_be_bytes()].concat();
        let key = |n: u32| [&prefix(n)[..], b"!"].concat();
        let row = |n: u32| format!("the row with number {n:05}, and no other row").into_bytes();
        for _ in 0..2 {
            let db = open();
            for n in 0..3000 {
                db.insert(key(n), row(n)).unwrap();
            }
            // Fills another segment, so that opening need not read the damaged one.
            for n in 0..600u32 {
                db.insert([&b"z"[..], &n.to_be_bytes()].concat(), vec![n as u8; 1000]).unwrap();
            }
        }
        drop(open());
        let log = dir.path().join("db");
        let mut bytes = std::fs::read(&log).unwrap();
        let wanted = row(1500);
        let places: Vec<_> = (0..bytes.len() - wanted.len())
            .filter(|at| bytes[*at..].starts_with(&wanted))
            .collect();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(&log, bytes).unwrap();
        let db = open();
        let (mut read, mut broken) = (0, 0);
        for n in 0..3000 {
            if db.get(key(n)).is_err() {
                broken += 1;
                continue;
            }
            let found: Result<Vec<_>, _> = tree_scan(&db, &prefix(n), None).collect();
            assert_eq!(found.unwrap(), [(key(n), row(n))], "{n}");
            let last = tree_range(&db, &prefix(n)).next_back().unwrap().unwrap();
            assert_eq!(last, (key(n).into(), row(n).into()), "{n}");
            read += 1;
        }
        assert!(broken > 0 && read > broken, "{broken} broken, {read} read");
    }
}
