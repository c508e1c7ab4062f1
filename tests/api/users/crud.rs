//! `/api/users`: sections 3 and 9 of the contract.

use serde_json::{Value, json};
use support::TestApp;
use support::accounts::*;
use support::api::{is_time, members, new_environment, text};

/// A body that creates a user, with these members added or replaced.
fn body(more: &Value) -> Value {
    with(user_body("ann@example.com", "viewer", &everywhere()), more)
}

/// The field that a 400 blames.
#[track_caller]
fn refused(app: &TestApp, body: &Value, field: &str) {
    let error = app.admin().post(USERS, body).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["field"], field, "{body}: {error}");
}

fn without(mut body: Value, member: &str) -> Value {
    body.as_object_mut().unwrap().remove(member);
    body
}

#[test]
fn a_user_has_exactly_the_members_of_the_contract_in_every_answer() {
    let app = start();
    let reply = app.admin().post(USERS, &body(&json!({ "name": "Ann" })));
    let answer = reply.expect(200);
    assert_eq!(members(&answer), ["user"].into());
    let user = &answer["user"];
    let expected = "id email name role allEnvironments environmentIds disabled lastActiveAt \
        createdAt updatedAt";
    assert_eq!(members(user), expected.split_whitespace().collect());
    assert_eq!(user["email"], "ann@example.com");
    assert_eq!(user["name"], "Ann");
    assert_eq!(user["role"], "viewer");
    assert_eq!(user["allEnvironments"], true);
    assert_eq!(user["environmentIds"], json!([]));
    assert_eq!(user["disabled"], false);
    assert_eq!(user["lastActiveAt"], Value::Null);
    is_time(text(user, "createdAt"));
    assert_eq!(user["createdAt"], user["updatedAt"]);
    let path = format!("{USERS}/{}", text(user, "id"));
    assert_eq!(app.admin().get(&path).expect(200), answer);
    assert_eq!(app.admin().get(USERS).expect(200), json!({ "users": [user] }));
    let patched = app.admin().patch(&path, &json!({})).expect(200);
    assert_eq!(members(&patched), ["user"].into());
    assert_eq!(patched["user"]["createdAt"], user["createdAt"]);
    assert_eq!(app.admin().delete(&path).expect(200), json!({ "success": true }));
    assert_eq!(app.admin().get(USERS).expect(200), json!({ "users": [] }));
}

#[test]
fn users_are_listed_by_their_address() {
    let app = start();
    for email in ["m@example.com", "b@example.com", "z@example.com", "a@example.com"] {
        new_user(&app, email, "viewer", &everywhere());
    }
    let listed = app.admin().get(USERS).expect(200);
    let emails: Vec<_> =
        listed["users"].as_array().unwrap().iter().map(|user| text(user, "email")).collect();
    assert_eq!(emails, ["a@example.com", "b@example.com", "m@example.com", "z@example.com"]);
}

#[test]
fn a_user_is_a_viewer_without_a_name_unless_it_is_said() {
    let app = start();
    let plain = without(body(&json!({})), "role");
    let user = app.admin().post(USERS, &plain).expect(200)["user"].clone();
    assert_eq!((&user["role"], &user["name"]), (&json!("viewer"), &Value::Null));
    for (number, name) in [json!(null), json!("")].into_iter().enumerate() {
        let email = format!("{number}@example.com");
        let made = app.admin().post(USERS, &body(&json!({ "name": name, "email": email })));
        assert_eq!(made.expect(200)["user"]["name"], Value::Null);
    }
    let longest = "é".repeat(100);
    let made = app.admin().post(USERS, &body(&json!({ "name": longest, "email": "l@x.example" })));
    assert_eq!(made.expect(200)["user"]["name"], longest.as_str());
    refused(&app, &body(&json!({ "name": "é".repeat(101), "email": "m@x.example" })), "name");
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    let app = start();
    refused(&app, &without(body(&json!({})), "email"), "email");
    refused(&app, &without(body(&json!({})), "password"), "password");
    refused(&app, &without(body(&json!({})), "allEnvironments"), "allEnvironments");
    for (member, wrong) in [
        ("email", json!(7)),
        ("email", json!(null)),
        ("email", json!("")),
        ("email", json!("no-at-sign")),
        ("password", json!(["a long enough one"])),
        ("password", json!(null)),
        ("name", json!(7)),
        ("role", json!("root")),
        ("role", json!("Admin")),
        ("role", json!(1)),
        ("allEnvironments", json!("true")),
        ("environmentIds", json!("all")),
        ("environmentIds", json!({})),
    ] {
        let mut more = json!({});
        more[member] = wrong;
        refused(&app, &body(&more), member);
    }
    assert_eq!(app.admin().get(USERS).expect(200)["users"], json!([]));
}

