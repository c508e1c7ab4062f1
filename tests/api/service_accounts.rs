//! `/api/admin/service-accounts`: section 9 of the contract.

use serde_json::{Value, json};
use support::TestApp;
use support::accounts::*;
use support::api::{is_time, members, text};

fn body(more: &Value) -> Value {
    with(with(json!({ "name": "deploy-bot" }), &everywhere()), more)
}

fn path(account: &Value) -> String {
    format!("{ACCOUNTS}/{}", text(account, "id"))
}

#[track_caller]
fn refused(app: &TestApp, body: &Value, field: &str) {
    let error = app.admin().post(ACCOUNTS, body).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["field"], field, "{body}: {error}");
}

#[test]
fn a_service_account_has_exactly_the_members_of_the_contract_in_every_answer() {
    let app = start();
    let answer =
        app.admin().post(ACCOUNTS, &body(&json!({ "description": "Deploys" }))).expect(200);
    assert_eq!(members(&answer), ["serviceAccount"].into());
    let account = &answer["serviceAccount"];
    let expected = "id name description role allEnvironments environmentIds disabled createdAt \
        updatedAt createdBy _count";
    assert_eq!(members(account), expected.split_whitespace().collect());
    assert_eq!(account["name"], "deploy-bot");
    assert_eq!(account["description"], "Deploys");
    assert_eq!(account["role"], "viewer");
    assert_eq!(account["allEnvironments"], true);
    assert_eq!(account["environmentIds"], json!([]));
    assert_eq!(account["disabled"], false);
    assert_eq!(account["_count"], json!({ "apiTokens": 0 }));
    is_time(text(account, "createdAt"));
    assert_eq!(account["createdAt"], account["updatedAt"]);
    assert_eq!(app.admin().get(&path(account)).expect(200), answer);
    let listed = app.admin().get(ACCOUNTS).expect(200);
    assert_eq!(listed, json!({ "serviceAccounts": [account] }));
    let patched = app.admin().patch(&path(account), &json!({})).expect(200);
    assert_eq!(members(&patched), ["serviceAccount"].into());
    let deleted = app.admin().delete(&path(account)).expect(200);
    assert_eq!(deleted, json!({ "success": true }));
    assert_eq!(app.admin().get(ACCOUNTS).expect(200), json!({ "serviceAccounts": [] }));
}

#[test]
fn service_accounts_are_listed_by_name_and_counted_by_token() {
    let app = start();
    for name in ["m", "b", "z", "0a", "a_b"] {
        service_account(&app, name, "viewer", &everywhere());
    }
    let list = || app.admin().get(ACCOUNTS).expect(200)["serviceAccounts"].clone();
    let names: Vec<_> = list().as_array().unwrap().iter().map(|a| a["name"].clone()).collect();
    assert_eq!(names, ["0a", "a_b", "b", "m", "z"]);
    let id = text(&list()[2], "id").to_owned();
    let first = token_of_account(&app, &id, "viewer", &everywhere());
    token_of_account(&app, &id, "viewer", &everywhere());
    assert_eq!(list()[2]["_count"], json!({ "apiTokens": 2 }));
    app.admin().delete(&format!("{TOKENS}/{}", first.id)).expect(200);
    assert_eq!(list()[2]["_count"], json!({ "apiTokens": 1 }));
    let counts: Vec<_> = list().as_array().unwrap().iter().map(|a| a["_count"].clone()).collect();
    assert_eq!(counts[0], json!({ "apiTokens": 0 }));
    let one = app.admin().get(&format!("{ACCOUNTS}/{id}")).expect(200);
    assert_eq!(one["serviceAccount"]["_count"], json!({ "apiTokens": 1 }));
}

