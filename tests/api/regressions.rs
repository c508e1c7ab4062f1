//! Fixed bugs. Each has a test that is named after it.

use std::io::Write;
use std::net::TcpStream;

use coffer::domain::RevealMode;
use coffer::store::{PendingDeletions, Secrets, Table, Versions, View};
use serde_json::json;
use support::paths::{SECRETS, VARS};
use support::process::Launch;
use support::{Setup, TestApp, data_dir, expect_log, open_stopped};

/// Changes rows of a stopped server, as an attacker without a key could.
fn tamper(dir: &std::path::Path, change: impl FnOnce(&sled::Db)) {
    let db = sled::open(data_dir(dir).join("db")).unwrap();
    change(&db);
    db.flush().unwrap();
    drop(db);
    support::await_release(&data_dir(dir));
}

fn under(table: u8, rest: &[u8]) -> Vec<u8> {
    [&[table], rest].concat()
}

/// If the flag is cleared *and* every data key that could contradict it is damaged, no new value is
/// accepted on trust.
#[test]
fn a_cleared_flag_with_spoilt_versions_does_not_give_the_next_value() {
    expect_log("SECRET_UNREADABLE");
    expect_log("does not open");
    let app = TestApp::start();
    let new = json!({ "key": "NEVER", "value": "old", "neverReveal": true });
    let id = app.admin().post(SECRETS, &new).expect(200)["secret"]["id"].clone();
    let path = format!("/api/secrets/{}", id.as_str().unwrap());
    let dir = app.stop();
    let opened = open_stopped(&data_dir(dir.path()));
    let (at, mut row) = opened.scan::<Secrets>(&[], None).next().unwrap().unwrap();
    drop(opened);
    support::await_release(&data_dir(dir.path()));
    row.mode = RevealMode::Revealable;
    tamper(dir.path(), |db| {
        let key = under(b'S', &[&at.0.to_bytes()[..], at.1.as_str().as_bytes()].concat());
        let bytes = postcard::to_extend(&row, vec![Secrets::FORMAT]).unwrap();
        db.insert(key, bytes).unwrap();
        db.insert(under(b'D', &[&row.id.to_bytes()[..], &1u32.to_be_bytes()].concat()), b"garbage")
            .unwrap();
    });
    let app = TestApp::start_in(dir, Setup::default());
    let next = app.admin().patch(&path, &json!({ "value": "the next value" }));
    next.expect_error(500, "SECRET_UNREADABLE");
    app.admin().get(&format!("{path}/value")).expect_error(500, "SECRET_UNREADABLE");
    // Two ways remain that trust nothing: making the secret write-only, or deleting it.
    app.admin().patch(&path, &json!({ "value": "new", "neverReveal": true })).expect(200);
    app.admin().get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    app.admin().delete(&path).expect(200);
}

