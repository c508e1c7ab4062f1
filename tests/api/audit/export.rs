//! `/api/audit-logs/export`: the whole log, page by page. A copy that is kept elsewhere reveals
//! changes that the log alone cannot.

use coffer::domain::Role;
use coffer::http::audit_line;
use coffer::store::{AuditHead, AuditRows};
use coffer::vault::export_audit;
use serde_json::{Value, json};
use support::paths::EXPORT;
use support::tampered_db::{Table, flip};
use support::{Client, Setup, TestApp, api, data_dir, open_stopped};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn page(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{EXPORT}?{query}")).expect(200);
    assert_eq!(api::members(&answer), ["logs"].into());
    answer["logs"].as_array().unwrap().clone()
}

fn seqs(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect()
}

/// Exports the whole log in pages of this many rows.
fn everything(client: &Client, limit: usize) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row["seq"].as_u64().unwrap());
        let rows = page(client, &format!("afterSeq={after}&limit={limit}"));
        if rows.is_empty() {
            return all;
        }
        assert!(rows.len() <= limit);
        all.extend(rows);
    }
}

fn act(client: &Client, rows: usize) {
    for number in 0..rows {
        api::new_secret(client, "development", &format!("KEY{number}"), "value");
    }
}

#[test]
fn the_rows_are_those_of_the_list_with_their_macs_oldest_first() {
    let app = TestApp::start();
    act(&app.admin(), 4);
    let listed = app.admin().get("/api/audit-logs?limit=1000").expect(200);
    let mut exported = page(&app.admin(), "");
    let macs: Vec<_> = exported
        .iter_mut()
        .map(|row| row.as_object_mut().unwrap().remove("mac").unwrap())
        .map(|mac| mac.as_str().unwrap().to_owned())
        .collect();
    let mut expected = listed["logs"].as_array().unwrap().clone();
    expected.reverse();
    assert_eq!(exported, expected);
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(macs.iter().all(|mac| mac.len() == 64 && mac.chars().all(hex)), "{macs:?}");
    // The exported MACs are the stored ones.
    let dir = app.stop();
    let table = Table::open(&data_dir(dir.path()));
    for (seq, mac) in (1..).zip(&macs) {
        assert_eq!(table.get::<AuditRows>(&seq).mac().to_hex(), *mac);
    }
    table.close();
}

#[test]
fn pages_together_are_the_whole_log_in_order_and_reading_them_leaves_no_row() {
    let app = TestApp::start();
    act(&app.admin(), 10);
    let whole = page(&app.admin(), "");
    assert_eq!(seqs(&whole), (1..=whole.len() as u64).collect::<Vec<_>>());
    for limit in [1, 3, whole.len() - 1, whole.len(), 1000] {
        assert_eq!(everything(&app.admin(), limit), whole, "limit {limit}");
    }
    let last = whole.len() as u64;
    assert_eq!(seqs(&page(&app.admin(), &format!("afterSeq={}", last - 1))), [last]);
    assert_eq!(page(&app.admin(), &format!("afterSeq={last}")), [] as [Value; 0]);
    assert_eq!(page(&app.admin(), &format!("afterSeq={}", (1_u64 << 53) - 1)), [] as [Value; 0]);
    // Later rows come after those that were copied.
    act_more(&app.admin());
    assert_eq!(seqs(&page(&app.admin(), &format!("afterSeq={last}"))), [last + 1]);
}

fn act_more(client: &Client) {
    api::new_environment(client, "more");
}