#[test]
fn a_name_keeps_its_rule() {
    let app = start();
    for name in ["a", "0", "a-b_c", &"x".repeat(64)] {
        service_account(&app, name, "viewer", &everywhere());
    }
    for name in ["", "A", "-a", "_a", "a b", "a.b", "é", "a\n", "a\u{0}", &"x".repeat(65)] {
        refused(&app, &body(&json!({ "name": name })), "name");
    }
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    let app = start_in(&["one", "two"]);
    let one = app.environment_id("one");
    refused(&app, &everywhere(), "name");
    refused(&app, &json!({ "name": "bot" }), "allEnvironments");
    for (more, field) in [
        (json!({ "name": 7 }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "description": 7 }), "description"),
        (json!({ "description": "x".repeat(1001) }), "description"),
        (json!({ "role": "root" }), "role"),
        (json!({ "role": 7 }), "role"),
        (json!({ "allEnvironments": "yes" }), "allEnvironments"),
        (json!({ "allEnvironments": false }), "environmentIds"),
        (json!({ "environmentIds": [one] }), "environmentIds"),
        (json!({ "allEnvironments": false, "environmentIds": [one, "x"] }), "environmentIds.1"),
    ] {
        refused(&app, &body(&more), field);
    }
    assert_eq!(app.admin().get(ACCOUNTS).expect(200)["serviceAccounts"], json!([]));
    let longest = body(&json!({ "description": "é".repeat(1000), "unknown": [1] }));
    app.admin().post(ACCOUNTS, &longest).expect(200);
    for (number, none) in [json!(null), json!("")].into_iter().enumerate() {
        let body = body(&json!({ "name": format!("bot{number}"), "description": none }));
        let made = app.admin().post(ACCOUNTS, &body).expect(200);
        assert_eq!(made["serviceAccount"]["description"], Value::Null);
    }
}

#[test]
fn a_name_is_used_once() {
    let app = start();
    let first = service_account(&app, "deploy-bot", "viewer", &everywhere());
    let error = app.admin().post(ACCOUNTS, &body(&json!({}))).expect_error(409, "CONFLICT");
    assert_eq!(error["message"], "Service account already exists");
    assert_eq!(error["field"], "name");
    app.admin().delete(&path(&first)).expect(200);
    let second = service_account(&app, "deploy-bot", "viewer", &everywhere());
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let app = start_with_clock();
    let home = app.environment_id("development");
    let first = service_account(&app, "deploy-bot", "viewer", &everywhere());
    let mut before = first.clone();
    for (patch, after) in [
        (json!({ "description": "Deploys" }), json!({ "description": "Deploys" })),
        (json!({ "role": "admin" }), json!({ "role": "admin" })),
        (json!({ "disabled": true }), json!({ "disabled": true })),
        (json!({ "disabled": false }), json!({ "disabled": false })),
        (only(&[&home]), json!({ "allEnvironments": false, "environmentIds": [home] })),
        (everywhere(), json!({ "allEnvironments": true, "environmentIds": [] })),
        (json!({ "description": "" }), json!({ "description": null })),
    ] {
        advance_seconds(&app, 1);
        let now = app.admin().patch(&path(&first), &patch).expect(200)["serviceAccount"].clone();
        assert_ne!(now["updatedAt"], before["updatedAt"], "{patch}");
        let expected = with(before.clone(), &after);
        assert_eq!(now, with(expected, &json!({ "updatedAt": now["updatedAt"] })), "{patch}");
        before = now;
    }
    for (patch, field) in [
        (json!({ "description": 7 }), "description"),
        (json!({ "role": "root" }), "role"),
        (json!({ "disabled": 1 }), "disabled"),
        (json!({ "environmentIds": ["none"] }), "environmentIds.0"),
        (json!({ "allEnvironments": false }), "environmentIds"),
    ] {
        let error = app.admin().patch(&path(&first), &patch).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], field, "{patch}");
    }
    assert_eq!(app.admin().get(&path(&first)).expect(200)["serviceAccount"], before);
}

#[test]
fn read_only_members_are_refused_before_the_row_is_looked_up() {
    let app = start();
    let account = service_account(&app, "deploy-bot", "viewer", &everywhere());
    for member in ["id", "name", "createdAt", "updatedAt"] {
        for path in [path(&account), format!("{ACCOUNTS}/none")] {
            let mut patch = json!({ "description": "changed" });
            patch[member] = account[member].clone();
            let error = app.admin().patch(&path, &patch).expect_error(422, "READONLY_FIELD");
            assert_eq!(error["field"], member);
            let message = format!("Field \"{member}\" is read-only and cannot be set via PATCH.");
            assert_eq!(error["message"], message);
        }
    }
    assert_eq!(app.admin().get(&path(&account)).expect(200)["serviceAccount"], account);
}