/// A client that disconnects must not leave data keys of a deleted environment.
#[test]
fn a_deletion_goes_on_when_its_client_does_not() {
    let app = TestApp::start();
    for n in 0..400 {
        app.admin().post(SECRETS, &json!({ "key": format!("K{n}"), "value": "v" })).expect(200);
    }
    let mut stream = TcpStream::connect(app.address).unwrap();
    let token = app.admin_token();
    write!(
        stream,
        "DELETE /api/environments/development?force=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    drop(stream);
    // Nobody receives the deletion's response; a second deletion finds nothing.
    while app.admin().get("/api/environments/development").status != 404 {
        std::thread::yield_now();
    }
    app.admin().delete("/api/environments/development").expect_error(404, "NOT_FOUND");
    let mut dir = app.stop();
    for _ in 0..100 {
        let opened = open_stopped(&data_dir(dir.path()));
        let left =
            opened.keys::<Versions>(&[]).count() + opened.keys::<PendingDeletions>(&[]).count();
        drop(opened);
        if left == 0 {
            return;
        }
        dir = TestApp::start_in(dir, Setup::default()).stop();
    }
    panic!("data keys of a deleted environment are left");
}

/// An unreadable key among the remains of a deleted environment.
#[test]
fn an_unreadable_key_in_a_deleted_environment_does_not_keep_the_server_closed() {
    let dir = TestApp::start().stop();
    tamper(dir.path(), |db| {
        let gone = [7; 16];
        db.insert(under(b'X', &gone), vec![PendingDeletions::FORMAT]).unwrap();
        db.insert(under(b'S', &[&gone[..], b"not a key"].concat()), b"?").unwrap();
        db.insert(under(b'X', b"short"), b"?").unwrap();
    });
    expect_log("a deletion: a row of table 'X' is damaged");
    let app = TestApp::start_in(dir, Setup::default());
    app.admin().get(SECRETS).expect(200);
}

/// A var with a damaged row: its key must not be blocked forever.
#[test]
fn a_damaged_var_can_be_deleted_and_made_again() {
    let app = TestApp::start();
    let new = json!({ "key": "VAR", "value": "v" });
    let id = app.admin().post(VARS, &new).expect(200)["var"]["id"].clone();
    app.admin().post(VARS, &json!({ "key": "OTHER", "value": "v" })).expect(200);
    let environment = app.environment_id("development");
    let environment: coffer::domain::EnvironmentId = environment.parse().unwrap();
    let dir = app.stop();
    tamper(dir.path(), |db| {
        let key = under(b'V', &[&environment.to_bytes()[..], b"VAR"].concat());
        db.insert(key, b"garbage").unwrap();
        // The environment's counts are also damaged: the server counts again, once.
        db.insert(under(b'N', &environment.to_bytes()), b"garbage").unwrap();
    });
    let app = TestApp::start_in(dir, Setup::default());
    app.admin().delete(&format!("/api/vars/{}", id.as_str().unwrap())).expect(200);
    app.admin().post(VARS, &new).expect(200);
    let shown = app.admin().get("/api/environments/development").expect(200);
    assert_eq!(shown["environment"]["_count"]["vars"], 2);
    let dir = app.stop();
    support::rows_fit(&data_dir(dir.path()));
}

/// An older head restored, with one row removed.
#[test]
fn an_old_head_with_a_gap_behind_it_does_not_start() {
    let app = TestApp::start();
    let dir = app.stop();
    let old_head = {
        let mut head = None;
        tamper(dir.path(), |db| head = db.get(b"a").unwrap());
        head.unwrap()
    };
    let newest = support::audit_rows(dir.path()).len() as u64;
    support::await_release(&data_dir(dir.path()));
    let dir = TestApp::start_in(dir, Setup::default()).stop();
    tamper(dir.path(), |db| {
        db.insert(b"a", old_head).unwrap();
        db.remove(under(b'A', &(newest + 1).to_be_bytes())).unwrap().unwrap();
    });
    let ended = Launch::on(&data_dir(dir.path())).fails();
    assert!(ended.stderr.contains("comes after the head"), "{}", ended.stderr);
}

/// A request that is refused for its form still counts against the rate limit.
#[test]
fn malformed_requests_of_strangers_are_counted() {
    let mut setup = Setup::default();
    setup.config.rate_limit.anonymous_per_minute = 2;
    let app = TestApp::start_with(setup);
    let body = Some(("text/plain", &b"x"[..]));
    let statuses: Vec<_> =
        (0..4).map(|_| app.anonymous().send("POST", SECRETS, body).status).collect();
    assert_eq!(statuses, [415, 415, 429, 429]);
    // A known caller has their own limit, even on routes that need no credential.
    assert_eq!(app.admin().get("/api/no-such-route").status, 404);
}

/// A misspelled variable must not create a second root key next to the data.
#[test]
fn misspelt_variables_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (name, meant) in [
        ("COFFER_ROOT_KEY_FIEL", "COFFER_ROOT_KEY_FILE"),
        ("COFFER_ROOTKEY", "COFFER_ROOT_KEY"),
        ("COFFER_BOOTSTRAPTOKEN", "COFFER_BOOTSTRAP_TOKEN"),
        ("COFFER_LISTEN", "COFFER_SERVER__LISTEN"),
        ("COFFER_DATA_DIR", "COFFER_SERVER__DATA_DIR"),
    ] {
        let ended = Launch::on(&dir.path().join("data")).variable(name, "x").fails();
        assert_eq!(ended.code, Some(2), "{name}");
        assert!(ended.stderr.contains(meant), "{name}: {}", ended.stderr);
    }
    assert!(!dir.path().join("data").exists());
}

/// The one option that must not be lost to a typo.
#[test]
fn a_misspelt_never_reveal_is_refused() {
    let app = TestApp::start();
    for misspelt in ["neverreveal", "never_reveal", "NeverReveal", "never-reveal"] {
        let body = json!({ "key": "S", "value": "v", misspelt: true });
        let error = app.admin().post(SECRETS, &body).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], "neverReveal", "{misspelt}");
    }
    app.admin().post(SECRETS, &json!({ "key": "S", "value": "v", "else": true })).expect(200);
}

/// A start that hangs (here: on a pipe without a writer) can be stopped.
#[cfg(unix)]
#[test]
fn a_start_that_waits_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return support::skip("there is no mkfifo");
    }
    let running =
        Launch::on(&dir.path().join("data")).variable("COFFER_ROOT_KEY_FILE", &pipe).spawn();
    // The server opens the database before it looks for the key.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !dir.path().join("data/db/db").exists() {
        assert!(std::time::Instant::now() < deadline, "the database is never opened");
        std::thread::yield_now();
    }
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait().code, Some(0));
}
