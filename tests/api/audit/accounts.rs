//! What the audit log records about logins, users, service accounts, sessions and tokens, and what
//! it must never contain.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::TestApp;
use support::accounts::*;
use support::api::text;

/// The only row with this action.
#[track_caller]
fn only_row(app: &TestApp, action: &str) -> Value {
    let rows = rows(app, &format!("action={action}"));
    assert_eq!(rows.len(), 1, "{action}: {rows:#?}");
    rows[0].clone()
}

/// The actor: a user with a session and no token.
#[track_caller]
fn by_user(row: &Value, id: &str, email: &str) {
    assert_eq!(row["userId"], id, "{row}");
    assert_eq!(row["apiTokenId"], Value::Null, "{row}");
    assert_eq!(row["serviceAccountId"], Value::Null, "{row}");
    assert_eq!((&row["user"]["id"], &row["user"]["email"]), (&json!(id), &json!(email)), "{row}");
}

#[track_caller]
fn on(row: &Value, kind: &str, id: &str) {
    assert_eq!((&row["resourceType"], &row["resourceId"]), (&json!(kind), &json!(id)), "{row}");
    assert_eq!((&row["success"], &row["error"]), (&json!(true), &Value::Null), "{row}");
    assert_eq!(row["environmentId"], Value::Null, "{row}");
}

#[test]
fn a_registration_leaves_a_row() {
    let app = start();
    let body = json!({ "email": "root@example.com", "password": PASSWORD });
    let answer = app.anonymous().with("X-Request-Id", "mine").post(REGISTER, &body).expect(200);
    let row = only_row(&app, "auth.register");
    assert_eq!((&row["success"], &row["requestId"]), (&json!(true), &json!("mine")));
    assert_eq!(row["ip"], "127.0.0.1");
    assert!(row.to_string().contains(text(&answer["user"], "id")), "{row}");
}

#[test]
fn good_logins_and_logouts_leave_rows_of_their_user() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    ann.client.send("POST", LOGOUT, None).expect(200);
    for action in ["auth.login", "auth.logout"] {
        let row = only_row(&app, action);
        assert_eq!((&row["success"], &row["error"]), (&json!(true), &Value::Null));
        by_user(&row, &ann.id, "ann@example.com");
        assert_eq!(row["ip"], "127.0.0.1");
    }
}

#[test]
fn a_bad_login_leaves_a_row_that_names_the_account_only_if_there_is_one() {
    let app = start();
    let ann = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let nobody = app.anonymous();
    let known = nobody.with("X-Request-Id", "known");
    try_login(&known, "ANN@example.com", WRONG).expect_error(401, "UNAUTHORIZED");
    let unknown = nobody.with("X-Request-Id", "unknown");
    // A user may type a password into the wrong field.
    try_login(&unknown, "typed-by-mistake@example.com", WRONG).expect_error(401, "UNAUTHORIZED");
    let found = rows(&app, "action=auth.login&success=false");
    assert_eq!(found.len(), 2);
    let of = |id: &str| found.iter().find(|row| row["requestId"] == id).unwrap();
    for row in &found {
        assert_eq!((&row["error"], &row["success"]), (&json!("UNAUTHORIZED"), &json!(false)));
        assert_eq!(row["ip"], "127.0.0.1");
        let said = row.to_string().to_lowercase();
        assert!(!said.contains("typed-by-mistake") && !said.contains("incorrect"), "{row}");
    }
    assert!(of("known").to_string().contains(text(&ann, "id")), "{}", of("known"));
    assert!(!of("unknown").to_string().contains("usr_"), "{}", of("unknown"));
    assert_eq!(of("unknown")["userId"], Value::Null);
    assert_eq!(rows(&app, "success=false").len(), 2);
}

