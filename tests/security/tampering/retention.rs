//! An attacker who can write the database but has no key cannot use retention to remove rows or to
//! restore them: neither through the marker of dropped rows, nor through the server's own pruning.

use coffer::audit::Verification;
use coffer::store::{AuditHead, AuditRows, AuditStart};
use coffer::vault::{RootKey, verify_audit};
use support::tampered_db::{Table, flip};
use support::{Setup, TestApp, expect_log};
use tempfile::TempDir;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn setup(keep_days: u32, ahead_millis: i64) -> Setup {
    let mut setup = Setup::default().with_test_clock();
    setup.config.audit.keep_days = keep_days;
    setup.clock.as_ref().unwrap().advance_millis(ahead_millis);
    setup
}

/// The audit log at one time, byte for byte.
#[derive(Clone)]
struct Copy {
    first: u64,
    rows: Vec<Vec<u8>>,
    start: Option<Vec<u8>>,
    head: Vec<u8>,
}

impl Copy {
    fn of(dir: &TempDir) -> Self {
        let rows = support::audit_rows(dir.path());
        let first = rows[0].seq;
        let table = Table::open(&support::data_dir(dir.path()));
        let copy = Self {
            first,
            rows: rows.iter().map(|row| table.bytes::<AuditRows>(&row.seq)).collect(),
            start: (first > 1).then(|| table.bytes::<AuditStart>(&())),
            head: table.bytes::<AuditHead>(&()),
        };
        table.close();
        copy
    }

    fn last(&self) -> u64 {
        self.first + self.rows.len() as u64 - 1
    }

    fn row(&self, seq: u64) -> &[u8] {
        &self.rows[usize::try_from(seq - self.first).unwrap()]
    }
}

/// A stopped server whose log was pruned three times, each time in part. `before` holds the log
/// before each start, `now` the current log.
struct Log {
    dir: TempDir,
    before: Vec<Copy>,
    now: Copy,
}

impl Log {
    fn new() -> Self {
        let mut dir = TestApp::start_with(setup(0, 0)).stop();
        let mut before = Vec::new();
        for round in 1..=4 {
            before.push(Copy::of(&dir));
            let app = TestApp::start_in(dir, setup(10, round * 7 * DAY));
            for _ in 0..3 {
                let reset = "/api/environments/development/settings/configuration/reset";
                app.admin().send("POST", reset, None).expect(200);
            }
            dir = app.stop();
        }
        let now = Copy::of(&dir);
        assert!(now.first > before[3].first && before[3].first > before[2].first);
        assert!(before[2].first > 1 && before[3].last() > now.first);
        Self { dir, before, now }
    }

    fn edit(&self, change: impl FnOnce(&Table)) {
        let table = Table::open(&support::data_dir(self.dir.path()));
        change(&table);
        table.close();
        // An attacker who resets the log also removes the note of its last state.
        let note = support::data_dir(self.dir.path()).join("acknowledged");
        let _ = std::fs::remove_file(note);
    }

    fn verify(&self) -> Verification {
        let data = support::data_dir(self.dir.path());
        let root = std::fs::read_to_string(data.join("root.key")).unwrap();
        verify_audit(&support::open_stopped(&data), &RootKey::parse(&root).unwrap()).unwrap()
    }

    #[track_caller]
    fn assert_broken_at(&self, seq: u64, what: &str) {
        let found = self.verify();
        let broken = found.broken.unwrap_or_else(|| panic!("{what} is not detected"));
        assert_eq!(broken.seq, seq, "{what}: {broken}");
        assert!(found.rows <= self.now.rows.len() as u64);
    }

    /// Fails unless the server also detects it and does not prune the evidence: after a start with
    /// an even shorter retention, verification reports the same.
    #[track_caller]
    fn assert_stays_broken_at(self, seq: u64, what: &str) {
        expect_log("cannot delete old audit events");
        expect_log("the audit log does not verify");
        self.assert_broken_at(seq, what);
        let app = TestApp::start_in(self.dir, setup(1, 400 * DAY));
        let found = app.admin().get("/api/audit-logs/verification").expect(200);
        assert_eq!(found["verification"]["intact"], false, "{what}: {found}");
        assert_eq!(found["verification"]["brokenSeq"], seq, "{what}: {found}");
    }

