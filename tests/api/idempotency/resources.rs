//! Section 11 of the contract: a repeated POST gets the first answer again.

use coffer::domain::{Role, Scope, Timestamp};
use coffer::store::{IdempotencyChunks, IdempotencyRecords, IdempotencyTimes, View};
use serde_json::{Value, json};
use support::paths::{SECRETS, VARS};
use support::{Client, Reply, Setup, TestApp, data_dir, open_stopped};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

fn keyed(client: &Client, key: &str) -> Client {
    client.with("Idempotency-Key", key)
}

fn new(key: &str) -> Value {
    json!({ "key": key, "value": "the value" })
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == Some("true")
}

/// The second response is identical to the first.
#[track_caller]
fn check_replay(first: &Reply, second: &Reply) {
    assert_eq!((first.status, second.status), (200, 200), "{}", second.text());
    assert!(!replayed(first) && replayed(second));
    assert_eq!(first.body, second.body);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

fn rows(app: &TestApp, action: &str) -> u64 {
    let answer = app.admin().get(&format!("/api/audit-logs?action={action}")).expect(200);
    answer["total"].as_u64().unwrap()
}

#[test]
fn every_kind_of_post_is_done_once_and_answered_twice() {
    let app = TestApp::start();
    let admin = app.admin();
    let created = admin.post(SECRETS, &new("FIRST")).expect(200);
    let id = created["secret"]["id"].as_str().unwrap();
    let activate = format!("/api/secrets/{id}/versions/1/activate");
    let reset = "/api/environments/development/settings/configuration/reset".to_owned();
    let big = json!({ "key": "BIG", "value": "\u{1}".repeat(20_000) });
    for (n, (path, body, action)) in [
        (SECRETS.to_owned(), new("SECOND"), "secret.create"),
        (VARS.to_owned(), big, "var.create"),
        ("/api/environments".to_owned(), json!({ "name": "other" }), "environment.create"),
        (activate, json!({}), "secret.activate"),
        (reset, json!({}), "settings.reset"),
    ]
    .into_iter()
    .enumerate()
    {
        let client = keyed(&admin, &format!("key {n}"));
        let before = rows(&app, action);
        let first = client.post(&path, &body);
        let second = client.post(&path, &body);
        check_replay(&first, &second);
        assert_eq!(rows(&app, action), before + 1, "{action} happens once");
    }
}

#[test]
fn a_replay_comes_over_a_restart_and_shows_what_was_true_then() {
    let app = TestApp::start();
    let client = keyed(&app.admin(), "k");
    let first = client.post(SECRETS, &new("A"));
    let id = first.expect(200)["secret"]["id"].as_str().unwrap().to_owned();
    let patch = json!({ "value": "another", "description": "new" });
    app.admin().patch(&format!("/api/secrets/{id}"), &patch).expect(200);
    let app = TestApp::start_in(app.stop(), Setup::default());
    check_replay(&first, &keyed(&app.admin(), "k").post(SECRETS, &new("A")));
}

#[test]
fn another_request_with_the_same_key_is_refused_and_does_nothing() {
    let app = TestApp::start();
    let client = keyed(&app.admin(), "k");
    client.post(SECRETS, &new("A")).expect(200);
    for (path, body) in [(SECRETS, new("B")), (VARS, new("A"))] {
        let error = client.post(path, &body).expect_error(409, "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(error["field"], "Idempotency-Key");
    }
    let count = app.admin().get("/api/environments/development").expect(200);
    assert_eq!(count["environment"]["_count"], json!({ "secrets": 1, "vars": 0 }));
}

#[test]
fn failures_are_not_kept() {
    let app = TestApp::start();
    let client = keyed(&app.admin(), "k");
    client.post(SECRETS, &json!({ "key": "A" })).expect_error(400, "VALIDATION_ERROR");
    assert!(!replayed(&client.post(SECRETS, &new("A"))));
    let taken = keyed(&app.admin(), "other");
    taken.post(SECRETS, &new("A")).expect_error(409, "CONFLICT");
    let id = app.admin().get(SECRETS).expect(200)["secrets"][0]["id"].as_str().unwrap().to_owned();
    app.admin().delete(&format!("/api/secrets/{id}")).expect(200);
    let again = taken.post(SECRETS, &new("A"));
    again.expect(200);
    assert!(!replayed(&again));
}

#[test]
fn two_principals_using_one_key_do_not_meet() {
    let app = TestApp::start();
    let (one, two) = (app.principal(Role::Operator), app.principal(Role::Operator));
    keyed(&one, "k").post(SECRETS, &new("A")).expect(200);
    keyed(&two, "k").post(SECRETS, &new("A")).expect_error(409, "CONFLICT");
    let other = keyed(&two, "k").post(SECRETS, &new("B"));
    other.expect(200);
    assert!(!replayed(&other));
}

#[test]
fn an_expired_credential_replays_nothing() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let clock = app.clock.clone().unwrap();
    let expires = Timestamp::from_millis(coffer::domain::Clock::now(&*clock).millis() + 1000);
    let token = app.token(Role::Operator, Scope::All, Some(expires));
    let client = keyed(&app.bearer(&token), "k");
    client.post(SECRETS, &new("A")).expect(200);
    clock.advance_millis(1000);
    client.post(SECRETS, &new("A")).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn after_a_day_the_request_is_a_new_one_and_old_receipts_go() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let clock = app.clock.clone().unwrap();
    let admin = app.admin();
    for n in 0..20 {
        keyed(&admin, &format!("{n}")).post(SECRETS, &new(&format!("K{n}"))).expect(200);
    }
    clock.advance_millis(DAY_MILLIS - 1);
    assert!(replayed(&keyed(&admin, "0").post(SECRETS, &new("K0"))));
    clock.advance_millis(1);
    keyed(&admin, "0").post(SECRETS, &new("K0")).expect_error(409, "CONFLICT");
    for n in 0..3 {
        keyed(&admin, &format!("new {n}")).post(SECRETS, &new(&format!("N{n}"))).expect(200);
    }
    let dir = app.stop();
    let opened = open_stopped(&data_dir(dir.path()));
    assert_eq!(opened.keys::<IdempotencyRecords>(&[]).count(), 3);
    assert_eq!(opened.keys::<IdempotencyTimes>(&[]).count(), 3);
    assert_eq!(opened.keys::<IdempotencyChunks>(&[]).count(), 3);
}

#[test]
fn of_many_at_once_one_is_done() {
    let app = TestApp::start();
    let client = keyed(&app.admin(), "k");
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|_| scope.spawn(|| client.post("/api/environments", &json!({ "name": "one" }))))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let done = replies.iter().filter(|reply| reply.status == 200 && !replayed(reply)).count();
    assert_eq!(done, 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let error = reply.expect_error(409, "CONFLICT");
        assert_eq!(error["field"], "Idempotency-Key", "{error}");
    }
    assert_eq!(rows(&app, "environment.create"), 1);
}

