//! `POST /api/auth/register`: the first user, and everyone else who tries to be the first.

use coffer::domain::{Network, Role};
use serde_json::{Value, json};
use support::accounts::*;
use support::api::{members, new_secret, new_var, text};
use support::paths::REGISTRATION;
use support::{Client, Reply, Setup, TestApp};

fn register(client: &Client, email: &str) -> Reply {
    client.post(REGISTER, &json!({ "email": email, "password": PASSWORD }))
}

fn users(app: &TestApp) -> Vec<Value> {
    app.admin().get(USERS).expect(200)["users"].as_array().unwrap().clone()
}

/// Fails unless registration is refused with a hint on what to do instead, and no user was created.
#[track_caller]
fn refused(app: &TestApp, reply: &Reply) {
    let error = reply.expect_error(401, "UNAUTHORIZED");
    let hint = text(&error, "hint").to_lowercase();
    assert!(hint.contains("token"), "{hint}");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    assert_eq!(users(app), [] as [Value; 0]);
}

#[test]
fn the_first_user_becomes_admin_of_everything_and_is_logged_in() {
    let app = start();
    let body = json!({ "email": "root@example.com", "password": PASSWORD, "name": "Root" });
    let reply = app.anonymous().post(REGISTER, &body);
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["token", "user"].into());
    let expected = json!({ "id": answer["user"]["id"], "email": "root@example.com", "name": "Root",
        "role": "admin" });
    assert_eq!(answer["user"], expected);
    assert!(set_cookies(&reply).is_empty());
    let token = text(&answer, "token");
    assert!(token.starts_with("cos_") && token.len() == 47);
    let listed = app.bearer(token).get(USERS).expect(200);
    assert_eq!(listed["users"].as_array().unwrap().len(), 1);
    let user = &listed["users"][0];
    assert_eq!((&user["role"], &user["allEnvironments"]), (&json!("admin"), &json!(true)));
    login(&app, "ROOT@example.com", PASSWORD);
}

#[test]
fn the_console_gets_its_cookie_when_it_registers() {
    let app = start();
    let reply = register(&app.anonymous().with("X-Coffer", "1"), "root@example.com");
    assert_eq!(
        reply.expect(200)["token"],
        serde_json::Value::Null,
        "scripts could read the cookie"
    );
    let cookies = set_cookies(&reply);
    assert_eq!(cookies.len(), 1);
    assert!(cookies[0].0.starts_with("coffer_session=cos_"), "{cookies:?}");
    assert!(cookies[0].1.iter().any(|one| one == "httponly"));
    assert!(cookies[0].1.iter().any(|one| one == "samesite=strict"));
}

/// Whether registration is open, as the server tells everyone.
#[track_caller]
fn is_open(app: &TestApp) -> bool {
    let client = app.anonymous();
    let answer = client.get(REGISTRATION).expect(200);
    assert_eq!(members(&answer), ["registration"].into());
    assert_eq!(members(&answer["registration"]), ["open"].into());
    for other in [app.admin(), app.bearer("garbage"), client.with("X-Forwarded-For", "::1")] {
        assert_eq!(other.get(REGISTRATION).expect(200), answer);
    }
    answer["registration"]["open"].as_bool().unwrap()
}

/// Also true while only the bootstrap token allows it: there is still no user who could log in.
#[test]
fn anyone_can_ask_whether_there_is_a_user() {
    let app = start();
    assert!(is_open(&app));
    new_secret(&app.admin(), "development", "SECRET", "v");
    assert!(is_open(&app));
    register(&app.admin(), "root@example.com").expect(200);
    assert!(!is_open(&app));
    // A disabled user, or one created by an admin, also counts.
    let app = start();
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", text(&ann, "id"));
    app.admin().patch(&path, &json!({ "disabled": true })).expect(200);
    assert!(!is_open(&app));
    app.admin().delete(&path).expect(200);
    assert!(is_open(&app));
}