    fn marker(&self) -> &[u8] {
        self.now.start.as_ref().unwrap()
    }
}

#[test]
fn an_untouched_log_holds() {
    let log = Log::new();
    let found = log.verify();
    assert_eq!(found.broken, None);
    assert_eq!((found.first_seq, found.rows), (log.now.first, log.now.rows.len() as u64));
    assert!(found.dropped_at.is_some());
}

#[test]
fn an_edited_marker_is_found() {
    let log = Log::new();
    for at in 0..log.marker().len() {
        let edited = flip(log.marker().to_vec(), at, 1);
        log.edit(|table| table.put_bytes::<AuditStart>(&(), &edited));
        log.assert_broken_at(1, &format!("byte {at} of the marker"));
    }
    log.edit(|table| table.put_bytes::<AuditStart>(&(), &[]));
    log.assert_stays_broken_at(1, "an empty marker");
}

#[test]
fn a_forged_marker_behind_dropped_rows_is_found() {
    // The first kept row is removed and the marker updated with its number and MAC. Only the seal
    // cannot be forged.
    let log = Log::new();
    let first = log.now.first;
    let mut forged = log.marker().to_vec();
    assert_eq!(u64::from(forged[1]), first - 1, "a small number is one byte");
    forged[1] += 1;
    forged[2..34].copy_from_slice(&log.now.row(first)[1..33]);
    log.edit(|table| {
        table.put_bytes::<AuditStart>(&(), &forged);
        table.remove::<AuditRows>(&first);
    });
    log.assert_stays_broken_at(1, "a forged marker");
}

#[test]
fn a_marker_in_a_log_that_was_never_pruned_is_found() {
    let log = Log::new();
    let dir = TestApp::start_with(setup(0, 0)).stop();
    let now = Copy::of(&dir);
    let other = Log { dir, before: Vec::new(), now };
    // The marker of another database has a valid seal there, but not here.
    other.edit(|table| {
        table.put_bytes_new::<AuditStart>(&(), log.marker());
    });
    other.assert_broken_at(1, "another log's marker");
    let first = log.now.first.min(other.now.last());
    other.edit(|table| (1..first).for_each(|seq| table.remove::<AuditRows>(&seq)));
    other.assert_stays_broken_at(1, "another log's marker with its rows gone");
}

#[test]
fn rows_dropped_without_moving_the_marker_are_found() {
    let log = Log::new();
    let first = log.now.first;
    log.edit(|table| (first..first + 2).for_each(|seq| table.remove::<AuditRows>(&seq)));
    log.assert_stays_broken_at(first, "dropped rows");
}

#[test]
fn rows_dropped_from_a_log_without_a_marker_are_found() {
    let dir = TestApp::start_with(setup(0, 0)).stop();
    let now = Copy::of(&dir);
    let log = Log { dir, before: Vec::new(), now };
    log.edit(|table| (1..3).for_each(|seq| table.remove::<AuditRows>(&seq)));
    log.assert_stays_broken_at(1, "dropped rows");
}

#[test]
fn a_removed_marker_is_found() {
    let log = Log::new();
    log.edit(|table| table.remove::<AuditStart>(&()));
    log.assert_stays_broken_at(1, "no marker");
}

#[test]
fn a_marker_removed_with_everything_before_a_row_is_found() {
    let log = Log::new();
    log.edit(|table| {
        table.remove::<AuditStart>(&());
        (log.now.first..log.now.last()).for_each(|seq| table.remove::<AuditRows>(&seq));
    });
    log.assert_stays_broken_at(1, "nothing is left but the head and its row");
}

#[test]
fn an_older_marker_is_found_at_the_row_behind_it() {
    let log = Log::new();
    let older = log.before[3].clone();
    log.edit(|table| table.put_bytes::<AuditStart>(&(), older.start.as_ref().unwrap()));
    log.assert_stays_broken_at(older.first, "an older marker");
}

#[test]
fn an_older_marker_with_the_rows_dropped_since_is_found() {
    let log = Log::new();
    let older = &log.before[3];
    log.edit(|table| {
        table.put_bytes::<AuditStart>(&(), older.start.as_ref().unwrap());
        for seq in older.first..log.now.first {
            table.put_bytes::<AuditRows>(&seq, older.row(seq));
        }
    });
    log.assert_broken_at(older.first, "an older marker and its rows");
    // Each row is genuine, so the next pruning removes them again.
    let Log { dir, .. } = log;
    let app = TestApp::start_in(dir, setup(1, 400 * DAY));
    let found = app.admin().get("/api/audit-logs/verification").expect(200);
    assert_eq!(found["verification"]["intact"], true, "{found}");
}

