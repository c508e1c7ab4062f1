//! A view of the database at one moment, readable while writes continue.
//!
//! sled 0.34 has no snapshots. So before the writer applies a group, it saves the rows that the
//! group is about to change (their *before-images*), and a reader that reaches such a key later
//! uses the image instead of the tree's row.
//!
//! ```text
//! keys      ────── before the cursor ─────┤────── after the cursor ──────
//! reader    done with these               │ reads the tree, then the images over it
//! writer    ignores changes here          │ saves an image before the first change
//! ```
//!
//! With `F(k)` for the row under `k` when the view was taken:
//!
//! 1. A view is taken in the writer's thread, between two groups.
//! 2. For every key `k` after the cursor, either the tree holds `F(k)`, or there is an image of `k`
//!    and it is `F(k)`. A group is applied only after its images are saved, and an image is saved
//!    only if none exists, so the first one stays.
//! 3. Keys before the cursor have no image: nothing is kept that the reader no longer needs.
//!
//! A step of the reader first reads a range of the tree, then takes that range's images and
//! advances the cursor, under one lock. What it read may be older or newer than a group that is
//! being applied; either way the group's images were saved before the group was applied, so by (2)
//! the step yields `F`.
//!
//! Owns: the view, its before-images, and the limit on them.
//! Must never: make the writer wait for a reader, or grow without bound. If the images exceed the
//! limit or cannot be read, the view fails, not the write.
//! Called by: `writer`, which saves images; `vault`, which reads backups from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::domain::lock;
use crate::store::rows::view::ReadError;
use crate::store::rows::write_set::WriteSet;

/// The most bytes of before-images that are kept for one view.
pub const MAX_IMAGE_BYTES: usize = 256 << 20;
/// The most rows that one step reads.
const STEP_ROWS: usize = 512;
/// A step ends with the row that exceeds this many bytes.
const STEP_BYTES: usize = 512 << 10;

/// An encoded key and its encoded row.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// Why a view ended before its last row.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PointInTimeError {
    /// More rows were changed while it was read than may be kept.
    #[error(
        "more than {} MiB of rows were changed during the backup. Run it at a quieter time, or write it to a faster disk.",
        limit >> 20
    )]
    TooManyChanges {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

/// How far the reader has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cursor {
    Start,
    After(Vec<u8>),
    End,
}

impl Cursor {
    fn covers(&self, key: &[u8]) -> bool {
        match self {
            Cursor::Start => false,
            Cursor::After(last) => key <= last.as_slice(),
            Cursor::End => true,
        }
    }
}

#[derive(Debug)]
struct BeforeImages {
    cursor: Cursor,
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    failed: Option<PointInTimeError>,
}

#[derive(Debug)]
struct SharedImages {
    images: Mutex<BeforeImages>,
    limit: usize,
}

impl SharedImages {
    fn lock(&self) -> MutexGuard<'_, BeforeImages> {
        // No code that holds this lock panics half-way through a change.
        lock(&self.images)
    }
}

fn size(key: &[u8], row: Option<&Vec<u8>>) -> usize {
    // An entry of the map costs about as much as a short key.
    64 + key.len() + row.map_or(0, Vec::len)
}

/// The writer's side: takes views and saves images for the one being read, if any.
#[derive(Debug, Default)]
pub(super) struct SnapshotTaker(Weak<SharedImages>);

impl SnapshotTaker {
    /// Takes a view of what the tree holds now; `None` while another view is open. Must be called
    /// in the writer's thread, between two groups.
    pub fn take(
        &mut self,
        tree: &sled::Tree,
        lock: Arc<File>,
        limit: usize,
    ) -> Option<PointInTime> {
        if self.0.strong_count() > 0 {
            return None;
        }
        let view = PointInTime::new(tree.clone(), lock, limit);
        self.0 = Arc::downgrade(&view.shared);
        Some(view)
    }

    /// Saves the rows that `writes` is about to change. Must be called before they are applied.
    pub fn keep_before_images(&self, tree: &sled::Tree, writes: &WriteSet) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut images = shared.lock();
        for key in writes.keys() {
            if images.failed.is_some() {
                return;
            }
            if images.cursor.covers(key) || images.rows.contains_key(key) {
                continue;
            }
            match tree.get(key) {
                Ok(row) => {
                    let row = row.map(|row| row.to_vec());
                    images.bytes += size(key, row.as_ref());
                    images.rows.insert(key.to_vec(), row);
                }
                Err(error) => images.fail(ReadError::from(error).into()),
            }
            if images.bytes > shared.limit {
                images.fail(PointInTimeError::TooManyChanges { limit: shared.limit });
            }
        }
    }
}

impl BeforeImages {
    fn fail(&mut self, error: PointInTimeError) {
        self.failed = Some(error);
        self.rows.clear();
        self.bytes = 0;
    }

    /// Removes and returns the images up to `end`, and moves the cursor there.
    fn advance(&mut self, end: Cursor) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut taken = std::mem::take(&mut self.rows);
        if let Cursor::After(last) = &end {
            let mut rest = taken.split_off(last);
            // `split_off` puts the row at the cursor into the second half.
            if let Some(row) = rest.remove(last) {
                taken.insert(last.clone(), row);
            }
            self.rows = rest;
        }
        self.bytes -= taken.iter().map(|(key, row)| size(key, row.as_ref())).sum::<usize>();
        self.cursor = end;
        taken
    }
}

/// The reader's side: iterates over all rows as they were when the view was taken.
#[derive(Debug)]
pub struct PointInTime {
    tree: sled::Tree,
    shared: Arc<SharedImages>,
    step_rows: usize,
    /// Held as long as the tree, because sled stays open until its last handle is dropped.
    _lock: Arc<File>,
}

