//! What holds for every response: shapes, types, ids, times, headers. Bodies, methods and paths are
//! in `form.rs`, the order of the checks in `check_order.rs`, refused requests in `bad_*.rs`.

use std::collections::{BTreeMap, BTreeSet};

use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{make_secret, make_var, members};
use support::paths::{SECRETS, SETTINGS, VARS};
use support::{Client, Setup, TestApp};

const JSON_ANSWER: &str = "application/json; charset=utf-8";
const BODY_LIMIT: usize = 1 << 20;

#[test]
fn every_success_is_200_with_one_named_member() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = format!("/api/secrets/{}", make_secret(&admin, "ONE"));
    let var = format!("/api/vars/{}", make_var(&admin, "ONE"));
    let new = json!({ "key": "TWO", "value": "v" });
    let answers = [
        (admin.get("/api/environments"), "environments"),
        (admin.post("/api/environments", &json!({ "name": "staging" })), "environment"),
        (admin.get("/api/environments/staging"), "environment"),
        (app.anonymous().get("/api/auth/registration"), "registration"),
        (admin.get("/api/admin/status"), "status"),
        (admin.get(SETTINGS), "settings"),
        (admin.patch(SETTINGS, &json!({})), "settings"),
        (admin.send("POST", &format!("{SETTINGS}/reset"), None), "settings"),
        (admin.get(SECRETS), "secrets"),
        (admin.post(SECRETS, &new), "secret"),
        (admin.get(&secret), "secret"),
        (admin.patch(&secret, &json!({ "value": "w" })), "secret"),
        (admin.get(&format!("{secret}/value")), "value"),
        (admin.get(&format!("{secret}/versions")), "versions"),
        (admin.send("POST", &format!("{secret}/versions/1/activate"), None), "secret"),
        (admin.get(VARS), "vars"),
        (admin.post(VARS, &new), "var"),
        (admin.get(&var), "var"),
        (admin.patch(&var, &json!({ "value": "w" })), "var"),
    ];
    for (reply, name) in answers {
        assert_eq!(members(&reply.expect(200)), BTreeSet::from([name]));
        assert_eq!(reply.header("content-type"), Some(JSON_ANSWER), "{name}");
    }
    for path in [secret, var, "/api/environments/staging".to_owned()] {
        let reply = admin.delete(&path);
        assert_eq!(reply.expect(200), json!({ "success": true }));
        assert_eq!(reply.header("content-type"), Some(JSON_ANSWER));
        admin.get(&path).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn items_have_exactly_their_members_and_an_absent_one_is_null() {
    let app = TestApp::start();
    let admin = app.admin();
    let environment = &admin.get("/api/environments/development").expect(200)["environment"];
    let expected =
        ["id", "name", "displayName", "sshConfigured", "createdAt", "updatedAt", "_count"];
    assert_eq!(members(environment), BTreeSet::from(expected));
    assert_eq!(members(&environment["_count"]), BTreeSet::from(["secrets", "vars"]));
    assert_eq!(
        (&environment["displayName"], &environment["sshConfigured"]),
        (&Value::Null, &json!(false))
    );

    support::workloads::declare(&app, Vec::new());
    let common = "id key description version createdAt updatedAt usedByConfigFiles usedByServices usageCount";
    let common: BTreeSet<_> = common.split(' ').collect();
    let secret = &admin.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect(200)["secret"];
    let mut expected = common.clone();
    expected.insert("neverReveal");
    assert_eq!(members(secret), expected);
    assert_eq!((&secret["description"], &secret["neverReveal"]), (&Value::Null, &json!(false)));
    let unused = [&secret["usedByConfigFiles"], &secret["usedByServices"], &secret["usageCount"]];
    assert_eq!(unused, [&json!([]), &json!([]), &json!(0)]);

    let var = &admin.post(VARS, &json!({ "key": "A", "value": "v" })).expect(200)["var"];
    let mut expected = common;
    expected.insert("value");
    assert_eq!(members(var), expected);
    assert_eq!(var["description"], Value::Null);

    for (list, item, rows) in [(SECRETS, secret, "secrets"), (VARS, var, "vars")] {
        assert_eq!(admin.get(list).expect(200)[rows], json!([item]));
    }
    let versions = &admin
        .get(&format!("/api/secrets/{}/versions", secret["id"].as_str().unwrap()))
        .expect(200)["versions"];
    let expected = BTreeSet::from(["version", "createdAt", "createdBy", "active"]);
    assert_eq!(members(&versions[0]), expected);
}

#[test]
fn errors_are_json_too_whatever_went_wrong() {
    let app = TestApp::start();
    let admin = app.admin();
    let big = vec![b' '; BODY_LIMIT + 1];
    let replies = [
        (400, admin.post(SECRETS, &json!({}))),
        (401, app.anonymous().get(SECRETS)),
        (403, app.principal(Role::Viewer).post(SECRETS, &json!({}))),
        (404, admin.get("/api/secrets/none")),
        (404, admin.get("/api/no/such/route")),
        (405, admin.send("PUT", SECRETS, None)),
        (409, admin.post("/api/environments", &json!({ "name": "development" }))),
        (413, admin.send("POST", SECRETS, Some(("application/json", &big)))),
        (415, admin.send("POST", SECRETS, Some(("text/plain", b"{}")))),
        (422, admin.patch("/api/secrets/none", &json!({ "id": "x" }))),
    ];
    for (status, reply) in replies {
        assert!(reply.expect(status)["code"].is_string());
        assert_eq!(reply.header("content-type"), Some(JSON_ANSWER), "{status}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{status}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{status}");
    }
}

#[test]
fn everything_under_api_is_neither_stored_nor_sniffed() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = format!("/api/secrets/{}", make_secret(&admin, "A"));
    let replies = [
        admin.get("/api/environments"),
        admin.get(&format!("{secret}/value")),
        admin.head(&secret),
        admin.head(&format!("{secret}/value")),
        admin.post(SECRETS, &json!({ "key": "B", "value": "v" })),
        admin.delete(&secret),
        app.anonymous().get("/api/docs"),
        app.anonymous().get("/api"),
        app.anonymous().get("/api/"),
        app.anonymous().send("OPTIONS", SECRETS, None),
    ];
    for reply in replies {
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            let found: Vec<_> = reply.headers.iter().filter(|(header, _)| header == name).collect();
            assert_eq!(found.len(), 1, "{name} on {} {}", reply.status, reply.text());
            assert_eq!(found[0].1, value);
        }
    }
}