#[test]
fn each_change_of_a_user_leaves_a_row_with_the_names_of_what_changed() {
    let app = start();
    let home = app.environment_id("development");
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let body = user_body("ann@example.com", "viewer", &everywhere());
    let made = root.client.post(USERS, &body).expect(200);
    let id = text(&made["user"], "id").to_owned();
    let path = format!("{USERS}/{id}");
    let row = rows(&app, "action=user.create")[0].clone();
    on(&row, "user", &id);
    by_user(&row, &root.id, "root@example.com");
    for (patch, names) in [
        (json!({ "name": "Ann" }), vec!["name"]),
        (json!({ "role": "operator", "disabled": true }), vec!["disabled", "role"]),
        (json!({ "disabled": false }), vec!["disabled"]),
    ] {
        root.client.patch(&path, &patch).expect(200);
        let row = rows(&app, "action=user.update")[0].clone();
        on(&row, "user", &id);
        by_user(&row, &root.id, "root@example.com");
        assert_eq!(changed(&row), names);
    }
    root.client.patch(&path, &only(&[&home])).expect(200);
    let names = changed(&rows(&app, "action=user.update")[0]);
    let of_scope = |name: &String| ["allEnvironments", "environmentIds"].contains(&name.as_str());
    assert!(!names.is_empty() && names.iter().all(of_scope), "{names:?}");
    let change = json!({ "newPassword": "another long password" });
    root.client.post(&format!("{path}/change-password"), &change).expect(200);
    let row = only_row(&app, "user.change-password");
    on(&row, "user", &id);
    assert!(!row.to_string().contains("another long"), "{row}");
    root.client.delete(&path).expect(200);
    let row = only_row(&app, "user.delete");
    on(&row, "user", &id);
    by_user(&row, &root.id, "root@example.com");
}

#[test]
fn rows_outlive_the_user_they_name() {
    let app = start();
    let ann = person(&app, "ann@example.com", "operator", &everywhere());
    let new = json!({ "key": "A", "value": "v" });
    ann.client.post("/api/environments/development/secrets", &new).expect(200);
    app.admin().delete(&ann.path()).expect(200);
    let row = only_row(&app, "secret.create");
    by_user(&row, &ann.id, "ann@example.com");
    assert!(!row["actorName"].is_null());
    let found = rows(&app, &format!("userId={}&action=secret.create", ann.id));
    assert_eq!(found, [row]);
}

#[test]
fn a_wrong_present_password_leaves_a_row_without_it() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let change = json!({ "currentPassword": WRONG, "newPassword": "another long password" });
    ann.client.post(&ann.change_password(), &change).expect_error(400, "VALIDATION_ERROR");
    let all = rows(&app, "success=false");
    assert_eq!(all.len(), 1, "{all:#?}");
    assert!(all[0].to_string().contains(&ann.id));
    assert!(!all[0].to_string().contains("horse") && !all[0].to_string().contains("another"));
}

#[test]
fn each_change_of_a_service_account_leaves_a_row() {
    let app = start();
    let account = service_account(&app, "bot", "viewer", &everywhere());
    let id = text(&account, "id");
    let path = format!("{ACCOUNTS}/{id}");
    let row = only_row(&app, "service-account.create");
    on(&row, "service-account", id);
    assert_eq!(row["resourceName"], "bot");
    assert_eq!(row["actorName"], "bootstrap");
    let patch = json!({ "description": "text of it", "role": "operator" });
    app.admin().patch(&path, &patch).expect(200);
    let row = only_row(&app, "service-account.update");
    on(&row, "service-account", id);
    assert_eq!(changed(&row), ["description", "role"]);
    app.admin().delete(&path).expect(200);
    on(&only_row(&app, "service-account.delete"), "service-account", id);
}

#[test]
fn making_and_deleting_a_token_leaves_rows_without_it() {
    let app = start();
    let root = person(&app, "root@example.com", "admin", &everywhere());
    let body = with(json!({ "name": "ci", "role": "viewer" }), &everywhere());
    let minted = mint_as(&app, &root.client, &body);
    let row = rows(&app, "action=token.create")[0].clone();
    on(&row, "token", &minted.id);
    by_user(&row, &root.id, "root@example.com");
    assert_eq!(row["resourceName"], "ci");
    root.client.delete(&format!("{TOKENS}/{}", minted.id)).expect(200);
    let row = only_row(&app, "token.delete");
    on(&row, "token", &minted.id);
    let log = app.admin().get("/api/audit-logs?limit=1000").text();
    assert!(!log.contains(&minted.token[12..]) && !log.contains(&root.token[12..]));
}