#[test]
fn every_dropped_row_put_back_and_no_marker_is_found() {
    let log = Log::new();
    log.edit(|table| {
        table.remove::<AuditStart>(&());
        for seq in 1..log.now.first {
            let copy = log.before.iter().find(|copy| (copy.first..=copy.last()).contains(&seq));
            table.put_bytes::<AuditRows>(&seq, copy.unwrap().row(seq));
        }
    });
    log.assert_broken_at(1, "the whole log from row 1");
}

#[test]
fn dropped_rows_put_back_in_front_of_the_marker_are_found() {
    for seq in [1, 2] {
        let log = Log::new();
        let row = log.before[0].row(seq).to_vec();
        log.edit(|table| table.put_bytes::<AuditRows>(&seq, &row));
        log.assert_stays_broken_at(seq, "a row in front of the marker");
    }
}

#[test]
fn a_newer_marker_on_an_older_log_is_found() {
    let log = Log::new();
    let older = &log.before[3];
    // The rows and head of an earlier day, without the rows dropped since; the marker records that
    // they were dropped.
    log.edit(|table| {
        for seq in older.last() + 1..=log.now.last() {
            table.remove::<AuditRows>(&seq);
        }
        table.put_bytes::<AuditHead>(&(), &older.head);
    });
    log.assert_broken_at(older.first, "a newer marker");
}

#[test]
fn an_edited_row_is_not_dropped_away_by_the_server() {
    let log = Log::new();
    let seq = log.now.first + 2;
    let row = log.now.row(seq).to_vec();
    let edited = flip(row.clone(), row.len() - 1, 1);
    log.edit(|table| table.put_bytes::<AuditRows>(&seq, &edited));
    log.assert_stays_broken_at(seq, "an edited row");
}

#[test]
fn a_row_that_claims_to_be_old_or_young_is_found() {
    // The time in a row decides when it is dropped, and is covered by the MAC like the rest.
    let log = Log::new();
    let seq = log.now.first;
    let row = log.now.row(seq).to_vec();
    for back in 1..=6 {
        let edited = flip(row.clone(), row.len() - back, 1);
        log.edit(|table| table.put_bytes::<AuditRows>(&seq, &edited));
        log.assert_broken_at(seq, "an edited time");
    }
}

#[test]
fn a_key_that_is_not_a_number_is_found_at_its_position() {
    let log = Log::new();
    let mut key = log.now.first.to_be_bytes().to_vec();
    key.push(0);
    log.edit(|table| table.put_raw::<AuditRows>(&key, log.now.row(log.now.first)));
    log.assert_broken_at(log.now.first + 1, "a key of nine bytes");
}

#[test]
fn rows_that_do_not_begin_behind_the_marker_do_not_fit() {
    let log = Log::new();
    let findings = || {
        let opened = support::open_stopped(&support::data_dir(log.dir.path()));
        coffer::store::check(&opened).unwrap()
    };
    assert_eq!(findings(), [""; 0]);
    log.edit(|table| table.remove::<AuditStart>(&()));
    assert_eq!(findings().len(), 1);
    log.edit(|table| table.put_bytes::<AuditStart>(&(), log.marker()));
    log.edit(|table| table.remove::<AuditRows>(&log.now.last()));
    assert_eq!(findings().len(), 1);
}

/// Documents what verification cannot detect, so that nobody relies on it.
#[test]
fn the_log_put_back_as_a_whole_is_not_found() {
    let log = Log::new();
    let older = log.before[3].clone();
    log.edit(|table| {
        (log.now.first..=log.now.last()).for_each(|seq| table.remove::<AuditRows>(&seq));
        for seq in older.first..=older.last() {
            table.put_bytes_new::<AuditRows>(&seq, older.row(seq));
        }
        table.put_bytes::<AuditStart>(&(), older.start.as_ref().unwrap());
        table.put_bytes::<AuditHead>(&(), &older.head);
    });
    assert_eq!(log.verify().broken, None);
}
