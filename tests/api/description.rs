//! `/health`, `/openapi.json`, `/api/docs`: what the server says about itself, compared with what
//! it does.

use std::collections::{BTreeMap, BTreeSet};

use coffer::domain::Role;
use coffer::http::{RouteAccess, TargetKind};
use serde_json::{Value, json};
use support::paths::{SECRETS, VARS};
use support::{Client, Reply, Setup, TestApp, api, expect_log};

const ENVIRONMENT: &str = "/api/environments/{environment}";

fn description() -> Value {
    TestApp::start().anonymous().get("/openapi.json").expect(200)
}

/// Every operation, by method (in upper case) and path.
fn operations(document: &Value) -> BTreeMap<(String, String), &Value> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.insert((method.to_uppercase(), path.clone()), operation);
        }
    }
    all
}

#[test]
fn health_has_its_members() {
    let app = TestApp::start();
    for client in [app.anonymous(), app.admin(), app.bearer("cof_wrong")] {
        let body = client.get("/health").expect(200);
        let names: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = ["status", "timestamp", "version", "bundledAgentVersion", "cliVersion"];
        assert_eq!(names, BTreeSet::from(expected));
        assert_eq!((&body["status"], &body["bundledAgentVersion"]), (&json!("ok"), &json!("none")));
        for version in [&body["version"], &body["cliVersion"]] {
            assert_eq!(version, env!("CARGO_PKG_VERSION"));
        }
    }
}

#[test]
fn health_is_503_unavailable_while_the_store_cannot_be_written() {
    expect_log("health:");
    let app = TestApp::start();
    let (db, away) = (app.data_dir().join("db"), app.data_dir().join("away"));
    // A directory whose free space is unknown counts as full.
    std::fs::rename(&db, &away).unwrap();
    let reply = app.anonymous().get("/health");
    std::fs::rename(&away, &db).unwrap();
    let body = reply.expect(503);
    let well = app.anonymous().get("/health").expect(200);
    assert_eq!((&body["status"], &well["status"]), (&json!("unavailable"), &json!("ok")));
    let names = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&body), names(&well));
    check(&description(), &body, "Health");
}

#[test]
fn the_description_is_openapi_3_1_of_every_route_and_nothing_else() {
    let document = description();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let described: BTreeSet<_> = operations(&document).into_keys().collect();
    let routes = coffer::http::routes();
    let served: BTreeSet<_> = routes
        .iter()
        .map(|route| (route.method.as_str().to_owned(), route.path.to_owned()))
        .collect();
    assert_eq!(served.len(), routes.len(), "the table has a duplicate route");
    assert_eq!(described, served);
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|inner| references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    let document = description();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_has_a_success_schema_a_name_and_its_path_parameters() {
    let document = description();
    let mut names = BTreeSet::new();
    for ((method, path), operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        let (kind, content) = content.iter().next().unwrap();
        let expected = match path.as_str() {
            "/api/docs" => "text/html",
            "/api/admin/backup" => "application/octet-stream",
            path if path.ends_with("/bundle") => "application/age-encryption",
            _ => "application/json",
        };
        assert_eq!(kind, expected, "{path}");
        assert!(content["schema"].is_object(), "{method} {path}");
        let in_path: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described: BTreeSet<_> = parameters
            .iter()
            .filter(|one| one["in"] == "path")
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(described, in_path, "{method} {path}");
        assert_eq!(
            operation["requestBody"].is_object(),
            takes_body(&method, &path),
            "{method} {path}"
        );
    }
}

fn takes_body(method: &str, path: &str) -> bool {
    method == "PATCH"
        || (method == "POST"
            && ["/reset", "/activate", "/logout", "/rotate"].iter().all(|end| !path.ends_with(end)))
}

#[test]
fn every_operation_describes_the_statuses_that_follow_from_what_it_needs() {
    let document = description();
    let described = operations(&document);
    for route in coffer::http::routes() {
        let key = (route.method.as_str().to_owned(), route.path.to_owned());
        let responses = described[&key]["responses"].as_object().unwrap();
        let RouteAccess::Principal { role, target } = route.access else { continue };
        let mut expected = vec!["200", "400", "401", "413", "415", "500", "503"];
        if role > Role::Viewer || matches!(target, TargetKind::Everything | TargetKind::Environment)
        {
            expected.push("403");
        }
        if matches!(target, TargetKind::Row | TargetKind::Environment) {
            expected.push("404");
        }
        for status in expected {
            assert!(responses.contains_key(status), "{status} of {key:?}");
        }
        for (status, response) in responses {
            // 304 has no body.
            if !["200", "304"].contains(&status.as_str()) {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Error", "{status} of {key:?}");
            }
        }
        assert!(described[&key]["security"].is_array(), "{key:?}");
    }
    assert!(described[&("GET".to_owned(), "/health".to_owned())]["responses"]["503"].is_object());
}

/// The schema with this name.
fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "no schema {name}");
    schema
}

