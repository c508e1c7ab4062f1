//! Passwords: their rules, how they change, and who may change whose. What a change revokes is in
//! `revocation.rs`, how attempts are slowed down in `../auth/login_limits.rs`.

use serde_json::{Value, json};
use support::accounts::*;
use support::api::text;
use support::{Client, Setup, TestApp};

const NEW: &str = "another long password";

/// A server that allows any number of wrong passwords.
fn start() -> TestApp {
    TestApp::start_with(Setup::default().cheap_hashes().any_logins())
}

#[track_caller]
fn wrong_login(app: &TestApp, email: &str, password: &str) {
    try_login(&app.anonymous(), email, password).expect_error(401, "UNAUTHORIZED");
}

/// Passwords at the limits of the rules, and whether they are accepted. Characters are Unicode
/// scalar values, not bytes or graphemes.
fn edges() -> Vec<(String, bool)> {
    vec![
        (String::new(), false),
        ("x".repeat(11), false),
        ("x".repeat(12), true),
        ("é".repeat(11), false),
        ("é".repeat(12), true),
        ("\u{1F511}".repeat(11), false),
        ("\u{1F511}".repeat(12), true),
        ("e\u{301}".repeat(6), true),
        (" ".repeat(12), true),
        ("\u{0}\n\t\"\\ middle \u{7f}\u{feff}".to_owned(), true),
        ("x".repeat(256), true),
        ("\u{1F511}".repeat(256), true),
        ("x".repeat(257), false),
        ("é".repeat(257), false),
        ("x".repeat(100_000), false),
    ]
}

#[test]
fn a_password_has_12_to_256_characters_when_a_user_is_made() {
    let app = start();
    for (number, (password, good)) in edges().into_iter().enumerate() {
        let email = format!("{number}@example.com");
        let body = with(user_body(&email, "viewer", &everywhere()), &json!({"password": password}));
        let reply = app.admin().post(USERS, &body);
        if good {
            reply.expect(200);
            login(&app, &email, &password);
        } else {
            let error = reply.expect_error(400, "VALIDATION_ERROR");
            assert_eq!(error["field"], "password", "{number}");
        }
    }
}

#[test]
fn a_password_has_12_to_256_characters_when_it_is_changed() {
    let app = start();
    let ann = text(&new_user(&app, "ann@example.com", "viewer", &everywhere()), "id").to_owned();
    let path = format!("{USERS}/{ann}/change-password");
    let mut last = PASSWORD.to_owned();
    for (password, good) in edges() {
        let reply = app.admin().post(&path, &json!({ "newPassword": password }));
        if good {
            assert_eq!(reply.expect(200), json!({ "success": true }));
            last = password;
        } else {
            let error = reply.expect_error(400, "VALIDATION_ERROR");
            assert_eq!(error["field"], "newPassword");
        }
        login(&app, "ann@example.com", &last);
    }
}

#[test]
fn a_password_is_compared_to_its_end() {
    let app = start();
    let long = "x".repeat(255);
    let body = json!({ "password": format!("{long}y") });
    let body = with(user_body("ann@example.com", "viewer", &everywhere()), &body);
    app.admin().post(USERS, &body).expect(200);
    login(&app, "ann@example.com", &format!("{long}y"));
    wrong_login(&app, "ann@example.com", &format!("{long}z"));
    wrong_login(&app, "ann@example.com", &long);
    // If the server cut passwords at a NUL, these would be equal.
    let body = json!({ "password": "before the nul\u{0}behind" });
    let body = with(user_body("bob@example.com", "viewer", &everywhere()), &body);
    app.admin().post(USERS, &body).expect(200);
    wrong_login(&app, "bob@example.com", "before the nul");
    wrong_login(&app, "bob@example.com", "before the nul\u{0}other");
}

