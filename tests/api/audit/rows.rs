//! What the audit log holds after the session that this file scripts: one row for each event, with
//! who, what, where and the outcome; no row for reads of metadata and none for changes that did not
//! happen.

use std::collections::BTreeMap;

use coffer::audit::Row;
use coffer::domain::{Role, Scope};
use serde_json::{Value, json};
use support::{Client, Reply, Setup, TestApp};

/// The actor of a request: its name in the log and the id of its token.
struct Actor {
    client: Client,
    name: String,
    token: String,
}

impl Actor {
    fn new(app: &TestApp, token: &str) -> Self {
        let principal = app.state.access.authenticate(token).unwrap().unwrap();
        let token_id = principal.token_id().unwrap().to_string();
        Self { client: app.bearer(token), name: principal.name, token: token_id }
    }
}

/// A server whose requests carry ids, so that their rows can be found.
struct Session {
    app: TestApp,
    admin: Actor,
    operator: Actor,
    viewer: Actor,
    /// An operator of only the environment `other`.
    stranger: Actor,
    home: String,
}

impl Session {
    fn start() -> Self {
        let app = TestApp::start_with(Setup::default().environments(&["home", "other"]));
        let other = app.environment_id("other").parse().unwrap();
        let admin = Actor::new(&app, app.admin_token());
        let operator = Actor::new(&app, &app.token(Role::Operator, Scope::All, None));
        let viewer = Actor::new(&app, &app.token(Role::Viewer, Scope::All, None));
        let scope = Scope::Environments([other].into());
        let stranger = Actor::new(&app, &app.token(Role::Operator, scope, None));
        let home = app.environment_id("home");
        Self { app, admin, operator, viewer, stranger, home }
    }

    fn send(&self, who: &Actor, id: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string());
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        who.client.with("X-Request-Id", id).send(method, path, body)
    }

    /// Creates a row in `home` and returns its id.
    fn create(&self, kind: &str, id: &str, body: Value) -> String {
        let path = format!("/api/environments/home/{kind}s");
        let made = self.send(&self.operator, id, "POST", &path, Some(body)).expect(200);
        made[kind]["id"].as_str().unwrap().to_owned()
    }

    fn stop(self) -> Rows {
        let dir = self.app.stop();
        Rows(support::audit_rows(dir.path()))
    }
}

struct Rows(Vec<Row>);

impl Rows {
    fn of(&self, request: &str) -> Vec<&Row> {
        let is_it = |row: &&Row| row.draft.request_id.as_deref() == Some(request);
        self.0.iter().filter(is_it).collect()
    }

    #[track_caller]
    fn none(&self, request: &str) {
        assert!(self.of(request).is_empty(), "{request} left {:?}", self.of(request));
    }

    /// The only row of a request. Checks that this actor made it.
    #[track_caller]
    fn one(&self, request: &str, by: &str, token: &str) -> Found<'_> {
        let found = self.of(request);
        assert_eq!(found.len(), 1, "{request} left {found:?}");
        let draft = &found[0].draft;
        assert_eq!(draft.actor.name, by, "{request}");
        let used = draft.actor.token.map(|id| id.to_string());
        assert_eq!(used.as_deref(), Some(token), "{request}");
        assert_eq!(draft.ip.as_deref(), Some("127.0.0.1"), "{request}");
        Found(found[0])
    }
}

struct Found<'a>(&'a Row);

impl Found<'_> {
    #[track_caller]
    fn says(self, action: &str, id: Option<&str>, name: Option<&str>, error: Option<&str>) -> Self {
        let draft = &self.0.draft;
        assert_eq!(draft.action.as_str(), action);
        assert_eq!(draft.resource.id.as_deref(), id, "{draft:?}");
        assert_eq!(draft.resource.name.as_deref(), name, "{draft:?}");
        assert_eq!(draft.error.as_deref(), error, "{draft:?}");
        self
    }

    #[track_caller]
    fn within(self, id: &str, name: &str) -> Self {
        let label = self.0.draft.environment.as_ref().expect("the environment");
        assert_eq!((label.id.to_string().as_str(), label.name.as_str()), (id, name));
        self
    }

    /// The members that the details must have.
    #[track_caller]
    fn with(self, members: Value) {
        let details = self.0.draft.details.as_deref().expect("details");
        let details: Value = serde_json::from_str(details).unwrap();
        for (name, value) in members.as_object().unwrap() {
            assert_eq!(&details[name], value, "{details}");
        }
    }
}

