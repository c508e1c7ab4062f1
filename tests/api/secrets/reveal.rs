//! Secrets: revealing a value, and refusing to.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use coffer::audit::{Action, Row};
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{new_secret, new_var, parallel, reveal, text};
use support::paths::{SECRETS, SETTINGS};
use support::{Client, Setup, TestApp, audit_rows};

fn value_path(item: &Value) -> String {
    format!("/api/secrets/{}/value", text(item, "id"))
}

fn new_hidden(client: &Client, key: &str, value: &str) -> Value {
    let body = json!({ "key": key, "value": value, "neverReveal": true });
    client.post(SECRETS, &body).expect(200)["secret"].clone()
}

fn allow(client: &Client, allowed: bool) {
    client.patch(SETTINGS, &json!({ "allowSecretReveal": allowed })).expect(200);
}

fn reveals(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.draft.action == Action::SecretReveal).collect()
}

#[test]
fn an_admin_gets_the_value_and_nothing_else_and_nothing_changes() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let id = app.environment_id("development");
    let made = new_secret(&app.admin(), "development", "KEY", "the value");
    app.clock.as_ref().unwrap().advance_millis(1_000);
    for client in [app.admin(), app.principal(Role::Admin), app.scoped(Role::Admin, &[&id])] {
        let reply = client.get(&value_path(&made));
        assert_eq!(reply.expect(200), json!({ "value": "the value" }));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let read = app.admin().get(&format!("/api/secrets/{}", text(&made, "id"))).expect(200);
    assert_eq!(read["secret"], made);
}

#[test]
fn nobody_but_an_admin_may_reveal() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let other = app.environment_id("other");
    let made = new_secret(&app.admin(), "development", "KEY", "canary");
    let path = value_path(&made);
    for role in [Role::Operator, Role::Viewer] {
        let reply = app.principal(role).get(&path);
        reply.expect_error(403, "FORBIDDEN_ROLE");
        assert!(!reply.text().contains("canary"));
    }
    app.scoped(Role::Admin, &[&other]).get(&path).expect_error(404, "NOT_FOUND");
    app.anonymous().get(&path).expect_error(401, "UNAUTHORIZED");
    let rows = audit_rows(app.stop().path());
    let told: Vec<_> =
        reveals(&rows).iter().map(|row| row.draft.error.as_deref().unwrap()).collect();
    assert_eq!(told[..2], ["FORBIDDEN_ROLE"; 2]);
    assert!(told.iter().all(|code| *code != "SECRET_WRITE_ONLY"));
}

#[test]
fn the_switch_of_the_environment_is_looked_at_before_the_latch_of_the_secret() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let admin = app.admin();
    let open = new_secret(&admin, "development", "OPEN", "v");
    let hidden = new_hidden(&admin, "HIDDEN", "v");
    let elsewhere = new_secret(&admin, "other", "OPEN", "v");
    let code = |item: &Value| {
        let reply = admin.get(&value_path(item));
        if reply.status == 200 {
            "granted".to_owned()
        } else {
            text(&reply.expect(403), "code").to_owned()
        }
    };
    for _ in 0..2 {
        assert_eq!([code(&open), code(&hidden)], ["granted", "SECRET_WRITE_ONLY"]);
        allow(&admin, false);
        assert_eq!([code(&open), code(&hidden)], ["REVEAL_DISABLED", "REVEAL_DISABLED"]);
        assert_eq!(code(&elsewhere), "granted");
        // The setting applies to new and old secrets alike.
        let late = new_secret(&admin, "development", "LATE", "v");
        assert_eq!(code(&late), "REVEAL_DISABLED");
        admin.delete(&format!("/api/secrets/{}", text(&late, "id"))).expect(200);
        allow(&admin, true);
    }
}