/// Fails unless a response matches its schema: types, every required member, and no
/// member that the schema does not describe.
#[track_caller]
fn check(document: &Value, answer: &Value, name: &str) {
    let problems = problems(document, answer, schema(document, name), name);
    assert!(problems.is_empty(), "{problems:#?} in {answer}");
}

fn problems(document: &Value, value: &Value, schema: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return problems(document, value, target, place);
    }
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(choices) = choices {
        let fits = |choice: &Value| problems(document, value, choice, place).is_empty();
        return if choices.iter().any(fits) {
            vec![]
        } else {
            vec![format!("{place}: no choice fits")]
        };
    }
    let mut found = Vec::new();
    if !type_fits(value, &schema["type"]) && !schema["allOf"].is_array() {
        found.push(format!("{place}: not of type {}", schema["type"]));
    }
    match value {
        Value::Object(members) => {
            let (properties, required) = object_parts(document, schema);
            for name in required.difference(&members.keys().map(String::as_str).collect()) {
                found.push(format!("{place}.{name}: required, but absent"));
            }
            for (name, inner) in members {
                match properties.get(name.as_str()) {
                    Some(schema) => {
                        found.extend(problems(document, inner, schema, &format!("{place}.{name}")));
                    }
                    None => found.push(format!("{place}.{name}: not described")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                found.extend(problems(document, item, &schema["items"], &format!("{place}[]")));
            }
        }
        _ => {}
    }
    found
}

/// Properties and required members, including those of `allOf`.
fn object_parts<'a>(
    document: &'a Value,
    schema: &'a Value,
) -> (BTreeMap<&'a str, &'a Value>, BTreeSet<&'a str>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return object_parts(document, target);
    }
    let mut properties = BTreeMap::new();
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        properties.insert(name.as_str(), inner);
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let mut required: BTreeSet<_> = required.filter_map(Value::as_str).collect();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more, needed) = object_parts(document, part);
        properties.extend(more);
        required.extend(needed);
    }
    (properties, required)
}

fn type_fits(value: &Value, wanted: &Value) -> bool {
    let fits = |wanted: &Value| match wanted.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    };
    match wanted {
        Value::Array(choices) => choices.iter().any(fits),
        wanted => fits(wanted),
    }
}