#[test]
fn each_change_of_a_secret_leaves_one_row_with_what_changed() {
    let session = Session::start();
    let (operator, home) = (&session.operator, session.home.clone());
    let send = |id: &str, method: &str, path: &str, body| {
        session.send(operator, id, method, path, body).expect(200);
    };
    let id = session.create("secret", "create", json!({ "key": "A_KEY", "value": "one" }));
    let never = json!({ "key": "MADE", "generate": {}, "neverReveal": true });
    let made = session.create("secret", "generate", never);
    let path = format!("/api/secrets/{id}");
    send("value", "PATCH", &path, Some(json!({ "value": "two" })));
    send("description", "PATCH", &path, Some(json!({ "description": "what for" })));
    let all = json!({ "value": "three", "description": null, "neverReveal": true });
    send("all", "PATCH", &path, Some(all));
    send("activate", "POST", &format!("{path}/versions/1/activate"), None);
    send("delete", "DELETE", &path, None);

    let (name, token) = (operator.name.clone(), operator.token.clone());
    let rows = session.stop();
    let found = |request: &str, action: &str| {
        let row = rows.one(request, &name, &token).within(&home, "home");
        row.says(action, Some(&id), Some("A_KEY"), None)
    };
    let first = json!({ "neverReveal": false, "generated": false, "newVersion": 1 });
    found("create", "secret.create").with(first);
    let generated = rows.one("generate", &name, &token).within(&home, "home");
    let generated = generated.says("secret.create", Some(&made), Some("MADE"), None);
    generated.with(json!({ "neverReveal": true, "generated": true, "newVersion": 1 }));
    let value = json!({ "changed": ["value"], "oldVersion": 1, "newVersion": 2 });
    found("value", "secret.update").with(value);
    let description = json!({ "changed": ["description"], "oldVersion": 2, "newVersion": 2 });
    found("description", "secret.update").with(description);
    let all = found("all", "secret.update");
    let details: Value = serde_json::from_str(all.0.draft.details.as_ref().unwrap()).unwrap();
    let mut changed: Vec<_> = details["changed"].as_array().unwrap().iter().collect();
    changed.sort_by_key(std::string::ToString::to_string);
    assert_eq!(changed, ["description", "neverReveal", "value"]);
    all.with(json!({ "oldVersion": 2, "newVersion": 3 }));
    found("activate", "secret.activate").with(json!({ "activated": 1, "newVersion": 4 }));
    found("delete", "secret.delete").with(json!({ "oldVersion": 4 }));
}

#[test]
fn each_change_of_a_var_leaves_one_row_with_what_changed_and_never_the_value() {
    let session = Session::start();
    let (operator, home) = (&session.operator, session.home.clone());
    let body = json!({ "key": "A_VAR", "value": "first-of-var" });
    let id = session.create("var", "create", body);
    let path = format!("/api/vars/{id}");
    let update = json!({ "value": "second-of-var", "description": "d" });
    session.send(operator, "update", "PATCH", &path, Some(update)).expect(200);
    session.send(operator, "delete", "DELETE", &path, None).expect(200);

    let (name, token) = (operator.name.clone(), operator.token.clone());
    let rows = session.stop();
    let found = |request: &str, action: &str| {
        let row = rows.one(request, &name, &token).within(&home, "home");
        row.says(action, Some(&id), Some("A_VAR"), None)
    };
    found("create", "var.create").with(json!({ "newVersion": 1 }));
    let changed = json!({ "changed": ["description", "value"], "oldVersion": 1, "newVersion": 2 });
    found("update", "var.update").with(changed);
    found("delete", "var.delete").with(json!({ "oldVersion": 2 }));
    for row in &rows.0 {
        assert!(!format!("{row:?}").contains("-of-var"), "a value is in the log");
    }
}

