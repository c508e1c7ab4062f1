//! The error object: its shape, every code that a client can receive, and what `field`, `hint` and
//! `details` contain. `INTERNAL` and `SECRET_UNREADABLE` need a damaged database and are tested
//! with the store.

use coffer::domain::{Role, Scope, Timestamp};
use serde_json::{Value, json};
use support::paths::{SECRETS, SETTINGS, VARS};
use support::{Client, Reply, Setup, TestApp, expect_log};

const JSON: &str = "application/json";

fn make(client: &Client, list: &str, name: &str, body: &Value) -> String {
    let id = client.post(list, body).expect(200)[name]["id"].as_str().unwrap().to_owned();
    format!("/api/{name}s/{id}")
}

fn secret_path(client: &Client, key: &str) -> String {
    make(client, SECRETS, "secret", &json!({ "key": key, "value": "v" }))
}

fn var_path(client: &Client, key: &str) -> String {
    make(client, VARS, "var", &json!({ "key": key, "value": "v" }))
}

/// Fails unless the error object has known members only, each of the right type.
#[track_caller]
fn assert_shape(reply: &Reply) {
    let body = reply.json();
    let members = body.as_object().unwrap();
    for (name, value) in members {
        let right = match name.as_str() {
            "code" | "message" | "field" | "hint" | "requestId" => {
                value.as_str().is_some_and(|text| !text.is_empty())
            }
            // A single problem needs no list.
            "details" => value.as_array().is_some_and(|list| list.len() > 1),
            _ => false,
        };
        assert!(right, "{name}: {body}");
    }
    for name in ["code", "message", "requestId"] {
        assert!(members.contains_key(name), "{name}: {body}");
    }
    for detail in body["details"].as_array().into_iter().flatten() {
        let names: Vec<_> = detail.as_object().unwrap().keys().collect();
        assert_eq!(names, ["field", "message"], "{body}");
        assert!(detail["field"].is_string() && detail["message"].is_string(), "{body}");
    }
    assert_eq!(body["requestId"].as_str(), reply.header("x-request-id"));
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn every_code_has_its_status_and_the_one_shape() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "staging"]));
    let admin = app.admin();
    let secret = secret_path(&admin, "A");
    let hidden =
        make(&admin, SECRETS, "secret", &json!({ "key": "B", "value": "v", "neverReveal": true }));
    let scoped = app.scoped(Role::Admin, &[&app.environment_id("staging")]);
    let big = vec![b' '; (1 << 20) + 1];
    let new = json!({ "key": "A", "value": "v" });
    let mut answers = vec![
        (400, "VALIDATION_ERROR", admin.post(SECRETS, &json!({}))),
        (413, "PAYLOAD_TOO_LARGE", admin.send("POST", SECRETS, Some((JSON, &big)))),
        (415, "UNSUPPORTED_MEDIA_TYPE", admin.send("POST", SECRETS, Some(("text/plain", b"{}")))),
        (422, "READONLY_FIELD", admin.patch(&secret, &json!({ "key": "A" }))),
        (422, "READONLY_FIELD", admin.patch(&hidden, &json!({ "neverReveal": false }))),
        (401, "UNAUTHORIZED", app.anonymous().get(SECRETS)),
        (403, "FORBIDDEN_ROLE", app.principal(Role::Viewer).post(SECRETS, &new)),
        (403, "FORBIDDEN_SCOPE", scoped.get(SECRETS)),
        (403, "SECRET_WRITE_ONLY", admin.get(&format!("{hidden}/value"))),
        (404, "NOT_FOUND", admin.get("/api/secrets/none")),
        (404, "NOT_FOUND", scoped.get(&secret)),
        (404, "NOT_FOUND", admin.get("/api/nowhere")),
        (405, "METHOD_NOT_ALLOWED", admin.send("PUT", SECRETS, None)),
        (409, "CONFLICT", admin.post(SECRETS, &new)),
        (409, "CONFLICT", admin.delete("/api/environments/development")),
        (409, "CONFLICT", admin.with("If-Match", "\"2\"").patch(&secret, &json!({ "value": "w" }))),
        (409, "CONFLICT", admin.patch(&format!("{secret}?version=2"), &json!({ "value": "w" }))),
    ];
    admin.patch(SETTINGS, &json!({ "allowSecretReveal": false })).expect(200);
    answers.push((403, "REVEAL_DISABLED", admin.get(&format!("{secret}/value"))));
    answers.push((403, "REVEAL_DISABLED", admin.get(&format!("{hidden}/value"))));
    for (status, code, reply) in &answers {
        reply.expect_error(*status, code);
        assert_shape(reply);
        assert_eq!(reply.header("www-authenticate").is_some(), *status == 401, "{code}");
        assert_eq!(reply.header("retry-after"), None, "{code}");
    }
    assert_eq!(admin.get(&secret).expect(200)["secret"]["version"], 1);
}

