//! An attacker who can write the database but has no key cannot change the audit log
//! unnoticed: neither a row, nor its position, nor the end of the log.

use coffer::audit::Verification;
use coffer::config::{Config, Variables};
use coffer::server::ServeError;
use coffer::server::serve::{self, ServeOptions};
use coffer::store::{AuditHead, AuditRows};
use coffer::vault::{RootKey, UnlockError, verify_audit};
use serde_json::json;
use support::tampered_db::{Table, flip};
use support::{Setup, TestApp};
use tempfile::TempDir;

/// A stopped server's audit log.
struct Log {
    dir: TempDir,
    /// The stored rows, by number.
    rows: Vec<Vec<u8>>,
    head: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let app = TestApp::start();
        for number in 0..4 {
            let body = json!({ "key": format!("KEY{number}"), "value": "v" });
            app.admin().post("/api/environments/development/secrets", &body).expect(200);
        }
        Self::of(app.stop())
    }

    fn of(dir: TempDir) -> Self {
        let count = support::audit_rows(dir.path()).len() as u64;
        let table = Table::open(&support::data_dir(dir.path()));
        let rows = (1..=count).map(|seq| table.bytes::<AuditRows>(&seq)).collect();
        let head = table.bytes::<AuditHead>(&());
        table.close();
        Self { dir, rows, head }
    }

    fn last(&self) -> u64 {
        self.rows.len() as u64
    }

    fn row(&self, seq: u64) -> &[u8] {
        &self.rows[usize::try_from(seq - 1).unwrap()]
    }

    fn edit(&self, change: impl FnOnce(&Table)) {
        let table = Table::open(&support::data_dir(self.dir.path()));
        change(&table);
        table.close();
    }

    fn walk(&self) -> Verification {
        let data = support::data_dir(self.dir.path());
        let root = std::fs::read_to_string(data.join("root.key")).unwrap();
        verify_audit(&support::open_stopped(&data), &RootKey::parse(&root).unwrap()).unwrap()
    }

    /// How many rows verify, or what does not.
    fn verify(&self) -> Result<u64, String> {
        let found = self.walk();
        found.broken.map_or(Ok(found.rows), |broken| Err(broken.to_string()))
    }

    /// Fails unless verification stops at this row.
    #[track_caller]
    fn assert_broken_at(&self, seq: u64, what: &str) {
        let found = self.walk();
        let broken = found.broken.expect(what);
        assert_eq!(broken.seq, seq, "{what}: {broken}");
        assert_eq!(found.rows, seq - 1, "{what}: the rows before it verify");
        assert!(broken.to_string().contains(&format!("audit row {seq}:")), "{broken}");
    }

    /// The reason why the server does not start.
    #[track_caller]
    fn refusal(&self) -> ServeError {
        let mut config = Config::default();
        config.server.data_dir = support::data_dir(self.dir.path());
        config.server.listen = ([127, 0, 0, 1], 0).into();
        support::await_release(&config.server.data_dir);
        match serve::prepare(&config, &Variables::default(), ServeOptions::default()) {
            Err(error) => error,
            Ok(_) => panic!("the server starts in spite of the tampering"),
        }
    }
}

#[test]
fn an_untouched_log_holds() {
    let log = Log::new();
    assert!(log.last() >= 7);
    assert_eq!(log.verify().unwrap(), log.last());
}

#[test]
fn an_edited_row_is_found_by_its_number() {
    let log = Log::new();
    for seq in 1..=log.last() {
        let length = log.row(seq).len();
        // The MAC (1..33) and the body after its length (at most two bytes here). Rows that do not
        // decode at all are in the next test.
        for at in [1, 16, 32, length / 2 + 18, length - 2, length - 1] {
            let edited = flip(log.row(seq).to_vec(), at, 1);
            log.edit(|table| table.put_bytes::<AuditRows>(&seq, &edited));
            log.assert_broken_at(seq, &format!("byte {at}"));
        }
        log.edit(|table| table.put_bytes::<AuditRows>(&seq, log.row(seq)));
    }
    assert_eq!(log.verify().unwrap(), log.last(), "the restored log must verify");
}

#[test]
fn a_row_that_does_not_even_decode_is_found_by_its_number() {
    let log = Log::new();
    let row = log.row(3).to_vec();
    let cut = |length| row[..length].to_vec();
    for broken in [cut(row.len() - 1), cut(20), cut(0), flip(row.clone(), 0, 3)] {
        log.edit(|table| table.put_bytes::<AuditRows>(&3, &broken));
        log.assert_broken_at(3, "a row that does not decode");
    }
}

#[test]
fn a_deleted_row_is_found_by_its_number() {
    let log = Log::new();
    for seq in 1..=log.last() {
        log.edit(|table| table.remove::<AuditRows>(&seq));
        log.assert_broken_at(seq, "a deleted row");
        log.edit(|table| table.put_bytes::<AuditRows>(&seq, log.row(seq)));
    }
}

#[test]
fn rows_that_changed_places_are_found_at_the_first_of_them() {
    let log = Log::new();
    for (a, b) in [(1, 2), (2, 5), (log.last() - 1, log.last())] {
        log.edit(|table| {
            table.put_bytes::<AuditRows>(&a, log.row(b));
            table.put_bytes::<AuditRows>(&b, log.row(a));
        });
        log.assert_broken_at(a, "swapped rows");
        log.edit(|table| {
            table.put_bytes::<AuditRows>(&a, log.row(a));
            table.put_bytes::<AuditRows>(&b, log.row(b));
        });
    }
}