#[test]
fn once_there_is_a_user_nobody_registers() {
    let app = start();
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    for client in [app.anonymous(), app.admin()] {
        register(&client, "root@example.com").expect_error(403, "FORBIDDEN_ROLE");
        register(&client, "ann@example.com").expect_error(403, "FORBIDDEN_ROLE");
    }
    // A disabled user still counts.
    let path = format!("{USERS}/{}", text(&ann, "id"));
    app.admin().patch(&path, &json!({ "disabled": true })).expect(200);
    register(&app.anonymous(), "root@example.com").expect_error(403, "FORBIDDEN_ROLE");
    assert_eq!(users(&app).len(), 1);
}

#[test]
fn what_the_first_user_says_is_checked_as_any_users() {
    let app = start();
    for (body, field) in [
        (json!({ "password": PASSWORD }), "email"),
        (json!({ "email": "", "password": PASSWORD }), "email"),
        (json!({ "email": 7, "password": PASSWORD }), "email"),
        (json!({ "email": "root@example.com" }), "password"),
        (json!({ "email": "root@example.com", "password": "eleven char" }), "password"),
        (json!({ "email": "root@example.com", "password": "x".repeat(257) }), "password"),
        (json!({ "email": "root@example.com", "password": PASSWORD, "name": 7 }), "name"),
    ] {
        let error = app.anonymous().post(REGISTER, &body).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], field, "{body}");
    }
    assert_eq!(users(&app), [] as [Value; 0]);
    // The caller cannot choose a role.
    let body = json!({ "email": "root@example.com", "password": PASSWORD, "role": "viewer",
        "allEnvironments": false, "disabled": true });
    assert_eq!(app.anonymous().post(REGISTER, &body).expect(200)["user"]["role"], "admin");
}

#[test]
fn a_request_that_came_through_a_proxy_is_not_from_this_machine() {
    let app = start();
    for (name, value) in [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-For", ""),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "coffer.example.com"),
    ] {
        refused(&app, &register(&app.anonymous().with(name, value), "root@example.com"));
    }
    let mut setup = Setup::default().cheap_hashes();
    setup.config.server.trusted_proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
    let app = TestApp::start_with(setup);
    for chain in ["198.51.100.1", "127.0.0.1", "::1", "127.0.0.1, 127.0.0.1"] {
        let client = app.anonymous().with("X-Forwarded-For", chain);
        refused(&app, &register(&client, "root@example.com"));
    }
    let told = app.admin().with("X-Forwarded-For", "198.51.100.1");
    register(&told, "root@example.com").expect(200);
}

#[test]
fn once_something_is_stored_the_bootstrap_token_is_needed() {
    let app = start();
    new_var(&app.admin(), "development", "VAR", "v");
    refused(&app, &register(&app.anonymous(), "root@example.com"));
    let app = start();
    new_secret(&app.admin(), "development", "SECRET", "v");
    refused(&app, &register(&app.anonymous(), "root@example.com"));
    register(&app.admin(), "root@example.com").expect(200);
    assert_eq!(users(&app).len(), 1);
}

#[test]
fn a_bearer_has_to_be_an_admin_of_everything() {
    let app = start();
    let home = app.environment_id("development");
    let cases = [
        (app.principal(Role::Viewer), 403, "FORBIDDEN_ROLE"),
        (app.principal(Role::Operator), 403, "FORBIDDEN_ROLE"),
        (app.scoped(Role::Admin, &[&home]), 403, "FORBIDDEN_SCOPE"),
        (app.bearer(&format!("cof_{}", "x".repeat(43))), 401, "UNAUTHORIZED"),
        (app.bearer(&format!("cos_{}", "x".repeat(43))), 401, "UNAUTHORIZED"),
    ];
    for (client, status, code) in cases {
        register(&client, "root@example.com").expect_error(status, code);
    }
    let account = service_account(&app, "bot", "admin", &everywhere());
    let bot = token_of_account(&app, text(&account, "id"), "operator", &everywhere());
    register(&bot.client, "root@example.com").expect_error(403, "FORBIDDEN_ROLE");
    assert_eq!(users(&app), [] as [Value; 0]);
}