#[test]
fn ids_are_url_safe_and_never_used_twice() {
    let app = TestApp::start();
    let admin = app.admin();
    let mut seen = BTreeSet::new();
    for round in 0..20 {
        // Reuses the same keys: freeing a key must not free its id.
        for id in [
            make_secret(&admin, "A"),
            make_var(&admin, "A"),
            make_secret(&admin, &format!("K{round}")),
        ] {
            assert!(
                id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
                "{id}"
            );
            assert!(seen.insert(id.clone()), "duplicate {id}");
            if !id.starts_with("var")
                && admin.get(&format!("/api/secrets/{id}")).json()["secret"]["key"] == "A"
            {
                admin.delete(&format!("/api/secrets/{id}")).expect(200);
            } else if admin.get(&format!("/api/vars/{id}")).status == 200 {
                admin.delete(&format!("/api/vars/{id}")).expect(200);
            }
        }
    }
    assert_eq!(seen.len(), 60);
}

/// Path segments that identify nothing, in many shapes.
fn odd_segments(secret: &str, var: &str) -> Vec<String> {
    // Separated by spaces, because no segment may contain one.
    let fixed = "\
        x -1 0 null undefined . .. ... * %00 %0a %20 %22 %25 %7f %ff %c3%28 %2e%2e %2F \
        ..%2F..%2Fetc%2Fpasswd %F0%9F%94%91 %C3%A4 %7Bid%7D sec_ env_ sec_%30 '%20or%20'1'='1 \
        a+b a;b=c %3Fforce=true sec_00000000000000000000000000 var_00000000000000000000000000 \
        env_00000000000000000000000000 sec_ZZZZZZZZZZZZZZZZZZZZZZZZZZ";
    let mut all: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    // Near misses of existing ids: only one spelling may lead to the row.
    for id in [secret, var] {
        let (prefix, tail) = id.split_once('_').unwrap();
        all.push(id.to_lowercase());
        all.push(id.to_uppercase());
        all.push(tail.to_owned());
        all.push(format!("{id}x"));
        all.push(format!("{id}%00"));
        all.push(format!("%20{id}"));
        all.push(id[..id.len() - 1].to_owned());
        all.push(format!("{prefix}{tail}"));
        all.push(format!("tok_{tail}"));
        all.push(format!("env_{tail}"));
    }
    all.push("A".repeat(8000));
    all.push("%41".repeat(8000));
    all
}