#[test]
fn a_reveal_leaves_one_row_whether_it_was_granted_or_why_it_was_not() {
    let session = Session::start();
    let home = session.home.clone();
    let open = session.create("secret", "c1", json!({ "key": "OPEN", "value": "v" }));
    let shut = json!({ "key": "SHUT", "value": "v", "neverReveal": true });
    let shut = session.create("secret", "c2", shut);
    let reveal = |who: &Actor, request: &str, id: &str| {
        session.send(who, request, "GET", &format!("/api/secrets/{id}/value"), None).status
    };
    let admin = &session.admin;
    assert_eq!(reveal(admin, "granted", &open), 200);
    assert_eq!(reveal(admin, "granted-again", &open), 200);
    assert_eq!(reveal(admin, "write-only", &shut), 403);
    assert_eq!(reveal(&session.operator, "role", &open), 403);
    let settings = "/api/environments/home/settings/configuration";
    let off = json!({ "allowSecretReveal": false });
    session.send(admin, "off", "PATCH", settings, Some(off)).expect(200);
    assert_eq!(reveal(admin, "disabled", &open), 403);
    assert_eq!(reveal(admin, "disabled-first", &shut), 403);
    let head = format!("/api/secrets/{open}/value");
    assert_eq!(session.send(admin, "head", "HEAD", &head, None).status, 405);

    let (name, token) = (admin.name.clone(), admin.token.clone());
    let (low, low_token) = (session.operator.name.clone(), session.operator.token.clone());
    let rows = session.stop();
    let found = |request: &str, id: &str, key: &str, error: Option<&str>| {
        let row = rows.one(request, &name, &token).within(&home, "home");
        row.says("secret.reveal", Some(id), Some(key), error).with(json!({ "version": 1 }));
    };
    found("granted", &open, "OPEN", None);
    found("granted-again", &open, "OPEN", None);
    found("write-only", &shut, "SHUT", Some("SECRET_WRITE_ONLY"));
    found("disabled", &open, "OPEN", Some("REVEAL_DISABLED"));
    found("disabled-first", &shut, "SHUT", Some("REVEAL_DISABLED"));
    let refused = rows.one("role", &low, &low_token).within(&home, "home");
    refused.says("secret.reveal", Some(&open), None, Some("FORBIDDEN_ROLE"));
    rows.none("head");
}

#[test]
fn a_refusal_for_role_or_scope_leaves_one_row_and_an_unknown_caller_none() {
    let session = Session::start();
    let home = session.home.clone();
    let id = session.create("secret", "c", json!({ "key": "A_KEY", "value": "v" }));
    let path = format!("/api/secrets/{id}");
    let (viewer, stranger) = (&session.viewer, &session.stranger);
    let new = || Some(json!({ "key": "NEW", "value": "v" }));
    let secrets = "/api/environments/home/secrets";
    let send = |who: &Actor, request: &str, method: &str, path: &str, body| {
        session.send(who, request, method, path, body).status
    };
    assert_eq!(send(viewer, "role-create", "POST", secrets, new()), 403);
    assert_eq!(send(viewer, "role-delete", "DELETE", &path, None), 403);
    let name = Some(json!({ "name": "new" }));
    assert_eq!(send(viewer, "role-environment", "POST", "/api/environments", name), 403);
    assert_eq!(send(stranger, "scope-create", "POST", secrets, new()), 403);
    assert_eq!(send(stranger, "scope-list", "GET", secrets, None), 403);
    assert_eq!(send(stranger, "scope-row", "DELETE", &path, None), 404);
    let nobody = session.app.anonymous().with("X-Request-Id", "unknown");
    assert_eq!(nobody.delete(&path).status, 401);

    let (low, low_token) = (viewer.name.clone(), viewer.token.clone());
    let (far, far_token) = (stranger.name.clone(), stranger.token.clone());
    let rows = session.stop();
    let role = |request| rows.one(request, &low, &low_token);
    let scope = |request| rows.one(request, &far, &far_token).within(&home, "home");
    let refused = Some("FORBIDDEN_ROLE");
    role("role-create").says("secret.create", None, None, refused).within(&home, "home");
    role("role-delete").says("secret.delete", Some(&id), None, refused).within(&home, "home");
    let outside = role("role-environment").says("environment.create", None, None, refused);
    assert_eq!(outside.0.draft.environment, None);
    let refused = Some("FORBIDDEN_SCOPE");
    scope("scope-create").says("secret.create", None, None, refused);
    scope("scope-list").says("secret.list", None, None, refused);
    scope("scope-row").says("secret.delete", Some(&id), None, refused);
    rows.none("unknown");
}

