//! An attacker can write the database file but has no key, and an admin copies secrets that were
//! tampered with: the copy gives nothing that a reveal would refuse.

use coffer::domain::RevealMode;
use coffer::store::{Secrets, ValueChunks, Versions};
use serde_json::{Value, json};
use support::tampered_db::{TamperedDb, flip};
use support::{Reply, TestApp, api, expect_log};

const COPY: &str = "/api/environments/other/secrets/copy";
const COPIES: &str = "/api/environments/other/secrets";

fn copy(app: &TestApp, keys: &[&str], on_conflict: &str) -> Reply {
    let body = json!({ "from": "home", "keys": keys, "onConflict": on_conflict });
    app.admin().post(COPY, &body)
}

fn copies(app: &TestApp) -> Vec<String> {
    api::keys(&app.admin().get(COPIES).expect(200)["secrets"])
}

fn clear_flag(bench: &TamperedDb, key: &str) {
    bench.edit(|table| {
        let mut row = table.get::<Secrets>(&bench.secret_key(key));
        assert_eq!(row.mode, RevealMode::NeverReveal);
        row.mode = RevealMode::Revealable;
        table.put::<Secrets>(&bench.secret_key(key), &row);
    });
}

#[track_caller]
fn refused_at(reply: &Reply, place: &str) {
    let refused: Value = reply.expect_error(500, "SECRET_UNREADABLE");
    assert_eq!(refused["field"], place);
}

#[test]
fn a_flag_cleared_in_the_source_lets_no_copy_be_revealable() {
    expect_log("SECRET_UNREADABLE");
    let bench = TamperedDb::new();
    clear_flag(&bench, "NEVER");
    let app = bench.restart();
    refused_at(&copy(&app, &["FIRST", "NEVER"], "fail"), "keys.1");
    assert_eq!(copies(&app), [""; 0], "all or nothing");
    copy(&app, &["FIRST"], "fail").expect(200);
}

#[test]
fn a_flag_cleared_in_the_target_opens_it_for_no_copy() {
    expect_log("was cleared in the database");
    let bench = TamperedDb::new();
    clear_flag(&bench, "NEVER");
    let app = bench.restart();
    let admin = app.admin();
    api::new_secret(&admin, "other", "NEVER", "a value that its writer knows");
    let back = json!({ "from": "other", "keys": ["NEVER"], "onConflict": "replace" });
    let answer = admin.post("/api/environments/home/secrets/copy", &back).expect(200);
    assert_eq!(answer["copied"][0]["secret"]["neverReveal"], true);
    bench.reveal(&app, bench.secret("NEVER")).expect_error(403, "SECRET_WRITE_ONLY");
}

/// A never-reveal value that was moved to a revealable secret of the same environment cannot be
/// decrypted there, and is therefore not copied.
#[test]
fn a_value_moved_under_another_secret_is_not_copied() {
    expect_log("SECRET_UNREADABLE");
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let key = table.get::<Versions>(&bench.version_key("NEVER", 1));
        table.put::<Versions>(&bench.version_key("FIRST", 1), &key);
        let chunk = table.get::<ValueChunks>(&bench.chunk_key("NEVER", 1, 0));
        table.put::<ValueChunks>(&bench.chunk_key("FIRST", 1, 0), &chunk);
    });
    let app = bench.restart();
    refused_at(&copy(&app, &["FIRST"], "fail"), "keys.0");
    assert_eq!(copies(&app), [""; 0]);
}

#[test]
fn a_damaged_value_is_named_and_the_others_can_be_copied() {
    expect_log("SECRET_UNREADABLE");
    let bench = TamperedDb::new();
    bench.edit(|table| {
        let at = bench.chunk_key("SECOND", 1, 0);
        let bytes = table.bytes::<ValueChunks>(&at);
        let last = bytes.len() - 1;
        table.put_bytes::<ValueChunks>(&at, &flip(bytes, last, 1));
        let at = bench.secret_key("LONG1");
        table.put_bytes::<Secrets>(&at, b"no row");
    });
    let app = bench.restart();
    refused_at(&copy(&app, &["FIRST", "SECOND"], "fail"), "keys.1");
    refused_at(&copy(&app, &["FIRST", "BYSTANDER", "LONG1"], "fail"), "keys.2");
    assert_eq!(copies(&app), [""; 0]);
    copy(&app, &["FIRST", "BYSTANDER", "LONG2"], "fail").expect(200);
    assert_eq!(copies(&app), ["BYSTANDER", "FIRST", "LONG2"]);
}
