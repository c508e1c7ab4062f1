//! `coffer audit`: verifies the chain through a running server or in the data directory of a
//! stopped one, and prints its rows oldest first. The export route is scripted here.

use coffer::store::AuditRows;
use serde_json::{Value, json};
use support::cli::Cli;
use support::fake_server::FakeServer;
use support::process::{Launch, has_program};
use support::tampered_db::{Table, flip};
use support::{TestApp, data_dir, skip};
use tempfile::TempDir;

/// The directory of a stopped server with a few audit log rows.
fn stopped() -> TempDir {
    let app = TestApp::start();
    support::api::new_secret(&app.admin(), "development", "KEY", "a value");
    app.stop()
}

/// A command in an empty directory, without any variables.
fn offline<const N: usize>(dir: &TempDir, words: [&str; N]) -> Launch {
    Launch::bare(dir.path()).arguments(words).argument("--data-dir").argument(data_dir(dir.path()))
}

/// Changes one row directly in the stopped server's database.
fn tamper(dir: &TempDir, seq: u64) {
    let table = Table::open(&data_dir(dir.path()));
    let row = table.bytes::<AuditRows>(&seq);
    let last = row.len() - 1;
    table.put_bytes::<AuditRows>(&seq, &flip(row, last, 1));
    table.close();
}

#[test]
fn a_running_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let cli = Cli::of(&server);
    let verified = cli.run(["audit", "verify"]).json();
    let verification = &verified["verification"];
    assert_eq!(verification["intact"], true);
    assert_eq!(verification["brokenSeq"], Value::Null);
    assert!(verification["rows"].as_u64().unwrap() >= 2, "{verified}");
    if has_program("script") {
        assert!(cli.screen(["audit", "verify"]).starts_with("verified: "));
    }
    server.stop();
}

#[test]
fn a_broken_chain_is_exit_code_1_and_names_the_row() {
    let broken = json!({
        "intact": false,
        "rows": 6,
        "firstSeq": 1,
        "droppedAt": null,
        "brokenSeq": 7,
        "problem": "the row is missing",
    });
    let body = json!({ "verification": broken });
    let path = "GET /api/audit-logs/verification";
    let scripted = FakeServer::answering([(path, 200, body.clone())]);
    let ended = Cli::on(scripted.address).run(["audit", "verify"]);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("broken at event 7: the row is missing"), "{ended:#?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), body);
}

#[test]
fn a_stopped_server_is_verified_from_its_directory() {
    let dir = stopped();
    let rows = support::audit_rows(dir.path()).len();
    support::await_release(&data_dir(dir.path()));
    for words in [&["audit", "verify"][..], &["audit", "verify", "--offline"]] {
        let launch =
            words.iter().fold(Launch::bare(dir.path()), |launch, word| launch.argument(word));
        let verified = launch.argument("--data-dir").argument(data_dir(dir.path())).run("").json();
        let wanted = json!({
            "intact": true,
            "rows": rows,
            "firstSeq": 1,
            "droppedAt": null,
            "brokenSeq": null,
            "problem": null,
        });
        assert_eq!(verified["verification"], wanted);
    }
    // Reading leaves no row.
    assert_eq!(support::audit_rows(dir.path()).len(), rows);
    // The default data directory is `data` in the current directory.
    support::await_release(&data_dir(dir.path()));
    Launch::bare(dir.path()).arguments(["audit", "verify", "--offline"]).run("").json();
}

#[test]
fn a_row_that_was_changed_is_named() {
    let dir = stopped();
    for seq in [3, 2, 1] {
        tamper(&dir, seq);
        support::await_release(&data_dir(dir.path()));
        let ended = offline(&dir, ["audit", "verify"]).run("");
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains(&format!("broken at event {seq}: ")), "{ended:#?}");
        let verification = &serde_json::from_str::<Value>(&ended.stdout).unwrap()["verification"];
        assert_eq!(verification["intact"], false);
        assert_eq!(
            (&verification["brokenSeq"], &verification["rows"]),
            (&json!(seq), &json!(seq - 1))
        );
    }
}

