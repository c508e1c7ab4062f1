//! Logging in and out, how a session ends, and the list of sessions: sections 3 and 4 of the
//! contract. The cookie is tested in `cookie.rs`.

use serde_json::{Value, json};
use support::accounts::*;
use support::api::{is_time, members, text};
use support::paths::ENVIRONMENTS;
use support::{Client, Setup, TestApp};

#[test]
fn a_login_shows_the_token_and_who_it_is_and_sets_no_cookie_unasked() {
    let app = start();
    let user = new_user(&app, "ann@example.com", "operator", &everywhere());
    let reply = try_login(&app.anonymous(), "ann@example.com", PASSWORD);
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["token", "user"].into());
    let token = text(&answer, "token");
    let tail = token.strip_prefix("cos_").expect("a session's prefix");
    assert_eq!(tail.len(), 43);
    assert!(tail.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    let expected =
        json!({ "id": user["id"], "email": "ann@example.com", "name": null, "role": "operator" });
    assert_eq!(answer["user"], expected);
    assert_eq!(reply.header("set-cookie"), None);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(works(&app.bearer(token)));
    assert_ne!(login(&app, "ann@example.com", PASSWORD), token, "each login creates a session");
    assert!(works(&app.bearer(token)), "a login must not end other sessions");
}

#[test]
fn the_case_of_the_address_does_not_count_and_that_of_the_password_does() {
    let app = start();
    new_user(&app, "Ann@Example.com", "viewer", &everywhere());
    for email in ["ann@example.com", "ANN@EXAMPLE.COM", "Ann@Example.com"] {
        login(&app, email, PASSWORD);
    }
    for password in
        ["Correct horse battery", " correct horse battery", "correct horse battery ", ""]
    {
        // An empty password may also be refused as malformed.
        let status = try_login(&app.anonymous(), "ann@example.com", password).status;
        assert!(status == 401 || password.is_empty() && status == 400, "{password:?}: {status}");
    }
}

#[test]
fn a_wrong_login_is_answered_the_same_whatever_was_wrong_with_it() {
    let app = TestApp::start_with(Setup::default().cheap_hashes().any_logins());
    new_user(&app, "ann@example.com", "viewer", &everywhere());
    let off = new_user(&app, "off@example.com", "operator", &everywhere());
    let gone = new_user(&app, "gone@example.com", "viewer", &everywhere());
    let path = |user: &Value| format!("{USERS}/{}", text(user, "id"));
    app.admin().patch(&path(&off), &json!({ "disabled": true })).expect(200);
    app.admin().delete(&path(&gone)).expect(200);
    let nobody = app.anonymous();
    let expected = try_login(&nobody, "nobody@example.com", PASSWORD);
    let error = expected.expect_error(401, "UNAUTHORIZED");
    assert_eq!(error["message"], "Wrong email address or password.");
    assert_eq!(error.get("field"), None);
    assert_eq!(expected.header("www-authenticate"), Some("Bearer"));
    for (email, password) in [
        ("ann@example.com", WRONG),
        ("off@example.com", PASSWORD),
        ("off@example.com", WRONG),
        ("gone@example.com", PASSWORD),
    ] {
        let reply = try_login(&nobody, email, password);
        assert_eq!(visible(&reply), visible(&expected), "{email}");
    }
    // Text that cannot be an email address may be refused for its form; it must never log anyone
    // in.
    for email in ["ann@example.com\u{0}", "bootstrap", ""] {
        let status = try_login(&nobody, email, PASSWORD).status;
        assert!([400, 401].contains(&status), "{email:?}: {status}");
    }
}

#[test]
fn a_login_needs_an_address_and_a_password_that_are_texts() {
    let app = start();
    for (body, field) in [
        (json!({ "password": PASSWORD }), "email"),
        (json!({ "email": "ann@example.com" }), "password"),
        (json!({ "email": 7, "password": PASSWORD }), "email"),
        (json!({ "email": "ann@example.com", "password": [PASSWORD] }), "password"),
        (json!({ "email": "ann@example.com", "password": null }), "password"),
    ] {
        let error = app.anonymous().post(LOGIN, &body).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], field, "{body}");
    }
    let malformed = app.anonymous().send("POST", LOGIN, Some(("application/json", b"{")));
    malformed.expect_error(400, "VALIDATION_ERROR");
    let typed = app.anonymous().send("POST", LOGIN, Some(("text/plain", b"{}")));
    typed.expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    for (path, method) in [(LOGIN, "GET"), (LOGOUT, "GET"), (REGISTER, "GET"), (ME, "POST")] {
        let reply = app.admin().send(method, path, None);
        reply.expect_error(405, "METHOD_NOT_ALLOWED");
        let allow = reply.header("allow").unwrap_or_default();
        assert!(allow.contains(if path == ME { "GET" } else { "POST" }), "{allow}");
    }
    assert_eq!(app.admin().head(ME).status, 200);
}