/// One response of every route: method, path as described, and the response.
fn answers(admin: &Client) -> Vec<(&'static str, String, Reply)> {
    let new = json!({ "key": "A", "value": "v" });
    let settings = format!("{ENVIRONMENT}/settings/configuration");
    let actual = |path: &str| path.replace("{environment}", "development");
    let mut all = Vec::new();
    let secrets = format!("{ENVIRONMENT}/secrets");
    let vars = format!("{ENVIRONMENT}/vars");
    for list in [secrets, vars] {
        all.push(("POST", list.clone(), admin.post(&actual(&list), &new)));
        let described = json!({ "key": "B", "value": "v", "description": "d" });
        all.push(("POST", list.clone(), admin.post(&actual(&list), &described)));
        all.push(("GET", list.clone(), admin.get(&actual(&list))));
        let import = format!("{list}/import");
        let items = json!([{ "key": "C", "value": "v" }, { "key": "A", "value": "w" }]);
        let rows = list.rsplit('/').next().unwrap();
        let body = json!({ rows: items, "onConflict": "skip" });
        all.push(("POST", import.clone(), admin.post(&actual(&import), &body)));
    }
    let id = |list: &str, rows: &str| {
        admin.get(list).expect(200)[rows][0]["id"].as_str().unwrap().to_owned()
    };
    api::new_environment(admin, "other");
    let copy = json!({ "from": "development", "keys": ["A", "B"] });
    let path = "/api/environments/other/secrets/copy";
    all.push(("POST", format!("{ENVIRONMENT}/secrets/copy"), admin.post(path, &copy)));
    for (member, list, rows) in [("secrets", SECRETS, "secrets"), ("vars", VARS, "vars")] {
        let path = format!("/api/{member}/{}", id(list, rows));
        let described = format!("/api/{member}/{{id}}");
        all.push(("GET", described.clone(), admin.get(&path)));
        all.push(("PATCH", described.clone(), admin.patch(&path, &json!({ "value": "w" }))));
        if member == "secrets" {
            all.push(("GET", format!("{described}/value"), admin.get(&format!("{path}/value"))));
            all.push((
                "GET",
                format!("{described}/versions"),
                admin.get(&format!("{path}/versions")),
            ));
            let activate = admin.send("POST", &format!("{path}/versions/1/activate"), None);
            all.push(("POST", format!("{described}/versions/{{version}}/activate"), activate));
        }
        all.push(("DELETE", described, admin.delete(&path)));
    }
    let staging = json!({ "name": "staging", "displayName": "Staging" });
    all.push(("POST", "/api/environments".to_owned(), admin.post("/api/environments", &staging)));
    all.push(("GET", "/api/environments".to_owned(), admin.get("/api/environments")));
    all.push(("GET", ENVIRONMENT.to_owned(), admin.get(&actual(ENVIRONMENT))));
    all.push(("DELETE", ENVIRONMENT.to_owned(), admin.delete("/api/environments/staging")));
    all.push(("GET", settings.clone(), admin.get(&actual(&settings))));
    all.push(("PATCH", settings.clone(), admin.patch(&actual(&settings), &json!({}))));
    let reset = format!("{settings}/reset");
    all.push(("POST", reset.clone(), admin.send("POST", &actual(&reset), None)));
    let workloads = format!("{ENVIRONMENT}/workloads");
    all.push(("GET", workloads.clone(), admin.get(&actual(&workloads))));
    let deliveries = format!("{ENVIRONMENT}/deliveries");
    all.push(("GET", deliveries.clone(), admin.get(&actual(&deliveries))));
    all.push(("GET", "/health".to_owned(), admin.get("/health")));
    for path in ["/api/audit-logs", "/api/audit-logs/verification", "/api/audit-logs/export"] {
        all.push(("GET", path.to_owned(), admin.get(path)));
    }
    for path in ["/api/admin/doctor", "/api/admin/status", "/api/auth/registration"] {
        all.push(("GET", path.to_owned(), admin.get(path)));
    }
    all
}

/// Responses of the routes for accounts.
fn account_answers(app: &TestApp) -> Vec<(&'static str, String, Reply)> {
    let admin = app.admin();
    let mut all = Vec::new();
    let first = json!({ "email": "ada@example.org", "password": "a long password", "name": "Ada" });
    let mut keep = |method: &'static str, path: &str, reply: Reply| -> Value {
        all.push((method, path.to_owned(), reply.clone()));
        reply.json()
    };
    keep("POST", "/api/auth/register", app.admin().post("/api/auth/register", &first));
    let login = keep("POST", "/api/auth/login", app.anonymous().post("/api/auth/login", &first));
    let session = app.bearer(login["token"].as_str().unwrap());
    keep("GET", "/api/auth/me", session.get("/api/auth/me"));
    keep("GET", "/api/auth/me", admin.get("/api/auth/me"));
    keep("POST", "/api/auth/logout", session.send("POST", "/api/auth/logout", None));
    let new = json!({
        "email": "bob@example.org",
        "password": "a long password",
        "environmentIds": [app.environment_id("development")],
    });
    keep("POST", "/api/users", admin.post("/api/users", &new));
    let users = keep("GET", "/api/users", admin.get("/api/users"));
    let id = users["users"][1]["id"].as_str().unwrap();
    app.anonymous().post("/api/auth/login", &new).expect(200);
    let (user, described) = (format!("/api/users/{id}"), "/api/users/{id}");
    keep("GET", described, admin.get(&user));
    keep("PATCH", described, admin.patch(&user, &json!({ "name": "Bob" })));
    let path = "/api/users/{id}/sessions";
    let sessions = keep("GET", path, admin.get(&format!("{user}/sessions")));
    let session = sessions["sessions"][0]["id"].as_str().unwrap();
    let one = "/api/users/{id}/sessions/{session}";
    keep("DELETE", one, admin.delete(&format!("{user}/sessions/{session}")));
    keep("DELETE", path, admin.delete(&format!("{user}/sessions")));
    let password = json!({ "newPassword": "another password" });
    let change = admin.post(&format!("{user}/change-password"), &password);
    keep("POST", "/api/users/{id}/change-password", change);
    keep("DELETE", described, admin.delete(&user));
    let accounts = "/api/admin/service-accounts";
    let new = json!({ "name": "deploy", "role": "operator", "allEnvironments": true });
    let made = keep("POST", accounts, admin.post(accounts, &new));
    keep("GET", accounts, admin.get(accounts));
    let owner = made["serviceAccount"]["id"].as_str().unwrap();
    let (account, described) = (format!("{accounts}/{owner}"), "/api/admin/service-accounts/{id}");
    keep("GET", described, admin.get(&account));
    keep("PATCH", described, admin.patch(&account, &json!({ "description": "deploys" })));
    let tokens = "/api/admin/tokens";
    let new = json!({
        "name": "t",
        "role": "viewer",
        "allEnvironments": true,
        "ownerServiceAccountId": owner,
        "expiresInDays": 30,
    });
    let made = keep("POST", tokens, admin.post(tokens, &new));
    keep("GET", "/api/auth/me", app.bearer(made["token"].as_str().unwrap()).get("/api/auth/me"));
    keep("GET", tokens, admin.get(tokens));
    let token = made["tokenRecord"]["id"].as_str().unwrap();
    keep("DELETE", "/api/admin/tokens/{id}", admin.delete(&format!("{tokens}/{token}")));
    keep("DELETE", described, admin.delete(&account));
    let keys = "/api/admin/keys";
    keep("GET", keys, admin.get(keys));
    keep("POST", "/api/admin/keys/rotate", admin.send("POST", "/api/admin/keys/rotate", None));
    api::rotated(&admin);
    keep("GET", keys, admin.get(keys));
    keep("DELETE", "/api/admin/keys/{id}", admin.delete("/api/admin/keys/1"));
    all
}