#[test]
fn every_reveal_is_audited_whether_granted_or_refused_and_why() {
    let app = TestApp::start();
    let environment = app.environment_id("development");
    let root = app.admin();
    let open = new_secret(&root, "development", "OPEN", "canary");
    let hidden = new_hidden(&root, "HIDDEN", "canary");
    let (admin, operator) = (app.principal(Role::Admin), app.principal(Role::Operator));
    let ask = |client: &Client, id: &str, item: &Value| {
        client.with("X-Request-Id", id).get(&value_path(item)).status
    };
    assert_eq!(ask(&admin, "r-granted", &open), 200);
    assert_eq!(ask(&admin, "r-hidden", &hidden), 403);
    assert_eq!(ask(&operator, "r-role", &open), 403);
    allow(&root, false);
    assert_eq!(ask(&admin, "r-switch", &hidden), 403);
    let rows = audit_rows(app.stop().path());
    assert!(!format!("{rows:?}").contains("canary"));
    let expected = [
        ("r-granted", &open, None, "test admin"),
        ("r-hidden", &hidden, Some("SECRET_WRITE_ONLY"), "test admin"),
        ("r-role", &open, Some("FORBIDDEN_ROLE"), "test operator"),
        ("r-switch", &hidden, Some("REVEAL_DISABLED"), "test admin"),
    ];
    let found = reveals(&rows);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (row, (request, item, error, who)) in found.into_iter().zip(expected) {
        let draft = &row.draft;
        assert_eq!(draft.request_id.as_deref(), Some(request));
        assert_eq!(draft.error.as_deref(), error);
        assert_eq!(draft.resource.id.as_deref(), Some(text(item, "id")));
        assert_eq!(draft.actor.name, who);
        assert!(draft.actor.token.is_some());
        assert_eq!(draft.ip.as_deref(), Some("127.0.0.1"));
        let label = draft.environment.as_ref().unwrap();
        assert_eq!(
            (label.id.to_string(), label.name.as_str()),
            (environment.clone(), "development")
        );
        if error != Some("FORBIDDEN_ROLE") {
            assert_eq!(draft.resource.name.as_deref(), Some(text(item, "key")));
        }
    }
}

#[test]
fn head_and_other_methods_reveal_nothing_and_are_not_taken_for_a_reveal() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "canary");
    let path = value_path(&made);
    let head = admin.head(&path);
    assert_eq!((head.status, head.header("allow")), (405, Some("GET")));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let reply = admin.send(method, &path, None);
        reply.expect_error(405, "METHOD_NOT_ALLOWED");
        assert_eq!(reply.header("allow"), Some("GET"), "{method}");
        assert!(!reply.text().contains("canary"));
    }
    let rows = audit_rows(app.stop().path());
    assert!(reveals(&rows).is_empty());
}

