//! The order in which a request is checked: form, bearer, scope, role, body, row, rule. Each
//! request here has several faults at once, and the response shows which one was checked first. The
//! order is a promise: a caller who may not do something must not learn from the response about the
//! state of the row.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::paths::SECRETS;
use support::{Client, Reply, Setup, TestApp};

const STAGING: &str = "/api/environments/staging/secrets";
const JSON: &str = "application/json";
const MALFORMED: &[u8] = b"{\"key\":";
const OVERSIZE: usize = (1 << 20) + 1;

fn two_environments() -> TestApp {
    TestApp::start_with(Setup::default().environments(&["development", "staging"]))
}

fn create_secret(client: &Client, list: &str, more: &Value) -> String {
    let mut body = json!({ "key": "A", "value": "v" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = client.post(list, &body);
    reply.expect(200)["secret"]["id"].as_str().unwrap().to_owned()
}

fn post(client: &Client, path: &str, content_type: &str, body: &[u8]) -> Reply {
    client.send("POST", path, Some((content_type, body)))
}

#[test]
fn the_size_of_a_body_is_checked_before_its_type_and_its_sender() {
    let app = two_environments();
    let big = vec![b'{'; OVERSIZE];
    for client in
        [app.anonymous(), app.bearer("cof_wrong"), app.principal(Role::Viewer), app.admin()]
    {
        for content_type in [JSON, "text/plain", ""] {
            let reply = post(&client, SECRETS, content_type, &big);
            reply.expect_error(413, "PAYLOAD_TOO_LARGE");
        }
    }
}

#[test]
fn the_size_of_a_chunked_body_is_checked_before_its_type_and_its_sender() {
    let app = two_environments();
    for content_type in [JSON, "text/plain"] {
        let head = format!(
            "POST {SECRETS} HTTP/1.1\r\nHost: coffer\r\nContent-Type: {content_type}\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{OVERSIZE:x}\r\n"
        );
        let bytes = [head.as_bytes(), &vec![b'{'; OVERSIZE], b"\r\n0\r\n\r\n"].concat();
        let reply = app.anonymous().raw("POST", &bytes);
        reply.expect_error(413, "PAYLOAD_TOO_LARGE");
    }
}

#[test]
fn the_type_of_a_body_is_checked_before_its_sender() {
    let app = two_environments();
    let scoped = app.scoped(Role::Viewer, &[&app.environment_id("development")]);
    for client in [app.anonymous(), app.bearer("cof_wrong"), app.principal(Role::Viewer), scoped] {
        post(&client, STAGING, "text/plain", MALFORMED).expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
        let packed = client.with("Content-Encoding", "gzip");
        post(&packed, STAGING, JSON, MALFORMED).expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[test]
fn the_sender_is_checked_before_the_body_the_query_and_the_row() {
    let app = two_environments();
    for client in [app.anonymous(), app.bearer("cof_wrong")] {
        post(&client, SECRETS, JSON, MALFORMED).expect_error(401, "UNAUTHORIZED");
        post(&client, "/api/environments/none/secrets", JSON, b"")
            .expect_error(401, "UNAUTHORIZED");
        client.get(&format!("{SECRETS}?limit=x")).expect_error(401, "UNAUTHORIZED");
        client.delete("/api/environments/none?force=x").expect_error(401, "UNAUTHORIZED");
        client.patch("/api/secrets/none", &json!({ "id": 1 })).expect_error(401, "UNAUTHORIZED");
        client
            .with("If-Match", "x")
            .patch("/api/secrets/none", &json!({}))
            .expect_error(401, "UNAUTHORIZED");
    }
}

#[test]
fn the_scope_is_checked_before_the_role() {
    let app = two_environments();
    let viewer = app.scoped(Role::Viewer, &[&app.environment_id("development")]);
    post(&viewer, STAGING, JSON, MALFORMED).expect_error(403, "FORBIDDEN_SCOPE");
    viewer.delete("/api/environments/staging?force=x").expect_error(403, "FORBIDDEN_SCOPE");
    viewer.post("/api/environments", &json!({})).expect_error(403, "FORBIDDEN_SCOPE");
    let settings = "/api/environments/staging/settings/configuration";
    viewer.patch(settings, &json!({ "unknown": 1 })).expect_error(403, "FORBIDDEN_SCOPE");
    post(&viewer, SECRETS, JSON, MALFORMED).expect_error(403, "FORBIDDEN_ROLE");
}

#[test]
fn the_scope_is_checked_before_the_body() {
    let app = two_environments();
    let operator = app.scoped(Role::Operator, &[&app.environment_id("development")]);
    post(&operator, STAGING, JSON, MALFORMED).expect_error(403, "FORBIDDEN_SCOPE");
    operator.get(&format!("{STAGING}?limit=x")).expect_error(403, "FORBIDDEN_SCOPE");
    post(&operator, SECRETS, JSON, MALFORMED).expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn a_scoped_caller_is_answered_the_same_for_a_hidden_and_a_missing_environment() {
    let app = two_environments();
    create_secret(&app.admin(), STAGING, &json!({}));
    let admin = app.scoped(Role::Admin, &[&app.environment_id("development")]);
    let hidden = app.environment_id("staging");
    for missing in ["none", "env_00000000000000000000000000", "%00"] {
        for tail in ["", "/secrets", "/vars", "/settings/configuration"] {
            let of = |name: &str| admin.get(&format!("/api/environments/{name}{tail}"));
            assert_same(&of("staging"), &of(missing));
            assert_same(&of(&hidden), &of(missing));
        }
        let delete = |name: &str| admin.delete(&format!("/api/environments/{name}?force=true"));
        assert_same(&delete("staging"), &delete(missing));
    }
    app.admin().get("/api/environments/staging").expect(200);
}

#[test]
fn a_row_out_of_scope_is_answered_as_a_missing_one() {
    let app = two_environments();
    let hidden = create_secret(&app.admin(), STAGING, &json!({ "neverReveal": true }));
    let admin = app.scoped(Role::Admin, &[&app.environment_id("development")]);
    let body = json!({ "value": "w", "neverReveal": false });
    let ask = |id: &str| {
        let path = format!("/api/secrets/{id}");
        [
            admin.get(&path),
            admin.head(&path),
            admin.patch(&path, &body),
            admin.with("If-Match", "\"7\"").patch(&path, &body),
            admin.get(&format!("{path}/value")),
            admin.get(&format!("{path}/versions")),
            admin.send("POST", &format!("{path}/versions/9/activate"), None),
            admin.delete(&path),
        ]
    };
    let missing = format!("{}0000000000", &hidden[..hidden.len() - 10]);
    for (out, none) in ask(&hidden).iter().zip(ask(&missing)) {
        assert_eq!(out.status, 404, "{}", out.text());
        assert_same(out, &none);
    }
    let path = format!("/api/secrets/{hidden}");
    assert_eq!(app.admin().get(&path).expect(200)["secret"]["version"], 1);
}

#[test]
fn the_role_is_checked_before_the_body_and_the_row() {
    let app = two_environments();
    let viewer = app.principal(Role::Viewer);
    let secret = create_secret(&app.admin(), SECRETS, &json!({ "neverReveal": true }));
    post(&viewer, SECRETS, JSON, MALFORMED).expect_error(403, "FORBIDDEN_ROLE");
    post(&viewer, SECRETS, JSON, b"").expect_error(403, "FORBIDDEN_ROLE");
    post(&viewer, "/api/environments/none/secrets", JSON, b"{}")
        .expect_error(403, "FORBIDDEN_ROLE");
    viewer.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect_error(403, "FORBIDDEN_ROLE");
    viewer.patch("/api/secrets/none", &json!({ "id": 1 })).expect_error(403, "FORBIDDEN_ROLE");
    viewer.delete("/api/secrets/none").expect_error(403, "FORBIDDEN_ROLE");
    viewer.delete("/api/environments/none?force=x").expect_error(403, "FORBIDDEN_ROLE");
    let operator = app.principal(Role::Operator);
    // Not SECRET_WRITE_ONLY: a caller who may not reveal must not learn which secrets could be
    // revealed.
    for id in [secret.as_str(), "none"] {
        operator.get(&format!("/api/secrets/{id}/value")).expect_error(403, "FORBIDDEN_ROLE");
    }
}

#[test]
fn the_body_is_checked_before_the_row() {
    let app = two_environments();
    let admin = app.admin();
    for path in ["/api/environments/none/secrets", "/api/environments/none/vars"] {
        post(&admin, path, JSON, MALFORMED).expect_error(400, "VALIDATION_ERROR");
        admin.post(path, &json!({})).expect_error(400, "VALIDATION_ERROR");
        admin.post(path, &json!({ "key": "A", "value": "v" })).expect_error(404, "NOT_FOUND");
        admin.get(&format!("{path}?limit=0")).expect_error(400, "VALIDATION_ERROR");
    }
    for path in ["/api/secrets/none", "/api/vars/none"] {
        admin.send("PATCH", path, Some((JSON, MALFORMED))).expect_error(400, "VALIDATION_ERROR");
        admin.patch(path, &json!({ "value": 1 })).expect_error(400, "VALIDATION_ERROR");
        admin.patch(path, &json!({ "id": "x" })).expect_error(422, "READONLY_FIELD");
        admin.with("If-Match", "x").patch(path, &json!({})).expect_error(400, "VALIDATION_ERROR");
        admin.patch(&format!("{path}?version=x"), &json!({})).expect_error(400, "VALIDATION_ERROR");
        admin.patch(path, &json!({ "value": "w" })).expect_error(404, "NOT_FOUND");
    }
    let settings = "/api/environments/none/settings/configuration";
    admin.patch(settings, &json!({ "unknown": 1 })).expect_error(400, "VALIDATION_ERROR");
    admin.patch(settings, &json!({})).expect_error(404, "NOT_FOUND");
    admin.delete("/api/environments/none?force=x").expect_error(400, "VALIDATION_ERROR");
    admin.delete("/api/environments/none").expect_error(404, "NOT_FOUND");
}

#[test]
fn the_body_is_checked_before_the_rules_of_a_row_that_exists() {
    let app = two_environments();
    let admin = app.admin();
    let path =
        format!("/api/secrets/{}", create_secret(&admin, SECRETS, &json!({ "neverReveal": true })));
    let stale = admin.with("If-Match", "\"9\"");
    stale.patch(&path, &json!({ "value": "" })).expect_error(400, "VALIDATION_ERROR");
    stale.patch(&path, &json!({ "key": "A" })).expect_error(422, "READONLY_FIELD");
    stale.patch(&path, &json!({ "value": "w" })).expect_error(409, "CONFLICT");
    admin.post(SECRETS, &json!({ "key": "A", "value": "" })).expect_error(400, "VALIDATION_ERROR");
    admin.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect_error(409, "CONFLICT");
    admin.delete("/api/environments/development?force=x").expect_error(400, "VALIDATION_ERROR");
    admin.delete("/api/environments/development").expect_error(409, "CONFLICT");
    assert_eq!(admin.get(&path).expect(200)["secret"]["version"], 1);
}

#[test]
fn the_row_is_checked_before_its_rules() {
    let app = two_environments();
    let admin = app.admin();
    let stale = admin.with("If-Match", "\"9\"");
    stale.patch("/api/secrets/none", &json!({ "value": "w" })).expect_error(404, "NOT_FOUND");
    stale.patch("/api/vars/none", &json!({ "value": "w" })).expect_error(404, "NOT_FOUND");
    let latch = json!({ "neverReveal": false });
    admin.patch("/api/secrets/none", &latch).expect_error(404, "NOT_FOUND");
    let settings = "/api/environments/development/settings/configuration";
    admin.patch(settings, &json!({ "allowSecretReveal": false })).expect(200);
    admin.get("/api/secrets/none/value").expect_error(404, "NOT_FOUND");
}

/// Fails unless both responses are equal, except for what differs between any two.
#[track_caller]
fn assert_same(one: &Reply, other: &Reply) {
    let plain = |reply: &Reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if let Some(members) = body.as_object_mut() {
            members.remove("requestId");
        }
        let mut headers = reply.headers.clone();
        headers.retain(|(name, _)| {
            !["x-request-id", "date"].contains(&name.as_str()) && !name.starts_with("x-ratelimit-")
        });
        headers.sort();
        (reply.status, headers, body)
    };
    assert_eq!(plain(one), plain(other));
}

/// The same requests, sent to rows that exist and to rows that do not.
fn requests(nobody: &Client, environment: &str, secret: &str, var: &str) -> Vec<Reply> {
    let new = json!({ "key": "A", "value": "v" });
    let list = format!("/api/environments/{environment}");
    let (secret, var) = (format!("/api/secrets/{secret}"), format!("/api/vars/{var}"));
    vec![
        nobody.get(&list),
        nobody.delete(&list),
        nobody.get(&format!("{list}/secrets")),
        nobody.post(&format!("{list}/secrets"), &new),
        post(nobody, &format!("{list}/secrets"), JSON, MALFORMED),
        post(nobody, &format!("{list}/secrets"), "text/plain", MALFORMED),
        nobody.get(&format!("{list}/vars")),
        nobody.post(&format!("{list}/vars"), &new),
        nobody.get(&format!("{list}/settings/configuration")),
        nobody.send("PUT", &format!("{list}/secrets"), None),
        nobody.get(&secret),
        nobody.head(&secret),
        nobody.patch(&secret, &json!({ "id": "x" })),
        nobody.delete(&secret),
        nobody.get(&format!("{secret}/value")),
        nobody.head(&format!("{secret}/value")),
        nobody.get(&format!("{secret}/versions")),
        nobody.send("POST", &format!("{secret}/versions/1/activate"), None),
        nobody.get(&var),
        nobody.patch(&var, &json!({ "value": "w" })),
        nobody.delete(&var),
    ]
}

#[test]
fn without_a_credential_nothing_depends_on_what_exists() {
    let mut setup = Setup::default();
    setup.config.rate_limit.anonymous_per_minute = 0;
    let app = TestApp::start_with(setup);
    let admin = app.admin();
    let secret = create_secret(&admin, SECRETS, &json!({ "neverReveal": true }));
    let var =
        admin.post("/api/environments/development/vars", &json!({ "key": "A", "value": "v" }));
    let var = var.expect(200)["var"]["id"].as_str().unwrap().to_owned();
    for nobody in
        [app.anonymous(), app.bearer("cof_wrong"), app.bearer(&format!("cof_{}", "x".repeat(43)))]
    {
        let existing = requests(&nobody, "development", &secret, &var);
        let missing = requests(&nobody, "nowhere", "sec_none", "%00");
        for (one, other) in existing.iter().zip(&missing) {
            assert!([401, 405, 415].contains(&one.status), "{} {}", one.status, one.text());
            assert_same(one, other);
        }
    }
    assert_eq!(admin.get(&format!("/api/secrets/{secret}")).expect(200)["secret"]["version"], 1);
}