#[test]
fn a_logout_ends_this_session_and_no_other() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let other = app.bearer(&login(&app, "ann@example.com", PASSWORD));
    let minted = token_of(&app, &ann.id, "viewer", &everywhere());
    let answer = ann.client.send("POST", LOGOUT, None).expect(200);
    assert_eq!(answer, json!({ "success": true }));
    assert!(!works(&ann.client) && works(&other) && works(&minted.client));
    ann.client.send("POST", LOGOUT, None).expect_error(401, "UNAUTHORIZED");
    app.anonymous().send("POST", LOGOUT, None).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn a_token_is_not_a_session_that_could_be_logged_out_of() {
    let app = start();
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let account = service_account(&app, "bot", "viewer", &everywhere());
    let tokens = [
        app.admin(),
        token_of(&app, text(&ann, "id"), "viewer", &everywhere()).client,
        token_of_account(&app, text(&account, "id"), "viewer", &everywhere()).client,
    ];
    for client in tokens {
        client.send("POST", LOGOUT, None).expect_error(409, "CONFLICT");
        assert!(works(&client));
    }
}

#[test]
fn me_says_who_a_session_is_and_what_it_can_do() {
    let app = start_in(&["one", "two"]);
    let (one, two) = (app.environment_id("one"), app.environment_id("two"));
    let sorted = |list: &Value| {
        let mut list: Vec<_> = list.as_array().unwrap().clone();
        list.sort_by_key(Value::to_string);
        list
    };
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let me = root.client.get(ME).expect(200);
    assert_eq!(members(&me), ["user", "role", "environments", "scopes"].into());
    let user = &me["user"];
    assert_eq!((&user["id"], &user["email"]), (&json!(root.id), &json!("root@example.com")));
    assert_eq!((&user["name"], &user["role"]), (&Value::Null, &json!("admin")));
    assert!(user["apiTokenId"].is_null() && user["serviceAccountId"].is_null());
    assert_eq!(user["scope"]["allEnvironments"], true);
    assert_eq!(me["role"], "admin");
    assert_eq!(sorted(&me["environments"]), sorted(&json!([one, two])));
    let every = "admin:* environments:read environments:write secrets:read secrets:reveal \
        secrets:write tokens:manage";
    let every: Vec<_> = every.split_whitespace().map(|scope| json!(scope)).collect();
    assert_eq!(sorted(&me["scopes"]), every);
    let scopes_of = |client: &Client| {
        let me = client.get(ME).expect(200);
        assert_eq!(me["environments"], json!([one]));
        let scope = json!({ "allEnvironments": false, "environmentIds": [one] });
        assert_eq!(me["user"]["scope"], scope);
        sorted(&me["scopes"])
    };
    let ann = person(&app, "ann@example.com", "viewer", &only(&[&one]));
    assert_eq!(scopes_of(&ann.client), ["environments:read", "secrets:read"]);
    let dan = person(&app, "dan@example.com", "operator", &only(&[&one]));
    assert_eq!(scopes_of(&dan.client), ["environments:read", "secrets:read", "secrets:write"]);
    let scoped = person(&app, "scoped@example.com", "admin", &only(&[&one]));
    let scopes = scopes_of(&scoped.client);
    assert!(scopes.contains(&json!("secrets:reveal")));
    assert!(!scopes.contains(&json!("admin:*")) && !scopes.contains(&json!("tokens:manage")));
    app.anonymous().get(ME).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn a_session_ends_when_it_has_idled_too_long() {
    let app = start_with_clock();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    // The last use is only written now and then, so the test allows a margin of minutes.
    for _ in 0..3 {
        advance_seconds(&app, 58 * 60);
        ann.client.get(ENVIRONMENTS).expect(200);
    }
    advance_seconds(&app, 60 * 60);
    ann.client.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    ann.client.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
    let listed = app.admin().get(&ann.sessions()).expect(200);
    assert_eq!(listed["sessions"], json!([]), "ended sessions must not be listed");
}

#[test]
fn a_session_ends_after_its_hours_however_busy_it_was() {
    let mut setup = Setup::default().cheap_hashes().with_test_clock();
    setup.config.auth.session_hours = 2;
    let app = TestApp::start_with(setup);
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    for _ in 0..7 {
        advance_seconds(&app, 17 * 60);
        assert!(works(&ann.client));
    }
    advance_seconds(&app, 60 - 1);
    assert!(works(&ann.client));
    advance_seconds(&app, 1);
    ann.client.get(ENVIRONMENTS).expect_error(401, "UNAUTHORIZED");
}

#[test]
fn the_idle_time_is_that_of_the_configuration_and_goes_on_over_a_restart() {
    let setup = |after: i64| {
        let mut setup = Setup::default().cheap_hashes().with_test_clock();
        setup.config.auth.session_idle_minutes = 5;
        setup.clock.as_ref().unwrap().advance_millis(after);
        setup
    };
    let app = TestApp::start_with(setup(0));
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let other = login(&app, "ann@example.com", PASSWORD);
    let app = TestApp::start_in(app.stop(), setup(3 * 60_000));
    assert!(works(&app.bearer(&ann.token)));
    let app = TestApp::start_in(app.stop(), setup(6 * 60_000));
    assert!(works(&app.bearer(&ann.token)));
    assert!(!works(&app.bearer(&other)));
}

#[test]
fn a_session_is_shown_with_where_it_came_from_and_never_with_its_token() {
    let app = start_with_clock();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    advance_seconds(&app, 60);
    let browser = app.anonymous().with("User-Agent", "Browser/1.0 (test)");
    let second = try_login(&browser, "ann@example.com", PASSWORD).expect(200);
    let second = text(&second, "token").to_owned();
    let reply = ann.client.get(&ann.sessions());
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["sessions"].into());
    let listed = answer["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    for session in listed {
        let expected = "id createdAt lastUsedAt expiresAt ip userAgent current";
        assert_eq!(members(session), expected.split_whitespace().collect());
        is_time(text(session, "createdAt"));
        is_time(text(session, "expiresAt"));
        assert!(session["expiresAt"].as_str() > session["createdAt"].as_str());
        assert_eq!(session["ip"], "127.0.0.1");
    }
    assert!(text(&listed[0], "createdAt") > text(&listed[1], "createdAt"), "newest first");
    assert_eq!(listed[0]["userAgent"], "Browser/1.0 (test)");
    assert_eq!(listed[1]["userAgent"], Value::Null);
    assert_eq!((&listed[0]["current"], &listed[1]["current"]), (&json!(false), &json!(true)));
    for token in [&ann.token, &second] {
        assert!(!reply.text().contains(&token[12..]), "a token is in the list");
    }
    let by_admin = app.admin().get(&ann.sessions()).expect(200);
    let by_admin = by_admin["sessions"].as_array().unwrap();
    assert!(by_admin.iter().all(|session| session["current"] == json!(false)));
}