#[test]
fn the_answers_are_what_the_description_says() {
    let app = TestApp::start();
    let document = app.anonymous().get("/openapi.json").expect(200);
    let described = operations(&document);
    let mut seen = BTreeSet::new();
    let mut replies = answers(&app.admin());
    replies.extend(account_answers(&app));
    for (method, path, reply) in replies {
        let operation = described[&(method.to_owned(), path.clone())];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let found = problems(&document, &reply.expect(200), schema, "answer");
        assert!(found.is_empty(), "{method} {path}: {found:#?}");
        seen.insert((method.to_owned(), path));
    }
    // A route without a response here would go unchecked.
    let missed: Vec<_> = described
        .keys()
        .filter(|(_, path)| {
            let no_json = ["/openapi.json", "/api/docs", "/api/admin/backup"];
            !no_json.contains(&path.as_str()) && !path.ends_with("/bundle")
        })
        .filter(|key| !seen.contains(*key))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn error_answers_are_what_the_description_says() {
    let app = TestApp::start_with(Setup::default());
    let document = app.anonymous().get("/openapi.json").expect(200);
    let admin = app.admin();
    let replies = [
        admin.post(SECRETS, &json!({})),
        admin.get("/api/secrets/none"),
        app.anonymous().get(SECRETS),
        admin.delete("/api/environments/none"),
        admin.patch("/api/vars/none", &json!({ "id": 1, "key": 2 })),
    ];
    for reply in replies {
        assert!(reply.status >= 400);
        check(&document, &reply.json(), "Error");
    }
}

#[test]
fn the_described_bodies_name_the_members_of_the_contract() {
    let document = description();
    let body = |method: &str, path: &str| {
        let key = (method.to_owned(), path.to_owned());
        let schema =
            &operations(&document)[&key]["requestBody"]["content"]["application/json"]["schema"];
        let (properties, required) = object_parts(&document, schema);
        let properties: Vec<_> = properties.into_keys().collect();
        (properties.join(" "), required.into_iter().collect::<Vec<_>>().join(" "))
    };
    let said = |properties: &str, required: &str| (properties.to_owned(), required.to_owned());
    let secrets = format!("{ENVIRONMENT}/secrets");
    let vars = format!("{ENVIRONMENT}/vars");
    assert_eq!(body("POST", &secrets), said("description generate key neverReveal value", "key"));
    assert_eq!(body("POST", &format!("{secrets}/copy")), said("from keys onConflict", "from keys"));
    assert_eq!(
        body("PATCH", "/api/secrets/{id}"),
        said("description generate neverReveal value", "")
    );
    assert_eq!(body("POST", &vars), said("description key value", "key value"));
    assert_eq!(body("PATCH", "/api/vars/{id}"), said("description value", ""));
    assert_eq!(body("POST", "/api/environments"), said("displayName name", "name"));
    let settings = format!("{ENVIRONMENT}/settings/configuration");
    assert_eq!(body("PATCH", &settings), said("allowSecretReveal neverRevealByDefault", ""));
}

#[test]
fn the_page_for_people_names_every_path_and_fetches_nothing() {
    let app = TestApp::start();
    let reply = app.anonymous().get("/api/docs");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    let page = String::from_utf8(reply.body).unwrap();
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    for route in coffer::http::routes() {
        assert!(page.contains(route.path), "{}", route.path);
    }
    let lower = page.to_lowercase();
    for fetching in [
        "http://",
        "https://",
        "<script",
        "javascript:",
        "url(",
        "@import",
        "<link",
        "<img",
        "<iframe",
        " src=",
        "=\"//",
    ] {
        assert!(!lower.contains(fetching), "{fetching}");
    }
}

/// A parameter of an operation, by name.
fn parameter<'a>(operation: &'a Value, name: &str) -> &'a Value {
    let mut all = operation["parameters"].as_array().unwrap().iter();
    &all.find(|one| one["name"] == name).unwrap()["schema"]
}