#[test]
fn a_scope_says_one_thing_and_names_environments_that_exist() {
    let app = start_in(&["one", "two"]);
    let (one, two) = (app.environment_id("one"), app.environment_id("two"));
    let base = without(body(&json!({})), "allEnvironments");
    let scoped = |scope: Value| with(base.clone(), &scope);
    for (scope, field) in [
        (json!({ "allEnvironments": true, "environmentIds": [one] }), "environmentIds"),
        (json!({ "allEnvironments": false }), "environmentIds"),
        (json!({ "environmentIds": [one, missing_like(&one)] }), "environmentIds.1"),
        (json!({ "environmentIds": ["nothing"] }), "environmentIds.0"),
        (json!({ "environmentIds": [one, 7] }), "environmentIds.1"),
    ] {
        refused(&app, &scoped(scope), field);
    }
    let list = scoped(json!({ "environmentIds": [one] }));
    let user = app.admin().post(USERS, &list).expect(200)["user"].clone();
    assert_eq!(user["allEnvironments"], false);
    assert_eq!(user["environmentIds"], json!([one]));
    let both = json!({ "allEnvironments": false, "environmentIds": [one, two], "email": "b@x.de" });
    let user = app.admin().post(USERS, &scoped(both)).expect(200)["user"].clone();
    let listed = user["environmentIds"].as_array().unwrap();
    assert!(listed.len() == 2 && listed.contains(&json!(one)) && listed.contains(&json!(two)));
    let all = json!({ "allEnvironments": true, "environmentIds": [], "email": "c@x.de" });
    let user = app.admin().post(USERS, &scoped(all)).expect(200)["user"].clone();
    assert_eq!(user["allEnvironments"], true);
}

#[test]
fn an_address_is_used_once_whatever_its_letters_case() {
    let app = start();
    let first = new_user(&app, "Ann@Example.com", "viewer", &everywhere());
    assert_eq!(first["email"].as_str().unwrap().to_lowercase(), "ann@example.com");
    for email in ["Ann@Example.com", "ann@example.com", "ANN@EXAMPLE.COM"] {
        let reply = app.admin().post(USERS, &body(&json!({ "email": email })));
        let error = reply.expect_error(409, "CONFLICT");
        assert_eq!(error["message"], "Email already in use");
        assert_eq!(error["field"], "email");
    }
    app.admin().delete(&format!("{USERS}/{}", text(&first, "id"))).expect(200);
    let second = new_user(&app, "ann@example.com", "viewer", &everywhere());
    assert_ne!(first["id"], second["id"]);
}

#[test]
fn unknown_members_are_ignored() {
    let app = start();
    let made = app.admin().post(USERS, &body(&json!({ "nickname": [1], "isAdmin": true })));
    let user = made.expect(200)["user"].clone();
    assert_eq!(user["role"], "viewer");
    let path = format!("{USERS}/{}", text(&user, "id"));
    app.admin().patch(&path, &json!({ "nickname": 7, "name": "Ann" })).expect(200);
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let app = start_with_clock();
    let home = app.environment_id("development");
    let first = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", text(&first, "id"));
    let mut before = first.clone();
    for (patch, after) in [
        (json!({ "name": "Ann" }), json!({ "name": "Ann" })),
        (json!({ "role": "operator" }), json!({ "role": "operator" })),
        (json!({ "disabled": true }), json!({ "disabled": true })),
        (json!({ "disabled": false }), json!({ "disabled": false })),
        (only(&[&home]), json!({ "allEnvironments": false, "environmentIds": [home] })),
        (everywhere(), json!({ "allEnvironments": true, "environmentIds": [] })),
        (json!({ "name": null }), json!({ "name": null })),
    ] {
        advance_seconds(&app, 1);
        let user = app.admin().patch(&path, &patch).expect(200)["user"].clone();
        assert_ne!(user["updatedAt"], before["updatedAt"], "{patch}");
        let expected = with(before.clone(), &after);
        let expected = with(expected, &json!({ "updatedAt": user["updatedAt"] }));
        assert_eq!(user, expected, "{patch}");
        before = user;
    }
    for (patch, field) in [
        (json!({ "name": 7 }), "name"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "role": "root" }), "role"),
        (json!({ "role": null }), "role"),
        (json!({ "disabled": "yes" }), "disabled"),
        (json!({ "allEnvironments": 1 }), "allEnvironments"),
        (json!({ "allEnvironments": false }), "environmentIds"),
        (json!({ "allEnvironments": true, "environmentIds": [home] }), "environmentIds"),
        (json!({ "environmentIds": [home, "none"] }), "environmentIds.1"),
    ] {
        let error = app.admin().patch(&path, &patch).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], field, "{patch}");
    }
    assert_eq!(app.admin().get(&path).expect(200)["user"], before);
}