fn session_ids(client: &Client, ann: &Person) -> Vec<String> {
    let listed = client.get(&ann.sessions()).expect(200);
    let listed = listed["sessions"].as_array().unwrap();
    listed.iter().map(|session| text(session, "id").to_owned()).collect()
}

#[test]
fn sessions_are_revoked_one_by_one_or_all_together() {
    let app = start_with_clock();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let bob = person(&app, "bob@example.com", "viewer", &everywhere());
    let mut others = Vec::new();
    for _ in 0..3 {
        advance_seconds(&app, 1);
        others.push(app.bearer(&login(&app, "ann@example.com", PASSWORD)));
    }
    let newest = session_ids(&ann.client, &ann)[0].clone();
    let path = format!("{}/{newest}", ann.sessions());
    assert_eq!(ann.client.delete(&path).expect(200), json!({ "success": true }));
    assert!(!works(&others[2]) && works(&others[1]) && works(&ann.client));
    ann.client.delete(&path).expect_error(404, "NOT_FOUND");
    app.admin().delete(&format!("{}/none", ann.sessions())).expect_error(404, "NOT_FOUND");
    let newest = session_ids(&ann.client, &ann)[0].clone();
    app.admin().delete(&format!("{}/{newest}", ann.sessions())).expect(200);
    assert!(!works(&others[1]) && works(&others[0]));
    assert_eq!(ann.client.delete(&ann.sessions()).expect(200), json!({ "success": true }));
    assert!(!works(&others[0]) && !works(&ann.client), "every session must be revoked");
    assert!(works(&bob.client), "another user's session must not be revoked");
    app.admin().delete(&bob.sessions()).expect(200);
    assert!(!works(&bob.client));
}

#[test]
fn somebody_elses_sessions_are_out_of_reach() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let bob = person(&app, "bob@example.com", "operator", &everywhere());
    let home = app.environment_id("development");
    let scoped = person(&app, "scoped@example.com", "admin", &only(&[&home]));
    let anns = session_ids(&ann.client, &ann)[0].clone();
    for (stranger, code) in [(&bob, "FORBIDDEN_ROLE"), (&scoped, "FORBIDDEN_SCOPE")] {
        let session = format!("{}/{anns}", ann.sessions());
        stranger.client.get(&ann.sessions()).expect_error(403, code);
        stranger.client.delete(&ann.sessions()).expect_error(403, code);
        stranger.client.delete(&session).expect_error(403, code);
        // The session is not found under the stranger's own path.
        let session = format!("{}/{anns}", stranger.sessions());
        stranger.client.delete(&session).expect_error(404, "NOT_FOUND");
    }
    let mismatched = format!("{}/{anns}", bob.sessions());
    app.admin().delete(&mismatched).expect_error(404, "NOT_FOUND");
    assert!(works(&ann.client));
}