#[test]
fn the_header_has_a_form_and_is_for_post_only() {
    let app = TestApp::start();
    let admin = app.admin();
    for bad in ["", &"x".repeat(201)] {
        let error =
            keyed(&admin, bad).post(SECRETS, &new("A")).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], "Idempotency-Key");
    }
    let twice = keyed(&keyed(&admin, "a"), "b").post(SECRETS, &new("A"));
    twice.expect_error(400, "VALIDATION_ERROR");
    let longest = keyed(&admin, &"x".repeat(200)).post(SECRETS, &new("A"));
    let id = longest.expect(200)["secret"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/secrets/{id}");
    let client = keyed(&admin, "k");
    client.patch(&path, &json!({ "value": "2" })).expect(200);
    let second = client.patch(&path, &json!({ "value": "2" })).expect(200);
    assert_eq!(second["secret"]["version"], 3, "a PATCH is applied each time");
}

#[test]
fn authorization_comes_before_the_replay_and_the_body_after_it() {
    let app = TestApp::start();
    let viewer = keyed(&app.principal(Role::Viewer), "k");
    viewer.post(SECRETS, &new("A")).expect_error(403, "FORBIDDEN_ROLE");
    keyed(&app.anonymous(), "k").post(SECRETS, &new("A")).expect_error(401, "UNAUTHORIZED");
    let admin = keyed(&app.admin(), "k");
    admin.post(SECRETS, &new("A")).expect(200);
    let malformed = admin.send("POST", SECRETS, Some(("application/json", b"{")));
    malformed.expect_error(409, "IDEMPOTENCY_KEY_REUSED");
}

#[test]
fn neither_the_value_nor_the_key_is_in_the_files() {
    let app = TestApp::start();
    let body = json!({ "key": "A", "value": "canary-value-0123", "neverReveal": true });
    keyed(&app.admin(), "canary-key-0123").post(SECRETS, &body).expect(200);
    let dir = app.stop();
    let log = std::fs::read(data_dir(dir.path()).join("db/db")).unwrap();
    for canary in ["canary-value-0123", "canary-key-0123"] {
        assert!(!log.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
    }
}