#[test]
fn what_a_body_says_twice_or_not_at_all_is_described() {
    let app = TestApp::start();
    let admin = app.admin();
    let document = admin.get("/openapi.json").expect(200);
    let schemas = &document["components"]["schemas"];
    let one = json!([{ "required": ["value"] }, { "required": ["generate"] }]);
    assert_eq!(schemas["NewSecret"]["oneOf"], one);
    assert_eq!(schemas["SecretPatch"]["not"], json!({ "required": ["value", "generate"] }));
    for (name, list, not) in
        [("SecretImport", "secrets", "secrets"), ("VarImport", "vars", "dotenv")]
    {
        let one = json!([{ "required": [list] }, { "required": ["dotenv"] }]);
        assert_eq!(schemas[name]["oneOf"], one);
        assert_eq!(schemas[name]["not"], json!({ "required": [not, "neverReveal"] }));
        assert_eq!(schemas[name]["required"], json!(null));
    }
    assert_eq!(schemas["SettingsPatch"]["additionalProperties"], json!(false));
    let keys = &schemas["CopySecrets"]["properties"]["keys"];
    assert_eq!((&keys["minItems"], &keys["maxItems"]), (&json!(1), &json!(100)));
    assert_eq!((&keys["uniqueItems"], &keys["items"]["maxLength"]), (&json!(true), &json!(256)));
    let words = json!(["fail", "skip", "replace"]);
    assert_eq!(schemas["CopySecrets"]["properties"]["onConflict"]["enum"], words);
    for body in [json!({ "key": "A" }), json!({ "key": "A", "value": "v", "generate": {} })] {
        admin.post(SECRETS, &body).expect_error(400, "VALIDATION_ERROR");
    }
    let words = json!(["alphanumeric", "hex", "base64url", "ascii"]);
    assert_eq!(schemas["Generate"]["properties"]["alphabet"]["enum"], words);
    assert_eq!(schemas["Health"]["properties"]["status"]["enum"], json!(["ok", "unavailable"]));
}

#[test]
fn every_error_answer_says_which_codes_it_can_carry() {
    let document = description();
    let known = document["components"]["schemas"]["Error"]["properties"]["code"]["enum"].clone();
    let known = known.as_array().unwrap();
    for (key, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let schema = &response["content"]["application/json"]["schema"];
            if schema["$ref"] != "#/components/schemas/Error" {
                let is_bare = ["200", "304"].contains(&status.as_str());
                assert!(is_bare || key.1 == "/health" && status == "503", "{key:?}");
                continue;
            }
            let codes = schema["properties"]["code"]["enum"].as_array().unwrap();
            assert!(!codes.is_empty(), "{status} of {key:?}");
            assert!(codes.iter().all(|code| known.contains(code)), "{status} of {key:?}");
        }
    }
    let create = operations(&document)[&("POST".to_owned(), "/api/environments".to_owned())];
    let conflict = &create["responses"]["409"]["content"]["application/json"]["schema"];
    let codes = json!(["CONFLICT", "IDEMPOTENCY_KEY_REUSED"]);
    assert_eq!(conflict["properties"]["code"]["enum"], codes);
}