#[test]
fn what_is_not_a_secret_has_no_value_to_reveal() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let var = new_var(&admin, "development", "VAR", "v");
    admin.delete(&format!("/api/secrets/{}", text(&made, "id"))).expect(200);
    for id in [text(&made, "id"), text(&var, "id"), "KEY", "nowhere", "%00"] {
        admin.get(&format!("/api/secrets/{id}/value")).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn a_latch_outlives_a_restart() {
    let app = TestApp::start();
    let made = new_secret(&app.admin(), "development", "KEY", "v");
    let latch = json!({ "neverReveal": true });
    app.admin().patch(&format!("/api/secrets/{}", text(&made, "id")), &latch).expect(200);
    let app = TestApp::start_in(app.stop(), Setup::default());
    app.admin().get(&value_path(&made)).expect_error(403, "SECRET_WRITE_ONLY");
}

/// Threads reveal the value continuously while `change` forbids it. A reveal that starts after
/// `change` has returned must be refused, and nothing may be revealed after the first refusal.
fn race(app: &TestApp, path: &str, code: &str, change: impl Fn() + Sync) {
    let admin = app.admin();
    let (answered, granted) = (AtomicBool::new(false), AtomicU64::new(0));
    parallel(7, |number| {
        if number == 0 {
            while granted.load(Ordering::SeqCst) < 10 {
                std::thread::yield_now();
            }
            change();
            answered.store(true, Ordering::SeqCst);
            return;
        }
        let (mut refused, mut asked_after) = (false, 0);
        while asked_after < 3 {
            let after = answered.load(Ordering::SeqCst);
            asked_after += u32::from(after);
            let reply = admin.get(path);
            if reply.status == 200 {
                assert!(!after, "revealed after the change that forbids it");
                assert!(!refused, "revealed after a refusal");
                granted.fetch_add(1, Ordering::SeqCst);
            } else {
                reply.expect_error(403, code);
                refused = true;
            }
        }
        assert!(refused);
    });
}

#[test]
fn a_latch_that_was_answered_is_never_overtaken_by_a_reveal() {
    let app = TestApp::start();
    let admin = app.admin();
    let mut made = Vec::new();
    for round in 0..10 {
        let item = new_secret(&admin, "development", &format!("K{round}"), "v");
        let path = format!("/api/secrets/{}", text(&item, "id"));
        race(&app, &value_path(&item), "SECRET_WRITE_ONLY", || {
            admin.patch(&path, &json!({ "neverReveal": true })).expect(200);
        });
        made.push(text(&item, "id").to_owned());
    }
    // The log agrees: no reveal is granted after the row of the change.
    let rows = audit_rows(app.stop().path());
    for id in made {
        let about: Vec<_> =
            rows.iter().filter(|row| row.draft.resource.id.as_ref() == Some(&id)).collect();
        let latch = about.iter().position(|row| row.draft.action == Action::SecretUpdate).unwrap();
        assert!(reveals(&rows).len() >= 100);
        for row in &about[..latch] {
            assert_eq!(row.draft.error, None);
        }
        for row in &about[latch + 1..] {
            assert_eq!(row.draft.error.as_deref(), Some("SECRET_WRITE_ONLY"));
        }
    }
}

#[test]
fn a_switch_that_was_thrown_is_never_overtaken_by_a_reveal() {
    let app = TestApp::start();
    let admin = app.admin();
    let item = new_secret(&admin, "development", "KEY", "v");
    for _ in 0..5 {
        race(&app, &value_path(&item), "REVEAL_DISABLED", || allow(&admin, false));
        allow(&admin, true);
        assert_eq!(reveal(&admin, text(&item, "id")), "v");
    }
}

#[test]
fn a_reveal_is_never_older_than_an_update_that_was_answered() {
    let app = TestApp::start();
    let admin = app.admin();
    let item = new_secret(&admin, "development", "KEY", "1");
    let path = format!("/api/secrets/{}", text(&item, "id"));
    let (answered, done) = (AtomicU64::new(1), AtomicBool::new(false));
    parallel(5, |number| {
        if number > 0 {
            while !done.load(Ordering::SeqCst) {
                let least = answered.load(Ordering::SeqCst);
                let value = reveal(&admin, text(&item, "id"));
                let digits = value.trim_end_matches('.');
                assert!(digits.parse::<u64>().unwrap() >= least, "{digits} after {least}");
                // Values of several pieces: no piece may belong to another value.
                assert!(value.len() == digits.len() || value.len() == 9_000 + digits.len());
            }
            return;
        }
        for version in 2..=60 {
            let value = version.to_string() + &".".repeat(if version % 2 == 0 { 9_000 } else { 0 });
            let reply = admin.patch(&path, &json!({ "value": value }));
            done.store(reply.status != 200, Ordering::SeqCst);
            reply.expect(200);
            answered.store(version, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// A directory that other programs are unlikely to write to: the test measures its free space,
/// which must not change by itself.
fn quiet_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

#[test]
fn nothing_is_revealed_while_the_audit_row_cannot_be_written() {
    const MARGIN: u64 = 24 << 20;

    let dir = quiet_dir();
    let app = TestApp::start_in(dir, Setup::default());
    let item = new_secret(&app.admin(), "development", "KEY", "canary");
    let dir = app.stop();

    let stat = rustix::fs::statvfs(dir.path()).unwrap();
    let mut setup = Setup::default();
    setup.parts.store.min_free_bytes = stat.f_bavail * stat.f_frsize - MARGIN;
    let app = TestApp::start_in(dir, setup);
    let admin = app.admin();
    assert_eq!(reveal(&admin, text(&item, "id")), "canary");
    let ballast = app.data_dir().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    for _ in 0..2 {
        file.write_all(&vec![1; MARGIN as usize]).unwrap();
    }
    file.sync_all().unwrap();
    drop(file);
    support::expect_log("SERVICE_UNAVAILABLE");
    let reply = admin.with("X-Request-Id", "r-full").get(&value_path(&item));
    reply.expect_error(503, "SERVICE_UNAVAILABLE");
    assert!(!reply.text().contains("canary"));
    // A granted reveal leaves a row, so it is refused when no row can be written. Requests that
    // need no row still work.
    admin.get(SECRETS).expect(200);
    fs::remove_file(&ballast).unwrap();
    assert_eq!(reveal(&admin, text(&item, "id")), "canary");
    let rows = audit_rows(app.stop().path());
    assert_eq!(reveals(&rows).len(), 2);
}
