//! What a caller must not learn: whether a row or an environment outside its scope exists. A
//! difference of one byte between "not yours" and "not there" is enough to enumerate ids and names,
//! so these tests compare whole responses.

use std::collections::BTreeMap;

use coffer::domain::{EnvironmentId, Role, Scope, SecretId, Timestamp, VarId};
use serde_json::{Value, json};
use support::{Client, Reply, Setup, TestApp};

/// An environment outside the callers' scope, with one row of each kind.
struct Scene {
    app: TestApp,
    foreign: String,
    secret: String,
    never: String,
    var: String,
    deleted: String,
}

impl Scene {
    fn new() -> Self {
        let app = TestApp::start_with(Setup::default().environments(&["home", "foreign"]));
        let admin = app.admin();
        let foreign = app.environment_id("foreign");
        let create = |kind: &str, one: &str, body: Value| {
            let made = admin.post(&format!("/api/environments/foreign/{kind}"), &body).expect(200);
            made[one]["id"].as_str().unwrap().to_owned()
        };
        let secret = create("secrets", "secret", json!({ "key": "OPEN", "value": "v" }));
        let never = create(
            "secrets",
            "secret",
            json!({ "key": "SHUT", "value": "v", "neverReveal": true }),
        );
        let deleted = create("secrets", "secret", json!({ "key": "GONE", "value": "v" }));
        admin.delete(&format!("/api/secrets/{deleted}")).expect(200);
        let var = create("vars", "var", json!({ "key": "OPEN", "value": "v" }));
        Self { app, foreign, secret, never, var, deleted }
    }

    /// Callers of every role whose scope is a list without that environment.
    fn strangers(&self) -> Vec<(String, Client)> {
        let home = self.app.environment_id("home");
        let mut strangers = Vec::new();
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            strangers.push((format!("{role} of home"), self.app.scoped(role, &[&home])));
            strangers.push((format!("{role} of nothing"), self.app.scoped(role, &[])));
        }
        strangers
    }
}

/// Everything that a client sees of a response, except for the time.
fn visible(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers = reply.headers.clone();
    headers.retain(|(name, _)| name != "date");
    // Their order comes from a hash table and varies between responses.
    headers.sort();
    (reply.status, headers, reply.text())
}