#[test]
fn a_page_has_a_thousand_rows_when_nothing_is_said() {
    let app = TestApp::start();
    let admin = app.admin();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let admin = &admin;
            scope.spawn(move || {
                for number in 0..130 {
                    api::new_var(admin, "development", &format!("KEY{worker}_{number}"), "v");
                }
            });
        }
    });
    assert_eq!(seqs(&page(&admin, "")), (1..=1000).collect::<Vec<_>>());
    let all = everything(&admin, 1000);
    assert!(all.len() > 1040);
    assert_eq!(seqs(&all), (1..=all.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_bad_parameter_is_refused_by_name_without_being_quoted() {
    let app = TestApp::start();
    for (query, field) in [
        ("afterSeq=canary", "afterSeq"),
        ("afterSeq=-1", "afterSeq"),
        ("afterSeq=18446744073709551616", "afterSeq"),
        ("afterSeq=1&afterSeq=2", "afterSeq"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=canary", "limit"),
    ] {
        let reply = app.admin().get(&format!("{EXPORT}?{query}"));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], field, "{query}");
        assert!(!reply.text().contains("canary"), "{query}");
    }
}

#[test]
fn scope_and_role_are_checked_before_the_parameters() {
    let app = TestApp::start();
    let development = app.environment_id("development");
    let path = format!("{EXPORT}?limit=0&afterSeq=x");
    app.anonymous().get(&path).expect_error(401, "UNAUTHORIZED");
    app.scoped(Role::Admin, &[&development]).get(&path).expect_error(403, "FORBIDDEN_SCOPE");
    app.principal(Role::Operator).get(&path).expect_error(403, "FORBIDDEN_ROLE");
    let refused = app.admin().get("/api/audit-logs?action=audit.export").expect(200);
    assert_eq!(refused["total"], 2, "refusals leave rows");
}

#[test]
fn after_dropping_the_export_begins_at_the_first_kept_row() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    act(&app.admin(), 5);
    let before = page(&app.admin(), "");
    let dir = app.stop();
    let mut setup = Setup::default().with_test_clock();
    setup.config.audit.keep_days = 1;
    setup.clock.as_ref().unwrap().advance_millis(2 * DAY);
    let app = TestApp::start_in(dir, setup);
    let kept = everything(&app.admin(), 2);
    let found = app.admin().get("/api/audit-logs/verification").expect(200);
    assert_eq!(found["verification"]["firstSeq"], kept[0]["seq"]);
    assert!(kept[0]["seq"].as_u64().unwrap() > before.len() as u64);
    assert!(seqs(&kept).windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(page(&app.admin(), "afterSeq=2"), kept, "a cursor within the dropped rows");
}

#[test]
fn a_damaged_row_is_there_with_its_number_and_hides_no_other() {
    let app = TestApp::start();
    act(&app.admin(), 4);
    let whole = page(&app.admin(), "");
    let dir = app.stop();
    let table = Table::open(&data_dir(dir.path()));
    table.put_bytes::<AuditRows>(&3, &[1, 2, 3]);
    let (two, four) = (table.bytes::<AuditRows>(&2), table.bytes::<AuditRows>(&4));
    let middle = four.len() / 2;
    table.put_bytes::<AuditRows>(&4, &flip(four, middle, 0x80));
    // A row that was moved is not accepted under its new number.
    table.put_bytes::<AuditRows>(&5, &two);
    table.close();
    let app = TestApp::start_in(dir, Setup::default());
    let rows = page(&app.admin(), &format!("limit={}", whole.len()));
    assert_eq!(seqs(&rows), seqs(&whole));
    for index in [2, 4] {
        assert_eq!(rows[index], json!({ "seq": index + 1, "damaged": true }));
    }
    assert_eq!(rows[..2], whole[..2]);
    assert_eq!(rows[5..], whole[5..]);
}

#[test]
fn the_export_of_a_stopped_server_is_the_same_line_by_line() {
    let app = TestApp::start();
    act(&app.admin(), 4);
    let dir = app.stop();
    let lines = |after| -> Vec<Value> {
        let opened = open_stopped(&data_dir(dir.path()));
        let lines = export_audit(&opened, after).map(|row| audit_line(row.unwrap()));
        let parse = |line: String| {
            assert!(!line.contains('\n'), "{line}");
            serde_json::from_str(&line).unwrap()
        };
        lines.map(parse).collect()
    };
    let (all, some) = (lines(0), lines(5));
    assert_eq!(some, all[5..]);
    let app = TestApp::start_in(dir, Setup::default());
    assert_eq!(page(&app.admin(), &format!("limit={}", all.len())), all);
}

/// Shows why the export includes MACs: a copy reveals what verification cannot.
#[test]
fn a_copy_shows_a_log_that_was_put_back_as_a_whole() {
    let app = TestApp::start();
    act(&app.admin(), 3);
    let dir = app.stop();
    let early = support::audit_rows(dir.path()).len() as u64;
    let table = Table::open(&data_dir(dir.path()));
    let head = table.bytes::<AuditHead>(&());
    table.close();
    let app = TestApp::start_in(dir, Setup::default());
    api::new_environment(&app.admin(), "incriminating");
    let copy = everything(&app.admin(), 1000);
    let dir = app.stop();
    let late = support::audit_rows(dir.path()).len() as u64;
    let table = Table::open(&data_dir(dir.path()));
    (early + 1..=late).for_each(|seq| table.remove::<AuditRows>(&seq));
    table.put_bytes::<AuditHead>(&(), &head);
    table.close();
    // An attacker who restores an older log also removes the note of its last state.
    std::fs::remove_file(data_dir(dir.path()).join("acknowledged")).unwrap();
    let app = TestApp::start_in(dir, Setup::default());
    act_more(&app.admin());
    let found = app.admin().get("/api/audit-logs/verification").expect(200);
    assert_eq!(found["verification"]["intact"], true);
    let now = everything(&app.admin(), 1000);
    let same = copy.iter().zip(&now).take_while(|(a, b)| a["mac"] == b["mac"]).count();
    assert_eq!(same as u64, early, "the log differs from the first restored row on");
}