#[test]
fn every_bad_credential_gets_the_same_401() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let clock = app.clock.as_ref().unwrap();
    let expires = Timestamp::from_millis(1_800_000_000_000 + 60_000);
    let expiring = app.token(Role::Admin, Scope::All, Some(expires));
    app.bearer(&expiring).get(SECRETS).expect(200);
    clock.advance_millis(59_999);
    app.bearer(&expiring).get(SECRETS).expect(200);
    clock.advance_millis(1);
    let admin = app.admin_token();
    let clients = [
        app.anonymous(),
        app.bearer(&expiring),
        app.bearer("x"),
        app.bearer(&format!("cof_{}", "a".repeat(43))),
        app.bearer(&admin[..admin.len() - 1]),
        app.bearer(&format!("{admin}a")),
        app.bearer(&admin.to_lowercase()),
        app.anonymous().with("Authorization", &format!("Basic {admin}")),
        app.anonymous().with("Authorization", admin),
    ];
    let mut bodies = Vec::new();
    for client in clients {
        let reply = client.with("X-Request-Id", "same").get(SECRETS);
        bodies.push(reply.expect_error(401, "UNAUTHORIZED"));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert_shape(&reply);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[test]
fn a_duplicate_key_gets_the_answer_of_the_contract() {
    let app = TestApp::start();
    let admin = app.admin().with("X-Request-Id", "req_1");
    secret_path(&admin, "A");
    var_path(&admin, "A");
    let again = json!({ "key": "A", "value": "other", "neverReveal": true });
    assert_eq!(
        admin.post(SECRETS, &again).expect(409),
        json!({
            "code": "CONFLICT",
            "message": "Secret already exists",
            "field": "key",
            "hint": "PATCH the existing secret to give it a new value.",
            "requestId": "req_1",
        })
    );
    let var = admin.post(VARS, &again).expect_error(409, "CONFLICT");
    assert_eq!((&var["message"], &var["field"]), (&json!("Var already exists"), &json!("key")));
    let environment = admin.post("/api/environments", &json!({ "name": "DEVELOPMENT" }));
    let environment = environment.expect_error(409, "CONFLICT");
    let said = (&environment["message"], &environment["field"]);
    assert_eq!(said, (&json!("Environment already exists"), &json!("name")));
}

#[test]
fn a_single_problem_names_its_member_and_needs_no_details() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = secret_path(&admin, "A");
    let generate = |what: Value| json!({ "key": "B", "generate": what });
    let answers = [
        ("key", admin.post(SECRETS, &json!({ "value": "v" }))),
        ("key", admin.post(SECRETS, &json!({ "key": "b", "value": "v" }))),
        ("value", admin.post(SECRETS, &json!({ "key": "B" }))),
        ("value", admin.post(SECRETS, &json!({ "key": "B", "value": 1 }))),
        ("value", admin.post(SECRETS, &json!({ "key": "B", "value": "x".repeat((64 << 10) + 1) }))),
        (
            "neverReveal",
            admin.post(SECRETS, &json!({ "key": "B", "value": "v", "neverReveal": "no" })),
        ),
        (
            "description",
            admin.post(SECRETS, &json!({ "key": "B", "value": "v", "description": 1 })),
        ),
        ("generate.length", admin.post(SECRETS, &generate(json!({ "length": 0 })))),
        ("generate.alphabet", admin.post(SECRETS, &generate(json!({ "alphabet": "kanji" })))),
        ("generate", admin.post(SECRETS, &generate(json!("hex")))),
        ("value", admin.patch(&secret, &json!({ "value": "" }))),
        ("value", admin.post(VARS, &json!({ "key": "B" }))),
        ("name", admin.post("/api/environments", &json!({}))),
        (
            "displayName",
            admin
                .post("/api/environments", &json!({ "name": "x", "displayName": "x".repeat(101) })),
        ),
        ("allowSecretReveal", admin.patch(SETTINGS, &json!({ "allowSecretReveal": 1 }))),
        ("limit", admin.get(&format!("{SECRETS}?limit=0"))),
        ("force", admin.delete("/api/environments/development?force=yes")),
    ];
    for (field, reply) in answers {
        let body = reply.expect_error(400, "VALIDATION_ERROR");
        assert_shape(&reply);
        assert_eq!(body["field"], field, "{body}");
        assert_eq!(body.get("details"), None, "{body}");
    }
    assert_eq!(admin.get(SECRETS).expect(200)["secrets"].as_array().unwrap().len(), 1);
}