#[test]
fn a_path_id_of_any_shape_that_names_nothing_is_404() {
    let app = TestApp::start();
    let admin = app.admin();
    let (secret, var) = (make_secret(&admin, "A"), make_var(&admin, "A"));
    let mut segments = odd_segments(&secret, &var);
    segments.push(app.environment_id("development").to_lowercase());
    for route in coffer::http::routes() {
        if !route.path.contains('{') {
            continue;
        }
        let method = route.method.as_str();
        let body = match (method, route.path.ends_with("/settings/configuration")) {
            ("POST", _) => Some(json!({
                "key": "NEW",
                "value": "v",
                "newPassword": "a new password",
                "from": "development",
                "keys": ["A"],
                "secrets": [{ "key": "NEW", "value": "v" }],
                "vars": [{ "key": "NEW", "value": "v" }],
            })),
            ("PATCH", false) => Some(json!({ "value": "w" })),
            ("PATCH", true) => Some(json!({})),
            _ => None,
        };
        let body = body.map(|body| body.to_string());
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        let wrong_kind = if route.path.starts_with("/api/vars") { &secret } else { &var };
        for segment in segments.iter().chain([wrong_kind]) {
            let path = route.path.replace("{environment}", segment).replace("{id}", segment);
            let path = path.replace("{version}", "1").replace("{session}", segment);
            let path = if path.ends_with("/bundle") { path + "?workload=local" } else { path };
            let reply = admin.send(method, &path, body);
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
            reply.expect_error(404, "NOT_FOUND");
        }
    }
    admin.get(&format!("/api/secrets/{secret}")).expect(200);
    admin.get(&format!("/api/vars/{var}")).expect(200);
}

#[test]
fn a_version_of_any_shape_that_names_nothing_is_404() {
    let app = TestApp::start();
    let admin = app.admin();
    let secret = make_secret(&admin, "A");
    for version in
        ["0", "2", "-1", "1.0", "x", "%31x", "99999999999999999999", "4294967297", "%00", ".."]
    {
        let path = format!("/api/secrets/{secret}/versions/{version}/activate");
        admin.send("POST", &path, None).expect_error(404, "NOT_FOUND");
    }
    let still = admin.get(&format!("/api/secrets/{secret}")).expect(200);
    assert_eq!(still["secret"]["version"], 1);
}

#[test]
fn an_environment_in_a_path_is_its_id_or_its_name() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = admin.post("/api/environments", &json!({ "name": "Eu-West.1_b" })).expect(200);
    let id = made["environment"]["id"].as_str().unwrap();
    let list = |segment: &str| format!("/api/environments/{segment}/secrets");
    let body = json!({ "key": "A", "value": "v" });
    let secret = admin.post(&list(id), &body).expect(200);
    for spelling in [id, "Eu-West.1_b", "eu-west.1_b", "EU-WEST.1_B", "Eu%2DWest.1_b"] {
        let read = admin.get(&format!("/api/environments/{spelling}")).expect(200);
        assert_eq!(read["environment"]["id"], id, "{spelling}");
        let listed = admin.get(&list(spelling)).expect(200);
        assert_eq!(listed["secrets"], json!([secret["secret"]]), "{spelling}");
        admin.post(&list(spelling), &body).expect_error(409, "CONFLICT");
    }
    assert_eq!(admin.get(SECRETS).expect(200)["secrets"], json!([]));
}

