//! Writes that are decided but not yet applied, layered over the tree.
//!
//! Owns: the pending writes of a change or a group, and reading through them.
//! Must never: apply them; the writer thread does.
//! Called by: `writer`, `point_in_time` and `restore`.

use std::collections::BTreeMap;
use std::iter::Peekable;

use crate::store::rows::view::{ReadError, Scan};

/// The last write to each key; `None` removes the row.
#[derive(Debug, Default)]
pub(in crate::store) struct WriteSet {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Bytes of the keys and rows written so far; overwritten ones count again.
    size: usize,
}

impl WriteSet {
    pub fn set(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.size += key.len() + row.as_ref().map_or(0, Vec::len);
        self.writes.insert(key, row);
    }

    /// Returns the pending write to a key: `Some(None)` for a removal, `None` without a write.
    pub fn get(&self, key: &[u8]) -> Option<Option<&Vec<u8>>> {
        self.writes.get(key).map(Option::as_ref)
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Iterates over the keys that are written or removed.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.writes.keys().map(Vec::as_slice)
    }

    /// Returns an upper bound of the bytes that it holds.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adds the writes of `later`, which win over earlier ones.
    pub fn merge(&mut self, later: WriteSet) {
        self.size += later.size;
        self.writes.extend(later.writes);
    }

    pub fn into_batch(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, row) in self.writes {
            match row {
                Some(row) => batch.insert(key, row),
                None => batch.remove(key),
            }
        }
        batch
    }

    /// Returns `below` as it will look once these writes are applied.
    pub fn scan<'a>(&'a self, below: Scan<'a>, prefix: &[u8], after: Option<&[u8]>) -> Scan<'a> {
        use std::ops::Bound;

        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let prefix = prefix.to_vec();
        let above = self
            .writes
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(&prefix));
        Box::new(Merged { below: below.peekable(), above: above.peekable() })
    }
}

struct Merged<'a, A: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> {
    below: Peekable<Scan<'a>>,
    above: Peekable<A>,
}

impl<'a, A: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>> Iterator for Merged<'a, A> {
    type Item = Result<(Vec<u8>, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let take_above = match (self.below.peek(), self.above.peek()) {
                (_, None) | (Some(Err(_)), _) => return self.below.next(),
                (None, Some(_)) => true,
                (Some(Ok((low, _))), Some((high, _))) => {
                    if low == *high {
                        self.below.next();
                        continue;
                    }
                    *high < low
                }
            };
            if !take_above {
                return self.below.next();
            }
            if let Some((key, Some(row))) = self.above.next() {
                return Some(Ok((key.clone(), row.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Scan<'_> {
        Box::new(map.iter().map(|(key, row)| Ok((key.clone(), row.clone()))))
    }

    proptest! {
        /// Scanning through a write set equals scanning after it was applied.
        #[test]
        fn scanning_above_equals_applying_first(
            below in prop::collection::btree_map(prop::collection::vec(0u8..3, 1..4), any::<[u8; 1]>(), 0..12),
            above in prop::collection::btree_map(prop::collection::vec(0u8..3, 1..4), any::<Option<u8>>(), 0..12),
            prefix in prop::collection::vec(0u8..3, 0..2),
            after in prop::collection::vec(0u8..3, 0..3),
        ) {
            let below: BTreeMap<_, _> = below.into_iter().map(|(k, v)| (k, v.to_vec())).collect();
            let mut set = WriteSet::default();
            let mut applied = below.clone();
            for (key, row) in above {
                match row {
                    Some(byte) => applied.insert(key.clone(), vec![byte]),
                    None => applied.remove(&key),
                };
                set.set(key, row.map(|byte| vec![byte]));
            }
            let seen: Vec<_> = set.scan(rows(&below), &[], None).map(Result::unwrap).collect();
            prop_assert_eq!(&seen, &applied.clone().into_iter().collect::<Vec<_>>());

            let page = |found: &BTreeMap<Vec<u8>, Vec<u8>>| -> Vec<_> {
                let on_page = |key: &[u8]| key.starts_with(&prefix) && key > after.as_slice();
                let rows = found.iter().filter(|(key, _)| on_page(key));
                rows.map(|(key, row)| (key.clone(), row.clone())).collect()
            };
            let below: BTreeMap<_, _> = page(&below).into_iter().collect();
            let seen: Vec<_> =
                set.scan(rows(&below), &prefix, Some(&after)).map(Result::unwrap).collect();
            prop_assert_eq!(seen, page(&applied));
        }
    }
}