#[test]
fn a_running_servers_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&data_dir(dir.path())).start();
    let ended = offline(&dir, ["audit", "verify"]).run("");
    ended.refuses(1, ["in use by a running server", "Stop the server", "--url"]);
    // With a URL, the directory only provides the token.
    let url = format!("http://{}", server.address);
    offline(&dir, ["audit", "verify", "--url", &url]).run("").json();
    offline(&dir, ["audit", "verify"]).variable("COFFER_URL", &url).run("").json();
    offline(&dir, ["audit", "verify", "--offline", "--url", &url])
        .run("")
        .refuses(2, ["--offline"]);
    server.stop();
}

#[test]
fn nothing_is_made_where_there_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let ended = offline(&dir, ["audit", "verify"]).run("");
    ended.refuses(1, ["no database in", "--data-dir"]);
    assert!(!data_dir(dir.path()).exists());
    std::fs::create_dir(data_dir(dir.path())).unwrap();
    offline(&dir, ["audit", "verify"]).run("").refuses(1, ["no database in"]);
    assert_eq!(data_dir(dir.path()).read_dir().unwrap().count(), 0);
}

#[test]
fn the_root_key_is_found_as_the_server_finds_it() {
    let dir = stopped();
    let key = data_dir(dir.path()).join("root.key");
    let text = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let verify = offline(&dir, ["audit", "verify"]);
    verify.run("").refuses(2, ["root.key is missing"]);
    assert!(!key.exists(), "another key was created");
    verify.clone().variable("COFFER_ROOT_KEY", text.trim()).run("").json();
    let other = verify.variable("COFFER_ROOT_KEY", "BwcH".repeat(10) + "Bwc=").run("");
    other.refuses(1, ["sealed under root key", "COFFER_ROOT_KEY"]);
}

fn row(seq: u64) -> Value {
    json!({ "seq": seq, "id": format!("aud_{seq}"), "action": "secret.list", "details": "{\"a\":1}" })
}

#[test]
fn rows_are_exported_page_by_page_until_there_are_no_more() {
    let page = |after: u64| format!("GET /api/audit-logs/export?afterSeq={after}&limit=1000");
    let logs =
        |seqs: &[u64]| json!({ "logs": seqs.iter().map(|seq| row(*seq)).collect::<Vec<_>>() });
    let (first, second, last) = (page(0), page(2), page(7));
    let scripted = FakeServer::answering([
        (&first, 200, logs(&[1, 2])),
        // Gaps are left to the server, which verifies the chain.
        (&second, 200, logs(&[5, 7])),
        (&last, 200, logs(&[])),
    ]);
    for words in [&["audit", "export"][..], &["audit", "export", "--format", "jsonl"]] {
        let cli = Cli::on(scripted.address);
        let launch = words.iter().fold(cli.launch([]), |launch, word| launch.argument(word));
        let ended = launch.run("");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        let lines: Vec<Value> =
            ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, [row(1), row(2), row(5), row(7)]);
    }
    assert_eq!(scripted.lines().len(), 6);
    let cli = Cli::on(scripted.address);
    cli.run(["audit", "export", "--format", "csv"]).refuses(2, ["jsonl"]);
}

#[test]
fn a_server_that_gives_the_same_page_again_is_not_asked_for_ever() {
    for seqs in [[1, 1], [2, 1], [0, 1]] {
        let body = json!({ "logs": seqs.map(row) }).to_string();
        let headers = "Content-Type: application/json\r\n";
        let scripted = FakeServer::saying(support::fake_server::answer(200, headers, &body));
        let ended = Cli::on(scripted.address).run(["audit", "export"]);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        assert!(ended.stderr.contains("not in order"), "{ended:#?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let dir = stopped();
    let data_dir = data_dir(dir.path());
    let line = format!(
        "{{ '{}' audit verify --data-dir '{}'; echo \"code $?\" >&2; }} | true",
        support::process::binary(),
        data_dir.display()
    );
    let ended = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(stderr.trim(), "code 0");
}