#[test]
fn revoking_sessions_leaves_rows() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    login(&app, "ann@example.com", PASSWORD);
    let listed = ann.client.get(&ann.sessions()).expect(200);
    let other = listed["sessions"].as_array().unwrap().iter().find(|s| s["current"] == false);
    let other = text(other.unwrap(), "id").to_owned();
    ann.client.delete(&format!("{}/{other}", ann.sessions())).expect(200);
    let row = only_row(&app, "session.delete");
    by_user(&row, &ann.id, "ann@example.com");
    assert!(row.to_string().contains(&other), "{row}");
    app.admin().delete(&ann.sessions()).expect(200);
    assert!(rows(&app, "action=session.delete").len() >= 2);
}

#[test]
fn a_token_acts_as_its_owner_by_its_own_id() {
    let app = start();
    let ann = new_user(&app, "ann@example.com", "operator", &everywhere());
    let bot = service_account(&app, "bot", "operator", &everywhere());
    let of_ann = token_of(&app, text(&ann, "id"), "operator", &everywhere());
    let of_bot = token_of_account(&app, text(&bot, "id"), "operator", &everywhere());
    let write = |minted: &Minted, key: &str| {
        let new = json!({ "key": key, "value": "v" });
        minted.client.post("/api/environments/development/secrets", &new).expect(200);
        let row = rows(&app, "action=secret.create")[0].clone();
        assert_eq!(row["apiTokenId"], minted.id.as_str());
        row
    };
    let row = write(&of_ann, "A");
    assert_eq!((&row["userId"], &row["serviceAccountId"]), (&ann["id"], &Value::Null));
    assert_eq!(row["user"]["email"], "ann@example.com");
    let row = write(&of_bot, "B");
    assert_eq!((&row["userId"], &row["serviceAccountId"]), (&Value::Null, &bot["id"]));
    assert_eq!(row["user"], Value::Null);
}

#[test]
fn refusals_for_role_and_scope_leave_rows() {
    let app = start();
    let home = app.environment_id("development");
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    let scoped = app.scoped(Role::Admin, &[&home]);
    let account = service_account(&app, "bot", "viewer", &everywhere());
    let account = format!("{ACCOUNTS}/{}", text(&account, "id"));
    for (client, code) in [(&ann.client, "FORBIDDEN_ROLE"), (&scoped, "FORBIDDEN_SCOPE")] {
        for (method, path, action) in [
            ("GET", USERS, "user.list"),
            ("POST", USERS, "user.create"),
            ("GET", ACCOUNTS, "service-account.list"),
            ("POST", ACCOUNTS, "service-account.create"),
            ("GET", &account, "service-account.read"),
            ("DELETE", &account, "service-account.delete"),
            ("GET", TOKENS, "token.list"),
            ("POST", TOKENS, "token.create"),
        ] {
            let id = format!("{}-{}", code, action.replace('.', "-"));
            client.with("X-Request-Id", &id).send(method, path, None).expect_error(403, code);
            let row = rows(&app, &format!("action={action}&success=false"))[0].clone();
            assert_eq!((&row["error"], &row["requestId"]), (&json!(code), &json!(id)));
        }
    }
}

#[test]
fn the_chain_holds_over_all_of_it() {
    let app = start();
    let ann = person(&app, "ann@example.com", "viewer", &everywhere());
    token_of(&app, &ann.id, "viewer", &everywhere());
    try_login(&app.anonymous(), "nobody@example.com", WRONG).expect_error(401, "UNAUTHORIZED");
    app.admin().delete(&ann.path()).expect(200);
    let answer = app.admin().get("/api/audit-logs/verification").expect(200);
    assert_eq!(answer["verification"]["intact"], true);
    let dir = app.stop();
    support::rows_fit(&support::data_dir(dir.path()));
    assert!(support::audit_rows(dir.path()).len() >= 6);
}
