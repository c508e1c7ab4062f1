//! Walking the chain row by row, from its start to its end.
//!
//! Owns: what it means for the log to be intact. `verify` walks the whole log; retention walks the
//! rows that it is about to drop, so that pruning never hides a row that was tampered with.
//! Must never: skip a row.
//! Called by: `vault`, at a start, for `coffer audit verify` and `coffer doctor`, and for retention.

use std::fmt;

use crate::audit::chain::{AuditKey, Broken, Head, Mac, Start};
use crate::audit::row::{Action, Row};
use crate::domain::Timestamp;

/// A row as found in the database: the number under which it is stored and, unless it is damaged,
/// its MAC and body.
pub type StoredRow = (u64, Option<(Mac, Vec<u8>)>);

/// A position in the chain; all rows up to it are intact.
#[derive(Clone)]
pub struct Walk<'a> {
    key: &'a AuditKey,
    seq: u64,
    mac: Mac,
}

impl fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk").field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl<'a> Walk<'a> {
    /// Starts before the first kept row: after the marker if there is one, otherwise before row 1.
    /// Fails at row 1 if the marker's seal does not verify, because such a marker vouches for no row.
    pub fn from_start(key: &'a AuditKey, start: Option<&Start>) -> Result<Self, Broken> {
        let Some(Start { seq, mac, at, seal }) = start else {
            return Ok(Self { key, seq: 0, mac: Mac::START });
        };
        if key.start(*seq, mac, *at).matches(seal) {
            Ok(Self { key, seq: *seq, mac: *mac })
        } else {
            Err(Broken { seq: 1, what: "the marker of dropped rows does not verify" })
        }
    }

    /// Returns the number of the last row walked.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Advances to the next row. Fails unless `stored` is that row and is intact.
    pub fn step(&mut self, (stored_seq, sealed): &StoredRow) -> Result<Row, Broken> {
        let seq = self.seq + 1;
        let broken = |what| Err(Broken { seq, what });
        if *stored_seq < seq {
            return Err(Broken { seq: *stored_seq, what: "the row was dropped and is back" });
        }
        if *stored_seq > seq {
            return broken("the row is missing");
        }
        let Some((mac, body)) = sealed else { return broken("the row is damaged") };
        if !self.key.row(&self.mac, body).matches(mac) {
            return broken("the row was changed, or does not belong here");
        }
        match postcard::from_bytes::<Row>(body) {
            Ok(row) if row.seq == seq => {
                (self.seq, self.mac) = (seq, *mac);
                Ok(row)
            }
            _ => broken("the row does not contain its own number"),
        }
    }

    /// Returns the marker for a log from which every row walked so far is dropped.
    pub fn start(&self, at: Timestamp) -> Start {
        let Self { key, seq, mac } = self;
        Start { seq: *seq, mac: *mac, at, seal: key.start(*seq, mac, at) }
    }
}

/// The result of walking the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The number of the first kept row.
    pub first_seq: u64,
    /// When rows before it were last dropped, if ever.
    pub dropped_at: Option<Timestamp>,
    /// The number of intact rows, counted from the first.
    pub rows: u64,
    /// The first row at which the chain does not verify, if any.
    pub broken: Option<Broken>,
}

/// Walks the whole chain, with `rows` in stored order. Fails only if the rows cannot be read.
pub fn verify<E>(
    key: &AuditKey,
    start: Option<&Start>,
    head: Option<&Head>,
    rows: impl Iterator<Item = Result<StoredRow, E>>,
) -> Result<Verification, E> {
    let mut walk = match Walk::from_start(key, start) {
        Ok(walk) => walk,
        Err(broken) => {
            let broken = Some(broken);
            return Ok(Verification { first_seq: 1, dropped_at: None, rows: 0, broken });
        }
    };
    let first_seq = walk.seq() + 1;
    // The number of the last dropped row, according to the rows in the chain.
    let mut dropped = 0;
    let mut broken = None;
    for row in rows {
        match walk.step(&row?) {
            Ok(row) => dropped = last_dropped(&row).unwrap_or(dropped),
            Err(found) => {
                broken = Some(found);
                break;
            }
        }
    }
    let broken = broken.or_else(|| end(&walk, first_seq, dropped, head).err());
    // The broken row may be one before the last row walked.
    let walked = walk.seq() + 1 - first_seq;
    let rows = match &broken {
        Some(broken) => walked.min(broken.seq.saturating_sub(first_seq)),
        None => walked,
    };
    Ok(Verification { first_seq, dropped_at: start.map(|start| start.at), rows, broken })
}