#[test]
fn environment_names_keep_their_rule_and_are_unique_without_regard_to_case() {
    let app = TestApp::start();
    let admin = app.admin();
    let create = |name: &str| admin.post("/api/environments", &json!({ "name": name }));
    let longest = "x".repeat(50);
    for name in ["a", "9", "Prod", "a.b_c-d", "0..", longest.as_str()] {
        assert_eq!(create(name).expect(200)["environment"]["name"], name);
    }
    for name in ["prod", "PROD", "Development", "A"] {
        create(name).expect_error(409, "CONFLICT");
    }
    let too_long = "x".repeat(51);
    let bad = [
        "",
        "-a",
        ".a",
        "_a",
        "a b",
        "a/b",
        "a\n",
        "a\0",
        "\u{e4}",
        "a%20b",
        "a\u{212A}",
        too_long.as_str(),
    ];
    for name in bad {
        let error = create(name).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], "name", "{name:?}");
    }
}

#[test]
fn times_are_utc_with_three_decimals() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let made = admin.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect(200);
    assert_eq!(made["secret"]["createdAt"], "2027-01-15T08:00:00.000Z");
    assert_eq!(made["secret"]["updatedAt"], "2027-01-15T08:00:00.000Z");
    app.clock.as_ref().unwrap().advance_millis(86_400_000 + 1_020);
    let path = format!("/api/secrets/{}", made["secret"]["id"].as_str().unwrap());
    let patched = admin.patch(&path, &json!({ "value": "w" })).expect(200);
    assert_eq!(patched["secret"]["createdAt"], "2027-01-15T08:00:00.000Z");
    assert_eq!(patched["secret"]["updatedAt"], "2027-01-16T08:00:01.020Z");
    let versions = admin.get(&format!("{path}/versions")).expect(200);
    assert_eq!(versions["versions"][0]["createdAt"], "2027-01-16T08:00:01.020Z");
    let health = app.anonymous().get("/health").expect(200);
    assert_eq!(health["timestamp"], "2027-01-16T08:00:01.020Z");
}

/// The id and createdAt of everything, as each response has them.
fn identities(client: &Client, paths: &[(String, &str)]) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for (path, member) in paths {
        let body = client.get(path).expect(200);
        let found = &body[member];
        for item in found.as_array().unwrap_or(&vec![found.clone()]) {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            let identity = (text("id"), text("createdAt"));
            let before = all.insert(text("id"), identity.clone());
            assert!(before.is_none_or(|before| before == identity), "{path}: {identity:?}");
        }
    }
    all
}

#[test]
fn id_and_created_at_are_the_same_bytes_in_every_answer_and_after_a_restart() {
    let setup = || Setup::default().with_test_clock();
    let app = TestApp::start_with(setup());
    let admin = app.admin();
    let secret = admin.post(SECRETS, &json!({ "key": "A", "value": "v" })).expect(200);
    let var = admin.post(VARS, &json!({ "key": "A", "value": "v" })).expect(200);
    let environment = admin.get("/api/environments/development").expect(200);
    let of = |body: &Value, member: &str| {
        let text = |name: &str| body[member][name].as_str().unwrap().to_owned();
        (text("id"), text("createdAt"))
    };
    let first = [of(&secret, "secret"), of(&var, "var"), of(&environment, "environment")];
    let paths = [
        (format!("/api/secrets/{}", first[0].0), "secret"),
        (format!("/api/vars/{}", first[1].0), "var"),
        (format!("/api/environments/{}", first[2].0), "environment"),
        (SECRETS.to_owned(), "secrets"),
        (VARS.to_owned(), "vars"),
        ("/api/environments".to_owned(), "environments"),
    ];
    let expected: BTreeMap<_, _> = first.iter().map(|one| (one.0.clone(), one.clone())).collect();
    assert_eq!(identities(&admin, &paths), expected);

    app.clock.as_ref().unwrap().advance_millis(5_000);
    let patch = json!({ "value": "w", "description": "d" });
    assert_eq!(of(&admin.patch(&paths[0].0, &patch).expect(200), "secret"), first[0]);
    assert_eq!(of(&admin.patch(&paths[1].0, &patch).expect(200), "var"), first[1]);
    let activate = format!("{}/versions/1/activate", paths[0].0);
    assert_eq!(of(&admin.send("POST", &activate, None).expect(200), "secret"), first[0]);
    assert_eq!(identities(&admin, &paths), expected);

    let app = TestApp::start_in(app.stop(), setup());
    app.clock.as_ref().unwrap().advance_millis(60_000);
    assert_eq!(identities(&app.admin(), &paths), expected);
}

