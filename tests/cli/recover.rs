//! `coffer recover admin-token`: the operator of a stopped server gets access again,
//! and the audit log records it.

use coffer::audit::Action;
use support::process::{Ended, Launch};
use support::{Client, data_dir};
use tempfile::TempDir;

fn stopped() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Launch::on(&data_dir(dir.path())).start().stop();
    dir
}

fn recover(dir: &TempDir) -> Launch {
    let words = ["recover", "admin-token", "--data-dir"];
    Launch::bare(dir.path()).arguments(words).argument(data_dir(dir.path()))
}

/// The token, printed alone on stdout.
#[track_caller]
fn token(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let token = ended.stdout.strip_suffix('\n').unwrap();
    assert!(token.starts_with("cof_") && token.len() == 47, "{ended:#?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    assert!(!ended.stderr.contains(token), "{ended:#?}");
    token.to_owned()
}

#[test]
fn it_gives_back_what_only_an_admin_can_do() {
    let dir = stopped();
    std::fs::remove_file(data_dir(dir.path()).join("bootstrap-token")).unwrap();
    let ended = recover(&dir).run("");
    let token = token(&ended);
    for word in ["tok_", "admin token", "all environments", "recovery", "will not be shown again"] {
        assert!(ended.stderr.contains(word), "{ended:#?}");
    }
    let server = Launch::on(&data_dir(dir.path())).start();
    let admin = Client::new(server.address, Some(token));
    admin.get("/api/audit-logs/verification").expect(200);
    let made = serde_json::json!({ "name": "made-after" });
    admin.post("/api/environments", &made).expect(200);
    server.stop();
}

#[test]
fn the_audit_log_says_so() {
    let dir = stopped();
    let ended = recover(&dir).run("");
    token(&ended);
    let rows = support::audit_rows(dir.path());
    let row = &rows.last().unwrap().draft;
    assert_eq!(row.action, Action::TokenRecover);
    assert_eq!(row.resource.name.as_deref(), Some("recovery"));
    assert!(ended.stderr.contains(row.resource.id.as_deref().unwrap()), "{ended:#?}");
    assert_eq!(row.actor.name, "coffer");
}

#[test]
fn it_can_be_for_some_days_only() {
    let dir = stopped();
    let limited = recover(&dir).argument("--expires-in-days").argument("2").run("");
    token(&limited);
    assert!(limited.stderr.contains("expires 2"), "{limited:#?}");
    let unlimited = recover(&dir).run("");
    token(&unlimited);
    assert!(unlimited.stderr.contains("never expires"), "{unlimited:#?}");
    for days in ["0", "366", "x"] {
        let ended = recover(&dir).argument(format!("--expires-in-days={days}")).run("");
        ended.refuses(2, ["--expires-in-days"]);
    }
}

#[test]
fn a_running_server_is_not_gone_round() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&data_dir(dir.path())).start();
    recover(&dir).run("").refuses(1, ["in use by a running server", "Stop the server first.\n"]);
    server.stop();
    token(&recover(&dir).run(""));
}

#[test]
fn it_needs_the_database_and_its_root_key() {
    let empty = tempfile::tempdir().unwrap();
    recover(&empty).run("").refuses(1, ["no database in"]);
    assert!(!data_dir(empty.path()).exists());

    let dir = stopped();
    let wrong = recover(&dir).variable("COFFER_ROOT_KEY", "BwcH".repeat(10) + "Bwc=").run("");
    wrong.refuses(1, ["sealed under root key", "COFFER_ROOT_KEY"]);
    let before = support::audit_rows(dir.path()).len();
    support::await_release(&data_dir(dir.path()));
    std::fs::remove_file(data_dir(dir.path()).join("root.key")).unwrap();
    recover(&dir).run("").refuses(2, ["root.key is missing"]);
    assert!(before > 0 && !data_dir(dir.path()).join("root.key").exists());
}