#[test]
fn read_only_members_are_refused_before_the_row_is_looked_up() {
    let app = start();
    let user = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let paths = [format!("{USERS}/{}", text(&user, "id")), format!("{USERS}/nobody")];
    for member in
        ["id", "email", "passwordHash", "password", "lastActiveAt", "createdAt", "updatedAt"]
    {
        for path in &paths {
            // The current value is refused as well.
            let mut patch = json!({ "name": "changed" });
            patch[member] = user.get(member).cloned().unwrap_or_else(|| json!("something"));
            let error = app.admin().patch(path, &patch).expect_error(422, "READONLY_FIELD");
            assert_eq!(error["field"], member);
            let message = format!("Field \"{member}\" is read-only and cannot be set via PATCH.");
            assert_eq!(error["message"], message);
        }
    }
    assert_eq!(app.admin().get(&paths[0]).expect(200)["user"], user);
}

#[test]
fn a_user_that_is_not_there_is_not_found_whatever_its_id_looks_like() {
    let app = start();
    let user = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let id = text(&user, "id").to_owned();
    let gone = text(&new_user(&app, "bob@example.com", "viewer", &everywhere()), "id").to_owned();
    app.admin().delete(&format!("{USERS}/{gone}")).expect(200);
    let ids = [gone, missing_like(&id), id.to_lowercase(), "x".into(), "%00".into(), "me".into()];
    for id in ids {
        let path = format!("{USERS}/{id}");
        let admin = app.admin();
        let new = json!({ "newPassword": "another long password" });
        admin.get(&path).expect_error(404, "NOT_FOUND");
        admin.patch(&path, &json!({ "name": "x" })).expect_error(404, "NOT_FOUND");
        admin.post(&format!("{path}/change-password"), &new).expect_error(404, "NOT_FOUND");
        admin.get(&format!("{path}/sessions")).expect_error(404, "NOT_FOUND");
        admin.delete(&format!("{path}/sessions")).expect_error(404, "NOT_FOUND");
        admin.delete(&path).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn a_user_reads_itself_and_changes_its_name_and_no_more() {
    let app = start();
    for role in ["viewer", "operator"] {
        let ann = person(&app, &format!("{role}@example.com"), role, &everywhere());
        let me = ann.client.get(&ann.path()).expect(200)["user"].clone();
        assert_eq!(me["id"], ann.id.as_str());
        let named = ann.client.patch(&ann.path(), &json!({ "name": "Ann" })).expect(200);
        assert_eq!(named["user"]["name"], "Ann");
        for patch in [
            json!({ "role": role }),
            json!({ "role": "admin" }),
            json!({ "disabled": false }),
            json!({ "allEnvironments": true }),
            json!({ "environmentIds": [app.environment_id("development")] }),
            json!({ "name": "Root", "role": "admin" }),
        ] {
            ann.client.patch(&ann.path(), &patch).expect_error(403, "FORBIDDEN_ROLE");
        }
        let now = app.admin().get(&ann.path()).expect(200)["user"].clone();
        assert_eq!(now["name"], "Ann");
        assert_eq!((&now["role"], &now["disabled"]), (&json!(role), &json!(false)));
        ann.client.delete(&ann.path()).expect_error(403, "FORBIDDEN_ROLE");
    }
}

#[test]
fn a_scoped_user_reads_itself_and_changes_its_name_as_any_other() {
    let app = start();
    let home = app.environment_id("development");
    for role in ["viewer", "admin"] {
        let ann = person(&app, &format!("{role}@example.com"), role, &only(&[&home]));
        ann.client.get(&ann.path()).expect(200);
        ann.client.patch(&ann.path(), &json!({ "name": "Ann" })).expect(200);
        let wider = ann.client.patch(&ann.path(), &everywhere());
        assert_eq!(wider.status, 403, "{}", wider.text());
        let now = app.admin().get(&ann.path()).expect(200);
        assert_eq!(now["user"]["environmentIds"], json!([home]));
    }
}

#[test]
fn only_an_admin_of_everything_sees_or_changes_other_users() {
    let app = start();
    let home = app.environment_id("development");
    let other = new_user(&app, "other@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", text(&other, "id"));
    let cases = [
        ("viewer", everywhere(), "FORBIDDEN_ROLE"),
        ("operator", everywhere(), "FORBIDDEN_ROLE"),
        ("admin", only(&[&home]), "FORBIDDEN_SCOPE"),
    ];
    for (role, scope, code) in cases {
        let ann = person(&app, &format!("{role}@example.com"), role, &scope);
        ann.client.get(USERS).expect_error(403, code);
        ann.client.post(USERS, &body(&json!({}))).expect_error(403, code);
        ann.client.get(&path).expect_error(403, code);
        ann.client.patch(&path, &json!({ "name": "x" })).expect_error(403, code);
        ann.client.delete(&path).expect_error(403, code);
    }
    let root = person(&app, "root@example.com", "admin", &everywhere());
    root.client.get(&path).expect(200);
    root.client.patch(&path, &json!({ "role": "operator" })).expect(200);
    root.client.delete(&path).expect(200);
}

#[test]
fn an_environment_that_is_deleted_leaves_the_scope_and_does_not_widen_it() {
    let app = start_in(&["one", "two"]);
    let two = app.environment_id("two");
    let ann = person(&app, "ann@example.com", "viewer", &only(&[&two]));
    app.admin().delete("/api/environments/two").expect(200);
    let user = ann.client.get(&ann.path()).expect(200)["user"].clone();
    assert_eq!((&user["allEnvironments"], &user["environmentIds"]), (&json!(false), &json!([])));
    assert_eq!(ann.client.get("/api/environments").expect(200)["environments"], json!([]));
    // An environment with the same name is a different environment.
    new_environment(&app.admin(), "two");
    assert_eq!(ann.client.get("/api/environments").expect(200)["environments"], json!([]));
    ann.client.get("/api/environments/two").expect_error(403, "FORBIDDEN_SCOPE");
}

#[test]
fn a_user_was_active_when_it_last_asked_for_something() {
    let app = start_with_clock();
    let created = new_user(&app, "ann@example.com", "viewer", &everywhere());
    assert_eq!(created["lastActiveAt"], Value::Null);
    advance_seconds(&app, 3600);
    let session = app.bearer(&login(&app, "ann@example.com", PASSWORD));
    session.get("/api/environments").expect(200);
    let user = app.admin().get(&format!("{USERS}/{}", text(&created, "id"))).expect(200);
    is_time(text(&user["user"], "lastActiveAt"));
    assert_eq!(user["user"]["createdAt"], created["createdAt"]);
}

#[test]
fn head_answers_as_get_and_another_method_is_told_the_allowed_ones() {
    let app = start();
    let user = new_user(&app, "ann@example.com", "viewer", &everywhere());
    let path = format!("{USERS}/{}", text(&user, "id"));
    let allowed = [
        (USERS.to_owned(), vec!["GET", "POST"]),
        (path.clone(), vec!["GET", "PATCH", "DELETE"]),
        (format!("{path}/change-password"), vec!["POST"]),
        (format!("{path}/sessions"), vec!["GET", "DELETE"]),
        (format!("{path}/sessions/x"), vec!["DELETE"]),
    ];
    for (path, methods) in allowed {
        let reply = app.admin().send("PUT", &path, None);
        reply.expect_error(405, "METHOD_NOT_ALLOWED");
        let allow = reply.header("allow").unwrap_or_default();
        for method in &methods {
            assert!(allow.split(", ").any(|one| one == *method), "{path}: {allow}");
        }
        if methods.contains(&"GET") {
            assert_eq!(app.admin().head(&path).status, 200, "{path}");
            assert_eq!(app.anonymous().head(&path).status, 401, "{path}");
        }
    }
}