#[test]
fn unknown_members_of_a_body_are_ignored() {
    let app = TestApp::start();
    let admin = app.admin();
    let odd = json!({ "a": [1, { "b": null }], "Key": "x", "KEY": 1, "": true, "error": {} });
    let with = |known: Value| {
        let mut body = odd.clone();
        body.as_object_mut().unwrap().extend(known.as_object().unwrap().clone());
        body
    };
    let new = with(json!({ "key": "A", "value": "v" }));
    let secret = admin.post(SECRETS, &new).expect(200);
    let var = admin.post(VARS, &new).expect(200);
    admin.post("/api/environments", &with(json!({ "name": "staging" }))).expect(200);
    let patch = with(json!({ "value": "w" }));
    for (item, name) in [(secret, "secret"), (var, "var")] {
        let path = format!("/api/{name}s/{}", item[name]["id"].as_str().unwrap());
        let patched = admin.patch(&path, &patch).expect(200);
        assert_eq!(patched[name]["version"], 2);
        assert_eq!(members(&patched[name]), members(&item[name]));
        // A body with only unknown members changes nothing.
        assert_eq!(admin.patch(&path, &odd).expect(200)[name]["version"], 2);
    }
    admin.patch(SETTINGS, &odd).expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn a_valid_request_id_is_kept_and_any_other_is_replaced() {
    let app = TestApp::start();
    let admin = app.admin();
    let longest = "a".repeat(64);
    for id in ["a", "0", "Trace.1_b-C", "....", longest.as_str()] {
        let client = admin.with("X-Request-Id", id);
        for reply in [
            client.get("/api/environments"),
            client.get("/api/secrets/x"),
            client.get("/health"),
            client.get("/nowhere"),
            client.head(SECRETS),
        ] {
            assert_eq!(reply.header("x-request-id"), Some(id), "{}", reply.status);
        }
        assert_eq!(client.get("/api/secrets/x").expect_error(404, "NOT_FOUND")["requestId"], id);
    }
    let too_long = "a".repeat(65);
    let bad = [
        "",
        " ",
        "a b",
        "a/b",
        "a:b",
        "a,b",
        "a\"b",
        "\u{e4}",
        "a\tb",
        "{}",
        "<x>",
        too_long.as_str(),
    ];
    for id in bad {
        let reply = admin.with("X-Request-Id", id).get("/api/secrets/x");
        let made = reply.header("x-request-id").unwrap();
        assert!(made.starts_with("req_") && made.len() <= 64, "{id:?} became {made}");
        assert_eq!(reply.expect_error(404, "NOT_FOUND")["requestId"], made);
    }
}

#[test]
fn every_answer_has_a_request_id_of_its_own() {
    let app = TestApp::start();
    let (admin, nobody) = (app.admin(), app.anonymous());
    let big = vec![b' '; BODY_LIMIT + 1];
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let replies = [
            admin.get("/api/environments"),
            admin.post(SECRETS, &json!({})),
            nobody.get(SECRETS),
            nobody.get("/health"),
            nobody.get("/openapi.json"),
            nobody.get("/api/docs"),
            nobody.get("/nowhere"),
            nobody.send("PUT", SECRETS, None),
            nobody.head(SECRETS),
            nobody.send("POST", SECRETS, Some(("application/json", &big))),
        ];
        for reply in replies {
            let ids: Vec<_> =
                reply.headers.iter().filter(|(name, _)| name == "x-request-id").collect();
            assert_eq!(ids.len(), 1, "{} {}", reply.status, reply.text());
            assert!(ids[0].1.starts_with("req_"));
            assert!(seen.insert(ids[0].1.clone()), "duplicate {}", ids[0].1);
        }
    }
}