#[test]
fn environments_and_settings_leave_rows_whose_names_outlive_them() {
    let session = Session::start();
    let admin = &session.admin;
    let send = |request: &str, method: &str, path: &str, body| {
        session.send(admin, request, method, path, body).expect(200)
    };
    let new = json!({ "name": "Short-Lived", "displayName": "d" });
    let made = send("create", "POST", "/api/environments", Some(new));
    let id = made["environment"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/environments/{id}");
    let settings = format!("{path}/settings/configuration");
    send("settings", "PATCH", &settings, Some(json!({ "allowSecretReveal": false })));
    send("reset", "POST", &format!("{settings}/reset"), None);
    let secret = json!({ "key": "INSIDE", "value": "v" });
    let inside = send("secret", "POST", &format!("{path}/secrets"), Some(secret));
    let inside = inside["secret"]["id"].as_str().unwrap().to_owned();
    send("delete", "DELETE", &format!("{path}?force=true"), None);
    // The name is free again. From now on it belongs to another environment.
    send("again", "POST", "/api/environments", Some(json!({ "name": "short-lived" })));

    let (name, token) = (admin.name.clone(), admin.token.clone());
    let rows = session.stop();
    let found = |request: &str, action: &str| {
        let row = rows.one(request, &name, &token).within(&id, "Short-Lived");
        row.says(action, Some(&id), Some("Short-Lived"), None)
    };
    found("create", "environment.create");
    let (on, off) = (
        json!({ "allowSecretReveal": true, "neverRevealByDefault": false }),
        json!({ "allowSecretReveal": false, "neverRevealByDefault": false }),
    );
    found("settings", "settings.update").with(json!({ "old": on, "new": off }));
    found("reset", "settings.reset").with(json!({ "old": off, "new": on }));
    found("delete", "environment.delete").with(json!({ "force": true, "secrets": 1, "vars": 0 }));
    let secret = rows.one("secret", &name, &token).within(&id, "Short-Lived");
    secret.says("secret.create", Some(&inside), Some("INSIDE"), None);
    let again = rows.of("again")[0].draft.resource.id.clone();
    assert_ne!(again.as_deref(), Some(id.as_str()));
}

#[test]
fn reading_leaves_no_row_and_neither_does_a_change_that_did_not_come_about() {
    let session = Session::start();
    let admin = &session.admin;
    let secret = session.create("secret", "c1", json!({ "key": "A_KEY", "value": "v" }));
    let var = session.create("var", "c2", json!({ "key": "A_KEY", "value": "v" }));
    let reads = [
        "/health".to_owned(),
        "/openapi.json".to_owned(),
        "/api/environments".to_owned(),
        "/api/environments/home".to_owned(),
        "/api/environments/home/settings/configuration".to_owned(),
        "/api/environments/home/secrets".to_owned(),
        "/api/environments/home/vars".to_owned(),
        format!("/api/secrets/{secret}"),
        format!("/api/secrets/{secret}/versions"),
        format!("/api/vars/{var}"),
    ];
    for path in &reads {
        assert_eq!(session.send(admin, "read", "GET", path, None).status, 200, "{path}");
        assert_eq!(session.send(admin, "read", "HEAD", path, None).status, 200, "{path}");
    }
    let path = format!("/api/secrets/{secret}");
    let secrets = "/api/environments/home/secrets";
    let failures = [
        ("POST", secrets, json!({ "key": "A_KEY", "value": "v" }), 409),
        ("POST", secrets, json!({ "key": "bad", "value": "v" }), 400),
        ("POST", secrets, json!({ "key": "B_KEY", "value": "" }), 400),
        ("POST", "/api/environments/none/secrets", json!({ "key": "B_KEY", "value": "v" }), 404),
        ("POST", "/api/environments/home/vars", json!({ "key": "A_KEY", "value": "v" }), 409),
        ("POST", "/api/environments", json!({ "name": "HOME" }), 409),
        ("DELETE", "/api/environments/home", json!({}), 409),
        ("PATCH", &path, json!({ "key": "B_KEY" }), 422),
        ("PATCH", &path, json!({ "value": 1 }), 400),
        ("PATCH", &format!("{path}?version=9"), json!({ "value": "w" }), 409),
        ("PATCH", "/api/secrets/none", json!({ "value": "w" }), 404),
        ("POST", &format!("{path}/versions/9/activate"), json!({}), 404),
    ];
    for (method, path, body, status) in failures {
        let reply = session.send(admin, "failed", method, path, Some(body));
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    session.send(admin, "last", "DELETE", &path, None).expect(200);

    let rows = session.stop();
    rows.none("read");
    rows.none("failed");
    // The numbering continues as if none of these requests had been made.
    let seq = |request: &str| rows.of(request)[0].seq;
    assert_eq!(seq("c2") + 1, seq("last"));
    let numbers: Vec<_> = rows.0.iter().map(|row| row.seq).collect();
    assert_eq!(numbers, (1..=rows.0.len() as u64).collect::<Vec<_>>());
}

#[test]
fn first_start_starts_stops_and_tokens_leave_rows_of_the_host() {
    let session = Session::start();
    let token = session.viewer.token.clone();
    let dir = session.app.stop();
    let app = TestApp::start_in(dir, Setup::default());
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    let actions: Vec<_> = rows.iter().map(|row| row.draft.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "server.initialize",
            "server.start",
            "token.create",
            "token.create",
            "token.create",
            "server.stop",
            "server.start",
            "server.stop",
        ]
    );
    for row in &rows {
        let draft = &row.draft;
        assert_eq!((draft.actor.name.as_str(), draft.actor.token), ("coffer", None));
        assert_eq!((&draft.request_id, &draft.ip, &draft.error), (&None, &None, &None));
    }
    let created: Vec<_> = rows.iter().filter_map(|row| row.draft.resource.id.clone()).collect();
    assert!(created.contains(&token), "the token's id is in its row");
    for row in [&rows[1], &rows[5]] {
        let details: Value = serde_json::from_str(row.draft.details.as_ref().unwrap()).unwrap();
        assert_eq!(details["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[test]
fn a_row_has_the_request_id_that_the_answer_had_and_the_time_of_the_clock() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let mut expected = BTreeMap::new();
    for number in 0..5 {
        let body = json!({ "key": format!("KEY{number}"), "value": "v" });
        // An id that the server does not accept is replaced, both in the response and in the row.
        let client = app.admin().with("X-Request-Id", "not taken over: blanks");
        let reply = client.post("/api/environments/development/secrets", &body);
        let at = reply.expect(200)["secret"]["createdAt"].as_str().unwrap().to_owned();
        let request = reply.header("x-request-id").unwrap().to_owned();
        assert!(request.starts_with("req_"));
        assert!(expected.insert(request, at).is_none(), "duplicate id");
        app.clock.as_ref().unwrap().advance_millis(1_001);
    }
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    for (request, at) in expected {
        let of_it = rows.iter().filter(|row| row.draft.request_id.as_ref() == Some(&request));
        let times: Vec<_> = of_it.map(|row| row.draft.at.to_string()).collect();
        assert_eq!(times, [at]);
    }
}