type Request = (&'static str, &'static str, Option<&'static str>);

/// Requests about a row, including those whose response would depend on its state: conditions,
/// write-only, versions that exist and versions that do not.
const ROW_REQUESTS: &[Request] = &[
    ("GET", "/api/secrets/{id}", None),
    ("HEAD", "/api/secrets/{id}", None),
    ("PATCH", "/api/secrets/{id}", Some(r#"{"value":"x"}"#)),
    ("PATCH", "/api/secrets/{id}", Some(r#"{"neverReveal":false}"#)),
    ("PATCH", "/api/secrets/{id}", Some("{}")),
    ("PATCH", "/api/secrets/{id}", Some(r#"{"key":"OPEN"}"#)),
    ("PATCH", "/api/secrets/{id}", Some(r#"{"value":7}"#)),
    ("PATCH", "/api/secrets/{id}", Some("{")),
    ("PATCH", "/api/secrets/{id}?version=1", Some(r#"{"value":"x"}"#)),
    ("PATCH", "/api/secrets/{id}?version=9", Some(r#"{"value":"x"}"#)),
    ("PATCH", "/api/secrets/{id}?version=no", Some(r#"{"value":"x"}"#)),
    ("DELETE", "/api/secrets/{id}", None),
    ("GET", "/api/secrets/{id}/value", None),
    ("HEAD", "/api/secrets/{id}/value", None),
    ("GET", "/api/secrets/{id}/versions", None),
    ("HEAD", "/api/secrets/{id}/versions", None),
    ("POST", "/api/secrets/{id}/versions/1/activate", None),
    ("POST", "/api/secrets/{id}/versions/9/activate", None),
    ("POST", "/api/secrets/{id}/versions/0/activate", None),
    ("POST", "/api/secrets/{id}/versions/x/activate", None),
    ("PUT", "/api/secrets/{id}", Some("{}")),
    ("GET", "/api/vars/{id}", None),
    ("HEAD", "/api/vars/{id}", None),
    ("PATCH", "/api/vars/{id}", Some(r#"{"value":"x"}"#)),
    ("PATCH", "/api/vars/{id}", Some(r#"{"version":1}"#)),
    ("PATCH", "/api/vars/{id}", Some(r#"{"value":""}"#)),
    ("PATCH", "/api/vars/{id}?version=9", Some(r#"{"value":"x"}"#)),
    ("DELETE", "/api/vars/{id}", None),
];

const ENVIRONMENT_REQUESTS: &[Request] = &[
    ("GET", "/api/environments/{e}", None),
    ("HEAD", "/api/environments/{e}", None),
    ("DELETE", "/api/environments/{e}", None),
    ("DELETE", "/api/environments/{e}?force=true", None),
    ("DELETE", "/api/environments/{e}?force=maybe", None),
    ("GET", "/api/environments/{e}/settings/configuration", None),
    ("HEAD", "/api/environments/{e}/settings/configuration", None),
    (
        "PATCH",
        "/api/environments/{e}/settings/configuration",
        Some(r#"{"allowSecretReveal":false}"#),
    ),
    ("PATCH", "/api/environments/{e}/settings/configuration", Some(r#"{"odd":1}"#)),
    ("POST", "/api/environments/{e}/settings/configuration/reset", None),
    ("GET", "/api/environments/{e}/secrets", None),
    ("HEAD", "/api/environments/{e}/secrets", None),
    ("GET", "/api/environments/{e}/secrets?limit=0", None),
    ("GET", "/api/environments/{e}/secrets?prefix=OPEN&after=A", None),
    ("POST", "/api/environments/{e}/secrets", Some(r#"{"key":"OPEN","value":"x"}"#)),
    ("POST", "/api/environments/{e}/secrets", Some(r#"{"key":"NEW","value":"x"}"#)),
    ("POST", "/api/environments/{e}/secrets", Some("{")),
    (
        "POST",
        "/api/environments/{e}/secrets/copy",
        Some(r#"{"from":"development","keys":["OPEN"]}"#),
    ),
    ("POST", "/api/environments/{e}/secrets/copy", Some("{")),
    (
        "POST",
        "/api/environments/{e}/secrets/import",
        Some(r#"{"secrets":[{"key":"NEW","value":"x"}]}"#),
    ),
    ("POST", "/api/environments/{e}/secrets/import", Some("{")),
    ("POST", "/api/environments/{e}/vars/import", Some(r#"{"vars":[{"key":"NEW","value":"x"}]}"#)),
    ("GET", "/api/environments/{e}/workloads", None),
    ("HEAD", "/api/environments/{e}/workloads", None),
    ("GET", "/api/environments/{e}/deliveries", None),
    ("HEAD", "/api/environments/{e}/deliveries", None),
    ("GET", "/api/environments/{e}/bundle", None),
    ("GET", "/api/environments/{e}/bundle?workload=local", None),
    ("GET", "/api/environments/{e}/vars", None),
    ("HEAD", "/api/environments/{e}/vars", None),
    ("POST", "/api/environments/{e}/vars", Some(r#"{"key":"OPEN","value":"x"}"#)),
    ("POST", "/api/environments/{e}/vars", Some("{}")),
];

fn send(client: &Client, request: &Request, placeholder: &str, with: &str) -> Reply {
    let (method, path, body) = request;
    let body = body.map(|body| ("application/json", body.as_bytes()));
    client.send(method, &path.replace(placeholder, with), body)
}

#[test]
fn every_row_route_is_asked_for_a_foreign_row() {
    let asked = |method: &str, path: &str| {
        let shape = path.replace("{version}", "1");
        ROW_REQUESTS.iter().any(|request| request.0 == method && request.1 == shape)
    };
    // Requests without an environment are tested in `attacks/hidden.rs`.
    let of_rows = |route: &&coffer::http::RouteInfo| {
        route.path.starts_with("/api/secrets/") || route.path.starts_with("/api/vars/")
    };
    for route in coffer::http::routes().iter().filter(of_rows) {
        assert!(asked(route.method.as_str(), route.path), "{} {}", route.method, route.path);
    }
    let asked = |method: &str, path: &str| {
        let shape = path.replace("{environment}", "{e}");
        ENVIRONMENT_REQUESTS.iter().any(|request| request.0 == method && request.1 == shape)
    };
    for route in coffer::http::routes().iter().filter(|route| route.path.contains("{environment}"))
    {
        assert!(asked(route.method.as_str(), route.path), "{} {}", route.method, route.path);
    }
}

#[test]
fn a_foreign_row_and_a_missing_row_answer_byte_for_byte_the_same() {
    let scene = Scene::new();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let missing_secret = SecretId::new(now, [7; 10]).to_string();
    let missing_var = VarId::new(now, [7; 10]).to_string();
    for (who, client) in scene.strangers() {
        for request in ROW_REQUESTS {
            let (foreign, missing) = if request.1.starts_with("/api/vars") {
                (vec![&scene.var], &missing_var)
            } else {
                (vec![&scene.secret, &scene.never], &missing_secret)
            };
            // Use the same id for both, so that nothing has to be removed from the responses.
            let client = client.with("X-Request-Id", "same");
            let absent = visible(&send(&client, request, "{id}", missing));
            assert!(absent.0 >= 400, "{who} {request:?}");
            // Other unusual ids get the same response: another kind's id, a deleted row, not an id
            // at all, another spelling of the existing id.
            let lower = foreign[0].to_lowercase();
            let odd = [&scene.deleted, &scene.foreign, &"nothing".to_owned(), &lower];
            for id in foreign.into_iter().chain(odd) {
                let found = visible(&send(&client, request, "{id}", id));
                assert_eq!(found, absent, "{who} {request:?} {id}");
            }
        }
    }
    nothing_was_done(&scene);
}

#[test]
fn a_foreign_row_is_hidden_from_conditions_and_from_the_reveal_switch() {
    let scene = Scene::new();
    let off = json!({ "allowSecretReveal": false });
    let settings = "/api/environments/foreign/settings/configuration";
    scene.app.admin().patch(settings, &off).expect(200);
    for (who, client) in scene.strangers().into_iter().filter(|(who, _)| who.starts_with("admin")) {
        // 403 REVEAL_DISABLED or SECRET_WRITE_ONLY would reveal that it exists.
        for id in [&scene.secret, &scene.never] {
            let reply = client.get(&format!("/api/secrets/{id}/value"));
            assert_eq!(reply.status, 404, "{who}");
            reply.expect_error(404, "NOT_FOUND");
            // 409 would also reveal it, and which version is active.
            let patch = client.with("If-Match", "\"9\"");
            let patch = patch.patch(&format!("/api/secrets/{id}"), &json!({ "value": "x" }));
            patch.expect_error(404, "NOT_FOUND");
        }
    }
    nothing_was_done(&scene);
}

#[test]
fn a_foreign_environment_and_a_missing_one_answer_byte_for_byte_the_same() {
    let scene = Scene::new();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let missing = EnvironmentId::new(now, [7; 10]).to_string();
    for (who, client) in scene.strangers() {
        let client = client.with("X-Request-Id", "same");
        for request in ENVIRONMENT_REQUESTS {
            let absent = visible(&send(&client, request, "{e}", &missing));
            assert_eq!(absent.0, 403, "{who} {request:?}");
            for segment in [scene.foreign.as_str(), "foreign", "FOREIGN", "missing", "-", "%20"] {
                let found = visible(&send(&client, request, "{e}", segment));
                assert_eq!(found, absent, "{who} {request:?} {segment}");
            }
        }
    }
    nothing_was_done(&scene);
}

fn nothing_was_done(scene: &Scene) {
    let admin = scene.app.admin();
    let environment = admin.get("/api/environments/foreign").expect(200);
    assert_eq!(environment["environment"]["_count"], json!({ "secrets": 2, "vars": 1 }));
    for id in [&scene.secret, &scene.never] {
        let secret = admin.get(&format!("/api/secrets/{id}")).expect(200);
        assert_eq!(secret["secret"]["version"], 1);
    }
    let var = admin.get(&format!("/api/vars/{}", scene.var)).expect(200);
    assert_eq!(var["var"]["value"], "v");
}

#[test]
fn a_foreign_and_a_missing_row_cost_the_same_number_of_audit_rows() {
    // If only one of them were written to disk, the response time would reveal it.
    let scene = Scene::new();
    let missing = SecretId::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]).to_string();
    let strangers = scene.strangers();
    for (number, (_, client)) in strangers.iter().enumerate() {
        let foreign = client.with("X-Request-Id", &format!("foreign-{number}"));
        let absent = client.with("X-Request-Id", &format!("missing-{number}"));
        foreign.get(&format!("/api/secrets/{}", scene.secret)).expect_error(404, "NOT_FOUND");
        absent.get(&format!("/api/secrets/{missing}")).expect_error(404, "NOT_FOUND");
    }
    let dir = scene.app.stop();
    let mut counts = BTreeMap::<String, usize>::new();
    for row in support::audit_rows(dir.path()) {
        *counts.entry(row.draft.request_id.unwrap_or_default()).or_default() += 1;
    }
    for number in 0..strangers.len() {
        assert_eq!(counts.get(&format!("foreign-{number}")), Some(&1));
        assert_eq!(counts.get(&format!("missing-{number}")), Some(&1));
    }
}

#[test]
fn callers_who_are_not_known_learn_nothing_and_cannot_tell_why_they_are_not() {
    let scene = Scene::new();
    let app = &scene.app;
    let past = Timestamp::from_millis(1_000);
    let expired = app.token(Role::Admin, Scope::All, Some(past));
    let good = app.admin_token();
    let (head, last) = good.split_at(good.len() - 1);
    let altered = format!("{head}{}", if last == "A" { "B" } else { "A" });
    let header = |value: &str| app.anonymous().with("Authorization", value);
    let nobodies = [
        app.anonymous(),
        app.bearer(&expired),
        app.bearer(&altered),
        app.bearer(&format!("{good}x")),
        app.bearer("x"),
        app.bearer(""),
        header(good),
        header("Bearer"),
        header(&format!("Basic {good}")),
        header(&format!("Token {good}")),
        // With two credentials it is ambiguous which one counts.
        app.admin().with("Authorization", "Bearer x"),
    ];
    let expected = visible(&app.anonymous().with("X-Request-Id", "same").get("/api/environments"));
    for (number, nobody) in nobodies.iter().enumerate() {
        let nobody = nobody.with("X-Request-Id", "same");
        for request in ROW_REQUESTS.iter().filter(|request| !matches!(request.0, "HEAD" | "PUT")) {
            for id in [scene.secret.as_str(), scene.var.as_str(), "missing"] {
                let found = visible(&send(&nobody, request, "{id}", id));
                assert_eq!(found, expected, "{number} {request:?} {id}");
            }
        }
        let requests = ENVIRONMENT_REQUESTS.iter().filter(|request| request.0 != "HEAD");
        for request in requests {
            for segment in ["foreign", "missing"] {
                let found = visible(&send(&nobody, request, "{e}", segment));
                assert_eq!(found, expected, "{number} {request:?} {segment}");
            }
        }
    }
    app.anonymous()
        .with("Authorization", &format!("bEaReR {good}"))
        .get("/api/environments")
        .expect(200);
    nothing_was_done(&scene);
}