#[test]
fn several_problems_are_all_in_the_details_and_field_names_the_first() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = secret_path(&admin, "A");
    let answers = [
        (admin.post(SECRETS, &json!({})), "key value"),
        (
            admin.post(
                SECRETS,
                &json!({ "key": "a", "value": "", "description": 1, "neverReveal": 0 }),
            ),
            "description key neverReveal value",
        ),
        (
            admin.post(
                SECRETS,
                &json!({ "key": "B", "generate": { "length": 0, "alphabet": "x" } }),
            ),
            "generate.alphabet generate.length",
        ),
        (admin.patch(&secret, &json!({ "value": 1, "description": 1 })), "description value"),
        (admin.post(VARS, &json!({ "description": 1 })), "description key value"),
        (admin.post("/api/environments", &json!({ "displayName": 1 })), "displayName name"),
        (
            admin.patch(SETTINGS, &json!({ "allowSecretReveal": 0, "neverRevealByDefault": 0 })),
            "allowSecretReveal neverRevealByDefault",
        ),
    ];
    for (reply, fields) in answers {
        let body = reply.expect_error(400, "VALIDATION_ERROR");
        assert_shape(&reply);
        let details = body["details"].as_array().unwrap();
        let mut found: Vec<_> = details.iter().map(|one| one["field"].as_str().unwrap()).collect();
        assert_eq!(body["field"], found[0], "{body}");
        found.sort_unstable();
        assert_eq!(found.join(" "), fields, "{body}");
    }
}

#[test]
fn a_hint_says_what_to_do_where_something_can_be_done() {
    let app = TestApp::start();
    let admin = app.admin();
    let hidden =
        make(&admin, SECRETS, "secret", &json!({ "key": "A", "value": "v", "neverReveal": true }));
    let answers = [
        admin.patch(&hidden, &json!({ "neverReveal": false })),
        admin.post(SECRETS, &json!({ "key": "A", "value": "v" })),
        admin.delete("/api/environments/development"),
        app.anonymous().get(SECRETS),
        admin.with("If-Match", "\"9\"").patch(&hidden, &json!({ "value": "w" })),
    ];
    for reply in answers {
        assert!(reply.status >= 400);
        assert!(reply.json()["hint"].is_string(), "{}", reply.text());
    }
}