/// Checks that the walk ended at the end of the chain, and that it started where the last pruning
/// ended: the newest marker and the row in the chain that records it were one write.
fn end(walk: &Walk<'_>, first_seq: u64, dropped: u64, head: Option<&Head>) -> Result<(), Broken> {
    let Some(head) = head else {
        return Err(Broken { seq: walk.seq, what: "the head is missing" });
    };
    if !walk.key.head(head.seq, &head.mac).matches(&head.seal) {
        return Err(Broken { seq: head.seq, what: "the head does not verify" });
    }
    if head.seq != walk.seq || !head.mac.matches(&walk.mac) {
        return Err(Broken { seq: walk.seq + 1, what: "rows at the end are missing" });
    }
    let begun = first_seq - 1;
    if dropped > begun {
        return Err(Broken { seq: first_seq, what: "the row was dropped and is back" });
    }
    if dropped < begun {
        return Err(Broken { seq: dropped + 1, what: "the row is missing" });
    }
    Ok(())
}

/// Returns the number of the last dropped row, if `row` records a pruning.
fn last_dropped(row: &Row) -> Option<u64> {
    if row.draft.action != Action::AuditPrune || row.draft.error.is_some() {
        return None;
    }
    let details: serde_json::Value = serde_json::from_str(row.draft.details.as_ref()?).ok()?;
    details["lastSeq"].as_u64()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::audit::chain::Chain;
    use crate::audit::row::Draft;
    use crate::domain::{Origin, Principal};

    fn key() -> AuditKey {
        AuditKey::new(&Zeroizing::new([3; 32]))
    }

    fn draft(action: Action, n: i64) -> Draft {
        Draft::new(action, &Principal::host(), &Origin::host(), Timestamp::from_millis(n))
    }

    #[derive(Clone)]
    struct Log {
        start: Option<Start>,
        rows: Vec<StoredRow>,
        head: Head,
    }

    /// A chain that grows, and drops rows as retention does.
    struct GrowingLog {
        key: AuditKey,
        chain: Chain,
        log: Log,
    }

    impl GrowingLog {
        fn new() -> Self {
            let chain = Chain::start(key());
            let head = chain.head();
            Self { key: key(), chain, log: Log { start: None, rows: Vec::new(), head } }
        }

        fn append(&mut self, draft: Draft) {
            let row = self.chain.append(draft);
            self.log.rows.push((row.seq, Some((row.mac, row.body))));
            self.log.head = self.chain.head();
        }

        fn grow(mut self, rows: usize) -> Self {
            (0..rows).for_each(|n| self.append(draft(Action::ServerStart, n as i64)));
            self
        }

        fn drop_first(mut self, rows: usize) -> Self {
            let mut walk = Walk::from_start(&self.key, self.log.start.as_ref()).unwrap();
            for row in self.log.rows.drain(..rows) {
                walk.step(&row).unwrap();
            }
            let start = walk.start(Timestamp::from_millis(7));
            let details = serde_json::json!({ "lastSeq": start.seq });
            self.append(draft(Action::AuditPrune, 7).details(&details));
            self.log.start = Some(start);
            self
        }
    }

    impl Log {
        fn verify(&self) -> Verification {
            let rows = self.rows.iter().cloned().map(Ok::<_, Infallible>);
            let Ok(found) = verify(&key(), self.start.as_ref(), Some(&self.head), rows);
            found
        }

        #[track_caller]
        fn broken_at(&self) -> u64 {
            self.verify().broken.expect("the change is detected").seq
        }
    }

    #[test]
    fn an_untouched_chain_verifies() {
        let whole =
            |first_seq, rows| Verification { first_seq, dropped_at: None, rows, broken: None };
        assert_eq!(GrowingLog::new().log.verify(), whole(1, 0));
        assert_eq!(GrowingLog::new().grow(5).log.verify(), whole(1, 5));
        let dropped = GrowingLog::new().grow(5).drop_first(3).grow(2).log.verify();
        let dropped_at = Some(Timestamp::from_millis(7));
        assert_eq!(dropped, Verification { dropped_at, ..whole(4, 5) });
    }

    #[test]
    fn edits_deletions_and_swaps_are_detected_at_the_first_row() {
        for log in [GrowingLog::new().grow(6).log, GrowingLog::new().grow(9).drop_first(3).log] {
            for index in 0..log.rows.len() {
                let seq = log.rows[index].0;
                let mut edited = log.clone();
                *edited.rows[index].1.as_mut().unwrap().1.last_mut().unwrap() ^= 1;
                assert_eq!(edited.broken_at(), seq);

                let mut damaged = log.clone();
                damaged.rows[index].1 = None;
                assert_eq!(damaged.broken_at(), seq);

                let mut shorter = log.clone();
                shorter.rows.remove(index);
                assert_eq!(shorter.broken_at(), seq);

                if index + 1 < log.rows.len() {
                    let mut swapped = log.clone();
                    (swapped.rows[index].1, swapped.rows[index + 1].1) =
                        (log.rows[index + 1].1.clone(), log.rows[index].1.clone());
                    assert_eq!(swapped.broken_at(), seq);
                }
            }
        }
    }

    #[test]
    fn a_log_without_rows_and_head_is_detected() {
        let Ok(found) = verify(&key(), None, None, std::iter::empty::<Result<_, Infallible>>());
        assert!(found.broken.is_some());
    }

    #[test]
    fn a_truncated_chain_with_a_forged_head_is_detected() {
        let mut log = GrowingLog::new().grow(6).log;
        log.rows.pop();
        let mac = log.rows[4].1.as_ref().unwrap().0;
        log.head = Head { seq: 5, mac, seal: log.head.seal };
        assert!(log.verify().broken.is_some());
        assert!(Chain::resume(key(), Some(&log.head)).is_err());
        assert!(log.verify().rows <= 5);
    }

    #[test]
    fn every_member_of_a_marker_is_sealed() {
        let log = GrowingLog::new().grow(6).drop_first(3).log;
        let start = log.start.clone().unwrap();
        let mac = |mac: Mac| Mac(mac.0.map(|byte| byte ^ 1));
        for forged in [
            Start { seq: 2, ..start.clone() },
            Start { mac: mac(start.mac), ..start.clone() },
            Start { at: Timestamp::from_millis(8), ..start.clone() },
            Start { seal: mac(start.seal), ..start.clone() },
            // The head's seal over the same row is another MAC.
            Start { seal: key().head(start.seq, &start.mac), ..start },
        ] {
            assert_eq!(Log { start: Some(forged), ..log.clone() }.broken_at(), 1);
        }
    }

    #[test]
    fn a_newer_marker_on_an_older_log_is_detected() {
        let old = GrowingLog::new().grow(9);
        let mut log = old.log.clone();
        log.start = old.drop_first(4).log.start;
        log.rows.drain(..4);
        assert_eq!(log.broken_at(), 1);
    }

    proptest! {
        /// The log verifies after any pruning, and no earlier marker and no earlier first row verify
        /// together with the current head.
        #[test]
        fn only_the_last_marker_with_its_own_rows_verifies(
            steps in prop::collection::vec((1usize..5, 0usize..4), 1..5),
        ) {
            let mut grown = GrowingLog::new();
            let (mut all, mut starts) = (Vec::new(), vec![None]);
            for (rows, drop) in steps {
                grown = grown.grow(rows);
                let drop = drop.min(grown.log.rows.len() - 1);
                if drop > 0 {
                    all.extend(grown.log.rows[..drop].to_vec());
                    grown = grown.drop_first(drop);
                    starts.push(grown.log.start.clone());
                }
                prop_assert_eq!(grown.log.verify().broken, None);
                prop_assert_eq!(grown.log.verify().rows, grown.log.rows.len() as u64);
            }
            let log = grown.log;
            let kept = log.rows.len();
            all.extend(log.rows.clone());
            for start in starts {
                for skip in 0..all.len() {
                    let own = start == log.start && skip == all.len() - kept;
                    let rows = all[skip..].to_vec();
                    let found = Log { start: start.clone(), rows, head: log.head.clone() }.verify();
                    prop_assert_eq!(found.broken.is_none(), own);
                }
            }
        }
    }
}
