//! Idempotency-Key on routes that create accounts: a user and a service account are created once; a
//! token is created once and shown once.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::accounts::*;
use support::api::{parallel, text};
use support::{Client, Reply, Setup, TestApp};

fn keyed(client: &Client, key: &str) -> Client {
    client.with("Idempotency-Key", key)
}

#[track_caller]
fn check_replay(first: &Reply, second: &Reply) {
    assert_eq!((first.status, second.status), (200, 200), "{} {}", first.text(), second.text());
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(first.body, second.body);
}

fn count(app: &TestApp, path: &str, list: &str) -> usize {
    app.admin().get(path).expect(200)[list].as_array().unwrap().len()
}

fn token_body() -> Value {
    with(json!({ "name": "ci", "role": "viewer" }), &everywhere())
}

/// Fails unless the reply refuses the request because its answer, which showed a token, is no
/// longer kept.
#[track_caller]
fn shown_before(reply: &Reply, token: &str) {
    let error = reply.expect_error(409, "CONFLICT");
    assert!(!text(&error, "hint").is_empty(), "{error}");
    for piece in [&token[12..], "cof_"] {
        assert!(!reply.text().contains(piece), "{error}");
    }
}

#[test]
fn a_user_is_made_once_and_answered_twice() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    let body = user_body("ann@example.com", "viewer", &everywhere());
    let first = client.post(USERS, &body);
    check_replay(&first, &client.post(USERS, &body));
    assert_eq!(count(&app, USERS, "users"), 1);
    assert_eq!(rows(&app, "action=user.create").len(), 1);
    let app = TestApp::start_in(app.stop(), Setup::default().cheap_hashes());
    check_replay(&first, &keyed(&app.admin(), "k").post(USERS, &body));
    // A different password makes a different request, even if the response would be the same.
    let other = with(body, &json!({ "password": "another long password" }));
    let reply = keyed(&app.admin(), "k").post(USERS, &other);
    reply.expect_error(409, "IDEMPOTENCY_KEY_REUSED");
    login(&app, "ann@example.com", PASSWORD);
}

#[test]
fn a_service_account_is_made_once_and_answered_twice() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    let body = with(json!({ "name": "bot" }), &everywhere());
    let first = client.post(ACCOUNTS, &body);
    check_replay(&first, &client.post(ACCOUNTS, &body));
    assert_eq!(count(&app, ACCOUNTS, "serviceAccounts"), 1);
    assert_eq!(rows(&app, "action=service-account.create").len(), 1);
    let other = with(body, &json!({ "role": "admin" }));
    client.post(ACCOUNTS, &other).expect_error(409, "IDEMPOTENCY_KEY_REUSED");
}

#[test]
fn failures_are_not_kept() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    client.post(USERS, &json!({})).expect_error(400, "VALIDATION_ERROR");
    let body = user_body("ann@example.com", "viewer", &everywhere());
    let first = client.post(USERS, &body);
    first.expect(200);
    assert_eq!(first.header("idempotent-replayed"), None);
    let taken = keyed(&app.admin(), "other");
    taken.post(USERS, &body).expect_error(409, "CONFLICT");
    taken.post(USERS, &body).expect_error(409, "CONFLICT");
}

#[test]
fn a_token_is_not_shown_again_and_no_second_one_is_made() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    let token = text(&client.post(TOKENS, &token_body()).expect(200), "token").to_owned();
    let made = rows(&app, "action=token.create&success=true").len();
    for _ in 0..3 {
        shown_before(&client.post(TOKENS, &token_body()), &token);
    }
    assert_eq!(count(&app, TOKENS, "tokens"), 2, "this token and that of the first start");
    assert!(works(&app.bearer(&token)), "the first token must still work");
    let other = with(token_body(), &json!({ "role": "admin" }));
    client.post(TOKENS, &other).expect_error(409, "IDEMPOTENCY_KEY_REUSED");
    let app = TestApp::start_in(app.stop(), Setup::default().cheap_hashes());
    shown_before(&keyed(&app.admin(), "k").post(TOKENS, &token_body()), &token);
    assert_eq!(count(&app, TOKENS, "tokens"), 2);
    assert_eq!(rows(&app, "action=token.create&success=true").len(), made);
}

#[test]
fn a_token_that_was_revoked_is_not_made_again_by_a_replay() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    let minted = mint_as(&app, &client, &token_body());
    app.admin().delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
    shown_before(&client.post(TOKENS, &token_body()), &minted.token);
    assert_eq!(count(&app, TOKENS, "tokens"), 1);
}

#[test]
fn of_many_at_once_one_token_is_made_and_shown_to_one() {
    let app = start();
    let client = keyed(&app.admin(), "k");
    let replies = parallel(16, |_| client.post(TOKENS, &token_body()));
    let shown: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(shown.len(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.expect_error(409, "CONFLICT");
        assert!(!reply.text().contains("cof_"));
    }
    assert_eq!(count(&app, TOKENS, "tokens"), 2);
}

#[test]
fn authorization_comes_before_the_replay() {
    let app = start();
    let home = app.environment_id("development");
    let body = user_body("ann@example.com", "viewer", &everywhere());
    let paths = [(USERS, body.clone()), (ACCOUNTS, json!({})), (TOKENS, token_body())];
    for (path, body) in paths {
        let viewer = keyed(&app.principal(Role::Viewer), "k");
        viewer.post(path, &body).expect_error(403, "FORBIDDEN_ROLE");
        let scoped = keyed(&app.scoped(Role::Admin, &[&home]), "k");
        scoped.post(path, &body).expect_error(403, "FORBIDDEN_SCOPE");
        keyed(&app.anonymous(), "k").post(path, &body).expect_error(401, "UNAUTHORIZED");
    }
}

#[test]
fn a_change_of_password_is_done_once() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let client = keyed(&app.admin(), "k");
    let change = json!({ "newPassword": "another long password" });
    let first = client.post(&ann.change_password(), &change);
    first.expect(200);
    let session = app.bearer(&login(&app, "ann@example.com", "another long password"));
    check_replay(&first, &client.post(&ann.change_password(), &change));
    assert!(works(&session), "the replay must not end a session created after the change");
}