/// Members that PATCH must refuse, and the row that must not change.
fn refuses_read_only(admin: &Client, path: &str, name: &str, read_only: &[&str]) {
    let before = admin.get(path).expect(200);
    for member in read_only {
        // Sending the current value, where it is visible, is refused as well.
        let shown = before[name].get(*member).cloned().unwrap_or(json!("x"));
        for value in [shown, json!(null), json!({ "a": 1 })] {
            let body = json!({ *member: value, "value": "w", "description": "changed" });
            for path in [path, &format!("/api/{name}s/none")] {
                let reply = admin.patch(path, &body);
                let error = reply.expect_error(422, "READONLY_FIELD");
                assert_shape(&reply);
                assert_eq!(error["field"], *member, "{error}");
                let message =
                    format!("Field \"{member}\" is read-only and cannot be set via PATCH.");
                assert_eq!(error["message"], message);
                assert_eq!(error.get("details"), None, "{error}");
            }
        }
    }
    let all: serde_json::Map<_, _> =
        read_only.iter().map(|member| ((*member).to_owned(), json!(1))).collect();
    let reply = admin.patch(path, &Value::Object(all));
    let error = reply.expect_error(422, "READONLY_FIELD");
    assert_shape(&reply);
    let details = error["details"].as_array().unwrap();
    let mut found: Vec<_> = details.iter().map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!(error["field"], found[0]);
    let mut expected = read_only.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(admin.get(path).expect(200), before);
}

#[test]
fn patch_refuses_the_read_only_members_of_a_secret_and_applies_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = secret_path(&admin, "A");
    let members = [
        "id",
        "key",
        "environmentId",
        "createdAt",
        "updatedAt",
        "version",
        "encryptedValue",
        "nonce",
    ];
    refuses_read_only(&admin, &path, "secret", &members);
    assert_eq!(admin.get(&format!("{path}/value")).expect(200)["value"], "v");
}

#[test]
fn patch_refuses_the_read_only_members_of_a_var_and_applies_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = var_path(&admin, "A");
    let members = ["id", "key", "environmentId", "createdAt", "updatedAt", "version"];
    refuses_read_only(&admin, &path, "var", &members);
}

#[test]
fn never_reveal_is_cleared_by_nobody_and_its_present_value_is_fine() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = secret_path(&admin, "A");
    admin.patch(&path, &json!({ "neverReveal": false })).expect(200);
    admin.patch(&path, &json!({ "neverReveal": true })).expect(200);
    let before = admin.patch(&path, &json!({ "neverReveal": true })).expect(200);
    let body = json!({ "neverReveal": false, "value": "w", "description": "changed" });
    let error = admin.patch(&path, &body).expect_error(422, "READONLY_FIELD");
    assert_eq!(error["field"], "neverReveal");
    assert!(error["hint"].is_string());
    assert_eq!(admin.get(&path).expect(200), before);
}

#[test]
fn while_nothing_can_be_written_writes_are_503_and_reads_go_on() {
    expect_log("SERVICE_UNAVAILABLE");
    let app = TestApp::start();
    let admin = app.admin();
    let path = secret_path(&admin, "A");
    let (db, away) = (app.data_dir().join("db"), app.data_dir().join("away"));
    // A directory whose free space is unknown counts as full.
    std::fs::rename(&db, &away).unwrap();
    let refused = [
        admin.post(SECRETS, &json!({ "key": "B", "value": "v" })),
        admin.patch(&path, &json!({ "value": "w" })),
        // A reveal is granted only once its audit row is durable.
        admin.get(&format!("{path}/value")),
        admin.delete(&path),
        admin.delete("/api/environments/development?force=true"),
    ];
    let read = admin.get(&path);
    std::fs::rename(&away, &db).unwrap();
    for reply in refused {
        reply.expect_error(503, "SERVICE_UNAVAILABLE");
        assert_shape(&reply);
        let seconds = reply.header("retry-after").unwrap().parse::<u32>().unwrap();
        assert!((1..=60).contains(&seconds));
    }
    assert_eq!(read.expect(200)["secret"]["version"], 1);
    // The client can retry: nothing had happened, and now it succeeds.
    let listed = admin.get(SECRETS).expect(200);
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(admin.get(&format!("{path}/value")).expect(200)["value"], "v");
    admin.post(SECRETS, &json!({ "key": "B", "value": "v" })).expect(200);
}