#[test]
fn a_service_account_that_is_not_there_is_not_found() {
    let app = start();
    let account = service_account(&app, "deploy-bot", "viewer", &everywhere());
    let id = text(&account, "id");
    for id in [&missing_like(id), "deploy-bot", "x", "%00", &id.to_lowercase()] {
        let path = format!("{ACCOUNTS}/{id}");
        app.admin().get(&path).expect_error(404, "NOT_FOUND");
        app.admin().patch(&path, &json!({ "disabled": true })).expect_error(404, "NOT_FOUND");
        app.admin().delete(&path).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn only_an_admin_of_everything_has_to_do_with_them() {
    let app = start();
    let home = app.environment_id("development");
    let account = service_account(&app, "deploy-bot", "admin", &everywhere());
    let of_itself = |role| token_of_account(&app, text(&account, "id"), role, &everywhere()).client;
    let person = |email, role, scope| person(&app, email, role, &scope).client;
    for (client, code) in [
        (person("v@example.com", "viewer", everywhere()), "FORBIDDEN_ROLE"),
        (person("o@example.com", "operator", everywhere()), "FORBIDDEN_ROLE"),
        (person("a@example.com", "admin", only(&[&home])), "FORBIDDEN_SCOPE"),
        // A service account has no access to itself.
        (of_itself("viewer"), "FORBIDDEN_ROLE"),
        (of_itself("operator"), "FORBIDDEN_ROLE"),
    ] {
        client.get(ACCOUNTS).expect_error(403, code);
        client.post(ACCOUNTS, &body(&json!({ "name": "new" }))).expect_error(403, code);
        client.get(&path(&account)).expect_error(403, code);
        client.patch(&path(&account), &json!({ "description": "x" })).expect_error(403, code);
        client.delete(&path(&account)).expect_error(403, code);
    }
    let root = person("root@example.com", "admin", everywhere());
    root.get(&path(&account)).expect(200);
    let made = root.post(ACCOUNTS, &body(&json!({ "name": "new" }))).expect(200);
    assert!(!made["serviceAccount"]["createdBy"].is_null());
    root.delete(&path(&account)).expect(200);
}

#[test]
fn the_tokens_of_a_service_account_end_as_those_of_a_user() {
    let app = start();
    let roles = ["viewer", "operator", "admin"];
    let left = |patch: Option<Value>| {
        let account = service_account(&app, "deploy-bot", "admin", &everywhere());
        let id = text(&account, "id");
        let tokens = roles.map(|role| token_of_account(&app, id, role, &everywhere()));
        assert!(tokens.iter().all(|minted| works(&minted.client)));
        match patch {
            Some(patch) => app.admin().patch(&path(&account), &patch).expect(200),
            None => app.admin().delete(&path(&account)).expect(200),
        };
        let left = tokens.iter().map(|minted| works(&minted.client)).collect::<Vec<_>>();
        // Nothing restores a deleted account.
        app.admin().patch(&path(&account), &json!({ "disabled": false, "role": "admin" }));
        assert_eq!(tokens.iter().map(|m| works(&m.client)).collect::<Vec<_>>(), left);
        app.admin().delete(&path(&account));
        assert!(!tokens.iter().any(|minted| works(&minted.client)));
        left
    };
    assert_eq!(left(Some(json!({ "role": "operator" }))), [true, true, false]);
    assert_eq!(left(Some(json!({ "role": "viewer" }))), [true, false, false]);
    assert_eq!(left(Some(json!({ "disabled": true }))), [false; 3]);
    assert_eq!(left(Some(json!({ "description": "x" }))), [true; 3]);
    assert_eq!(left(None), [false; 3]);
}

#[test]
fn a_token_of_a_service_account_says_so_about_itself() {
    let app = start();
    let account = service_account(&app, "deploy-bot", "operator", &everywhere());
    let id = text(&account, "id");
    let minted = token_of_account(&app, id, "viewer", &everywhere());
    let me = minted.client.get(ME).expect(200);
    let user = &me["user"];
    assert_eq!((&user["id"], &user["serviceAccountId"]), (&json!(id), &json!(id)));
    assert_eq!((&user["email"], &user["name"]), (&Value::Null, &json!("deploy-bot")));
    assert_eq!(user["apiTokenId"], minted.id.as_str());
    assert_eq!(me["role"], "viewer");
}

#[test]
fn head_answers_as_get_and_another_method_is_told_the_allowed_ones() {
    let app = start();
    let account = service_account(&app, "deploy-bot", "viewer", &everywhere());
    for (path, methods) in
        [(ACCOUNTS.to_owned(), ["GET", "POST"]), (path(&account), ["GET", "PATCH"])]
    {
        let reply = app.admin().send("PUT", &path, None);
        reply.expect_error(405, "METHOD_NOT_ALLOWED");
        let allow = reply.header("allow").unwrap_or_default();
        assert!(methods.iter().all(|method| allow.contains(method)), "{path}: {allow}");
        assert_eq!(app.admin().head(&path).status, 200);
        assert_eq!(app.anonymous().head(&path).status, 401);
    }
}