#[test]
fn the_headers_of_an_answer_are_described() {
    let document = description();
    for (key, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let mut expected = vec!["X-Request-Id"];
            match status.as_str() {
                "200" if key.0 == "POST" && operation["security"].is_array() => {
                    expected.push("Idempotent-Replayed");
                }
                "200" | "304" if key.1.ends_with("/bundle") => expected.push("ETag"),
                "401" => expected.push("WWW-Authenticate"),
                "429" => expected.extend([
                    "Retry-After",
                    "X-RateLimit-Limit",
                    "X-RateLimit-Remaining",
                    "X-RateLimit-Reset",
                ]),
                "503" if key.1 != "/health" => expected.push("Retry-After"),
                _ => {}
            }
            let described: BTreeSet<_> =
                response["headers"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(described, BTreeSet::from_iter(expected), "{status} of {key:?}");
        }
    }
}

#[test]
fn parameters_are_described_as_strictly_as_they_are_read() {
    let app = TestApp::start();
    let admin = app.admin();
    let document = admin.get("/openapi.json").expect(200);
    let operations = operations(&document);
    let operation = |method: &str, path: &str| operations[&(method.to_owned(), path.to_owned())];
    let audit = operation("GET", "/api/audit-logs");
    let made = admin.get("/api/environments/development").expect(200);
    let pattern = parameter(audit, "environmentId")["pattern"].as_str().unwrap();
    assert_eq!(pattern, "^env_[0-7][0-9A-HJKMNP-TV-Z]{25}$");
    let id = made["environment"]["id"].as_str().unwrap();
    admin.get(&format!("/api/audit-logs?environmentId={id}")).expect(200);
    for name in ["offset", "beforeSeq", "afterSeq"] {
        let most = parameter(audit, name)["maximum"].as_u64().unwrap();
        admin.get(&format!("/api/audit-logs?{name}={most}")).expect(200);
        for bad in [(most + 1).to_string(), "05".to_owned(), "%2B5".to_owned(), "-1".to_owned()] {
            let reply = admin.get(&format!("/api/audit-logs?{name}={bad}"));
            assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], name, "{bad}");
        }
    }
    let activate = operation("POST", "/api/secrets/{id}/versions/{version}/activate");
    assert_eq!(parameter(activate, "version")["type"], "integer");
    assert!(parameter(operation("PATCH", "/api/vars/{id}"), "If-Match")["pattern"].is_string());
    let pattern = parameter(activate, "Idempotency-Key")["pattern"].as_str().unwrap();
    assert_eq!(pattern, r"^[!-~]([\t -~]*[!-~])?$");
    let keyed = |key: &str| {
        let created = format!("K_{}", key.len());
        let body = json!({ "key": created, "value": "v" });
        admin.with("Idempotency-Key", key).post(VARS, &body)
    };
    keyed("a\tb, c").expect(200);
    keyed("é").expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn the_answer_to_a_creation_links_to_what_takes_its_id() {
    let document = description();
    let operations = operations(&document);
    let names: BTreeMap<_, _> = operations
        .iter()
        .map(|(key, operation)| (operation["operationId"].as_str().unwrap(), key))
        .collect();
    let mut linked = BTreeSet::new();
    for operation in operations.values() {
        for link in operation["responses"]["200"]["links"].as_object().into_iter().flatten() {
            let key = names[link.1["operationId"].as_str().unwrap()];
            let given = link.1["parameters"].as_object().unwrap().len();
            assert_eq!(given, key.1.matches('{').count(), "{key:?}");
            linked.insert(key);
        }
    }
    let missed: Vec<_> =
        operations.keys().filter(|key| key.1.contains('{') && !linked.contains(key)).collect();
    // No creation returns the id of a session, or of a key that can be retired.
    let unnamed = |path: &str| path.contains("{session}") || path == "/api/admin/keys/{id}";
    let missed: Vec<_> = missed.into_iter().filter(|key| !unnamed(&key.1)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn every_name_of_an_operation_is_one_word_and_every_tag_is_explained() {
    let document = description();
    let tags: BTreeSet<_> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .map(Value::to_string)
        .collect();
    for (key, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{name}");
        assert!(tags.contains(&operation["tags"][0].to_string()), "{key:?}");
    }
}