impl PointInTime {
    pub(super) fn new(tree: sled::Tree, lock: Arc<File>, limit: usize) -> Self {
        let images =
            BeforeImages { cursor: Cursor::Start, rows: BTreeMap::new(), bytes: 0, failed: None };
        let shared = Arc::new(SharedImages { images: Mutex::new(images), limit });
        Self { tree, shared, step_rows: STEP_ROWS, _lock: lock }
    }

    /// Returns the next rows in key order; an empty list means the end.
    pub fn step(&mut self) -> Result<Vec<RawRow>, PointInTimeError> {
        loop {
            let cursor = self.shared.lock().cursor.clone();
            if cursor == Cursor::End {
                return Ok(Vec::new());
            }
            let (found, end) = self.read_range(&cursor)?;
            let mut images = self.shared.lock();
            if let Some(error) = &images.failed {
                return Err(error.clone());
            }
            let taken = images.advance(end);
            drop(images);
            let mut rows: BTreeMap<_, _> = found.into_iter().collect();
            for (key, row) in taken {
                match row {
                    Some(row) => rows.insert(key, row),
                    None => rows.remove(&key),
                };
            }
            // A range can consist of rows that were added after the view was taken.
            if !rows.is_empty() {
                return Ok(rows.into_iter().collect());
            }
        }
    }

    /// Reads the tree's next rows after the cursor, and where they end.
    fn read_range(&self, cursor: &Cursor) -> Result<(Vec<RawRow>, Cursor), PointInTimeError> {
        let start = match cursor {
            Cursor::After(last) => Bound::Excluded(last.clone()),
            _ => Bound::Unbounded,
        };
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for found in self.tree.range::<Vec<u8>, _>((start, Bound::Unbounded)) {
            let (key, row) = found.map_err(ReadError::from)?;
            bytes += key.len() + row.len();
            rows.push((key.to_vec(), row.to_vec()));
            if rows.len() >= self.step_rows || bytes >= STEP_BYTES {
                let end = Cursor::After(key.to_vec());
                return Ok((rows, end));
            }
        }
        Ok((rows, Cursor::End))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> (sled::Db, Arc<File>) {
        let db = sled::Config::new().temporary(true).open().unwrap();
        (db, Arc::new(tempfile::tempfile().unwrap()))
    }

    fn apply(taker: &SnapshotTaker, tree: &sled::Tree, writes: &[(Vec<u8>, Option<Vec<u8>>)]) {
        let mut set = WriteSet::default();
        for (key, row) in writes {
            set.set(key.clone(), row.clone());
        }
        taker.keep_before_images(tree, &set);
        tree.apply_batch(set.into_batch()).unwrap();
    }

    type Write = (Vec<u8>, Option<Vec<u8>>);

    fn write() -> impl Strategy<Value = Write> {
        let key = prop::collection::vec(0u8..6, 1..4);
        (key, prop::option::of(prop::collection::vec(any::<u8>(), 0..3)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Whatever is written between its steps, a view yields exactly the rows that existed when
        /// it was taken, in order.
        #[test]
        fn a_view_is_the_state_at_its_first_moment(
            before in prop::collection::vec(write(), 0..60),
            meanwhile in prop::collection::vec(
                prop::option::weighted(0.7, prop::collection::vec(write(), 1..8)), 0..40),
            step_rows in 1usize..6,
        ) {
            let (db, lock) = tree();
            let mut taker = SnapshotTaker::default();
            apply(&taker, &db, &before);
            let expected: Vec<RawRow> = db.iter()
                .map(|row| row.map(|(key, row)| (key.to_vec(), row.to_vec())).unwrap()).collect();
            let mut view = taker.take(&db, lock, MAX_IMAGE_BYTES).unwrap();
            view.step_rows = step_rows;
            let (mut seen, mut ended) = (Vec::new(), false);
            for event in meanwhile {
                match event {
                    Some(writes) => apply(&taker, &db, &writes),
                    None if !ended => {
                        let rows = view.step().unwrap();
                        ended = rows.is_empty();
                        seen.extend(rows);
                    }
                    None => {}
                }
            }
            loop {
                let rows = view.step().unwrap();
                if rows.is_empty() {
                    break;
                }
                seen.extend(rows);
            }
            prop_assert_eq!(seen, expected);
            // No image is kept that is no longer needed.
            prop_assert!(view.shared.lock().rows.is_empty());
            prop_assert_eq!(view.shared.lock().bytes, 0);
        }
    }

    #[test]
    fn a_view_ends_when_more_is_changed_than_it_may_remember() {
        let (db, lock) = tree();
        let mut taker = SnapshotTaker::default();
        for n in 0..100u8 {
            apply(&taker, &db, &[(vec![n], Some(vec![0; 100]))]);
        }
        let mut view = taker.take(&db, lock, 4096).unwrap();
        for n in 0..100u8 {
            apply(&taker, &db, &[(vec![n], None)]);
        }
        assert!(view.shared.lock().rows.is_empty(), "the images are dropped");
        assert!(matches!(view.step(), Err(PointInTimeError::TooManyChanges { limit: 4096 })));
        // The writes themselves succeeded.
        assert!(db.is_empty());
    }

    #[test]
    fn there_is_one_view_at_a_time_and_a_dropped_one_makes_room() {
        let (db, lock) = tree();
        let mut taker = SnapshotTaker::default();
        let first = taker.take(&db, Arc::clone(&lock), MAX_IMAGE_BYTES).unwrap();
        assert!(taker.take(&db, Arc::clone(&lock), MAX_IMAGE_BYTES).is_none());
        drop(first);
        assert!(taker.take(&db, lock, MAX_IMAGE_BYTES).is_some());
    }
}