#[test]
fn rows_that_were_repeated_moved_up_or_added_are_found() {
    let log = Log::new();
    let last = log.last();
    log.edit(|table| table.put_bytes::<AuditRows>(&4, log.row(3)));
    log.assert_broken_at(4, "a repeated row");
    // Row 4 is removed, and later rows move up to close the gap.
    log.edit(|table| {
        for seq in 4..last {
            table.put_bytes::<AuditRows>(&seq, log.row(seq + 1));
        }
        table.remove::<AuditRows>(&last);
    });
    log.assert_broken_at(4, "a closed gap");
    log.edit(|table| {
        for seq in 4..=last {
            table.put_bytes::<AuditRows>(&seq, log.row(seq));
        }
        table.put_bytes::<AuditRows>(&(last + 1), log.row(last));
    });
    log.assert_broken_at(last + 1, "an added row");
}

#[test]
fn an_edited_or_missing_head_is_found() {
    let log = Log::new();
    for at in 1..log.head.len() {
        let edited = flip(log.head.clone(), at, 1);
        log.edit(|table| table.put_bytes::<AuditHead>(&(), &edited));
        assert!(log.verify().is_err(), "byte {at} of the head");
    }
    log.edit(|table| table.remove::<AuditHead>(&()));
    assert!(log.verify().unwrap_err().contains("the head is missing"));
    log.edit(|table| table.put_bytes::<AuditHead>(&(), &log.head[..20]));
    assert!(log.verify().unwrap_err().contains("the head is missing"));
}

#[test]
fn rows_cut_off_the_end_are_found_with_the_head_left_or_turned_back() {
    let log = Log::new();
    let last = log.last();
    log.edit(|table| table.remove::<AuditRows>(&last));
    log.assert_broken_at(last, "the last row is gone");
    // The head has the previous number, with the seal of the last one.
    let mut head = log.head.clone();
    assert_eq!(u64::from(head[1]), last, "a small number is one byte");
    head[1] -= 1;
    head[2..34].copy_from_slice(&log.row(last - 1)[1..33]);
    log.edit(|table| table.put_bytes::<AuditHead>(&(), &head));
    let refusal = log.refusal().to_string();
    assert!(refusal.contains("has lost changes that were acknowledged"), "{refusal}");
    // An attacker who resets the head also removes that note.
    std::fs::remove_file(support::data_dir(log.dir.path()).join("acknowledged")).unwrap();
    assert!(log.verify().is_err());
}

#[test]
fn a_server_does_not_start_on_a_forged_head() {
    let log = Log::new();
    let last = log.last();
    for at in 1..log.head.len() {
        let forged = flip(log.head.clone(), at, 1);
        log.edit(|table| table.put_bytes::<AuditHead>(&(), &forged));
        let refusal = log.refusal();
        assert!(matches!(refusal, ServeError::Unlock { error: UnlockError::Audit(_), .. }));
        let message = refusal.to_string();
        assert!(message.contains("audit log") && message.contains("head"), "{message}");
    }
    // Nothing was appended to a broken log.
    log.edit(|table| table.put_bytes::<AuditHead>(&(), &log.head));
    assert_eq!(log.verify().unwrap(), last);
}

#[test]
fn a_server_does_not_start_without_a_head_when_there_are_rows() {
    // The server would start a new chain at row 1, over the old rows.
    let log = Log::new();
    log.edit(|table| table.remove::<AuditHead>(&()));
    let message = log.refusal().to_string();
    assert!(message.contains("audit log"), "{message}");
}

#[test]
fn a_server_does_not_start_on_an_old_head_with_newer_rows_behind_it() {
    // An old head has a valid seal. Continuing from it would overwrite rows that an attacker wants
    // to remove.
    let early = Log::new();
    let head = early.head.clone();
    let (last, Log { dir, .. }) = (early.last(), early);
    let app = TestApp::start_in(dir, Setup::default());
    app.admin().post("/api/environments", &json!({ "name": "incriminating" })).expect(200);
    let log = Log::of(app.stop());
    assert!(log.last() > last);
    log.edit(|table| table.put_bytes::<AuditHead>(&(), &head));
    assert!(log.verify().is_err());
    let message = log.refusal().to_string();
    assert!(message.contains("audit log"), "{message}");
}

#[test]
fn a_server_does_not_start_under_another_root_key_and_names_both() {
    let log = Log::new();
    let data = support::data_dir(log.dir.path());
    let right = RootKey::parse(&std::fs::read_to_string(data.join("root.key")).unwrap()).unwrap();
    let wrong = RootKey::parse("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let text = wrong.to_text();
    std::fs::write(data.join("root.key"), text.as_bytes()).unwrap();
    let message = log.refusal().to_string();
    assert!(message.contains(&right.fingerprint().to_string()), "{message}");
    assert!(message.contains(&wrong.fingerprint().to_string()), "{message}");
    assert!(!message.contains(text.as_str()), "the key itself is in the message");
}