#[test]
fn a_user_who_changes_their_own_password_has_to_know_it() {
    let app = start();
    for role in ["viewer", "admin"] {
        let email = format!("{role}@example.com");
        let ann = person(&app, &email, role, &everywhere());
        let path = ann.change_password();
        for (body, field) in [
            (json!({ "newPassword": NEW }), "currentPassword"),
            (json!({ "newPassword": NEW, "currentPassword": null }), "currentPassword"),
            (json!({ "newPassword": NEW, "currentPassword": 7 }), "currentPassword"),
            (json!({ "newPassword": NEW, "currentPassword": WRONG }), "currentPassword"),
            (json!({ "newPassword": NEW, "currentPassword": "" }), "currentPassword"),
            (json!({ "currentPassword": PASSWORD }), "newPassword"),
            (json!({ "newPassword": 7, "currentPassword": PASSWORD }), "newPassword"),
            (json!({ "newPassword": "short", "currentPassword": PASSWORD }), "newPassword"),
        ] {
            let error = ann.client.post(&path, &body).expect_error(400, "VALIDATION_ERROR");
            assert_eq!(error["field"], field, "{role} {body}");
        }
        assert!(works(&ann.client), "a failed change must not end the session");
        let change = json!({ "newPassword": NEW, "currentPassword": PASSWORD, "extra": 1 });
        assert_eq!(ann.client.post(&path, &change).expect(200), json!({ "success": true }));
        assert!(!works(&ann.client));
        login(&app, &email, NEW);
        wrong_login(&app, &email, PASSWORD);
    }
}

#[test]
fn an_admin_changes_anothers_password_without_knowing_it_and_stays_logged_in() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let minted = token_of(&app, &ann.id, "viewer", &everywhere());
    let change = json!({ "newPassword": NEW });
    root.client.post(&ann.change_password(), &change).expect(200);
    assert!(works(&root.client) && !works(&ann.client) && !works(&minted.client));
    login(&app, "ann@example.com", NEW);
    wrong_login(&app, "ann@example.com", PASSWORD);
    let change = json!({ "newPassword": PASSWORD });
    app.admin().post(&ann.change_password(), &change).expect(200);
    login(&app, "ann@example.com", PASSWORD);
}

#[test]
fn nobody_else_changes_a_password_not_even_with_the_present_one() {
    let app = start();
    let home = app.environment_id("development");
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let stranger = |email: &str, role: &str, scope: Value| -> Client {
        person(&app, email, role, &scope).client
    };
    let cases = [
        (stranger("v@example.com", "viewer", everywhere()), 403, "FORBIDDEN_ROLE"),
        (stranger("o@example.com", "operator", everywhere()), 403, "FORBIDDEN_ROLE"),
        (stranger("a@example.com", "admin", only(&[&home])), 403, "FORBIDDEN_SCOPE"),
        (token_of(&app, &ann.id, "viewer", &everywhere()).client, 403, "FORBIDDEN_ROLE"),
        (app.anonymous(), 401, "UNAUTHORIZED"),
    ];
    let change = json!({ "newPassword": NEW, "currentPassword": PASSWORD });
    for (client, status, code) in cases {
        client.post(&ann.change_password(), &change).expect_error(status, code);
    }
    assert!(works(&ann.client));
    login(&app, "ann@example.com", PASSWORD);
}

#[test]
fn two_users_with_one_password_are_stored_differently() {
    let app = start();
    for email in ["ann@example.com", "bob@example.com"] {
        new_user(&app, email, "viewer", &everywhere());
    }
    let dir = app.stop();
    let database = std::fs::read(support::data_dir(dir.path()).join("db/db")).unwrap();
    let start = b"$argon2id$";
    let hashes: std::collections::BTreeSet<_> =
        database.windows(90).filter(|window| window.starts_with(start)).collect();
    // If hashes are stored in another form, this finds none, which is fine; it must not find one
    // hash for both users.
    assert_ne!(hashes.len(), 1, "two users share a salt");
}
