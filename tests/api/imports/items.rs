//! Importing many secrets or vars at once: all of them or none.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{keys, new_secret, new_var, parallel, reveal, text};
use support::paths::{IMPORT, IMPORT_VARS, SECRETS, SETTINGS, VARS};
use support::{Client, Reply, Setup, TestApp};

fn item(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

fn import(client: &Client, items: Value, more: Value) -> Reply {
    let mut body = json!({ "secrets": items });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post(IMPORT, &body)
}

/// Keys with their outcomes and versions.
fn results(answer: &Value) -> Vec<String> {
    let result =
        |one: &Value| format!("{} {} {}", text(one, "key"), text(one, "outcome"), one["version"]);
    answer["import"]["results"].as_array().unwrap().iter().map(result).collect()
}

fn id(client: &Client, key: &str) -> String {
    let list = client.get(&format!("{SECRETS}?prefix={key}")).expect(200);
    text(&list["secrets"][0], "id").to_owned()
}

/// Everything that an import could change.
fn snapshot(client: &Client) -> Vec<String> {
    let paths = [SECRETS, VARS, "/api/audit-logs", "/api/environments/development"];
    paths.iter().map(|path| client.get(path).text()).collect()
}

fn rows(client: &Client, action: &str) -> Vec<Value> {
    let logs = client.get(&format!("/api/audit-logs?action={action}")).expect(200);
    let mut rows = logs["logs"].as_array().unwrap().clone();
    rows.reverse();
    rows
}

#[test]
fn what_is_imported_is_there_as_if_it_had_been_created_one_by_one() {
    let app = TestApp::start();
    let operator = app.principal(Role::Operator);
    let odd = " \u{0}\n\"é$ ";
    let items = json!([
        { "key": "B", "value": odd, "description": "of b" },
        { "key": "A", "value": "x", "neverReveal": true, "description": null },
    ]);
    let answer = import(&operator, items, json!({})).expect(200);
    assert_eq!(results(&answer), ["B created 1", "A created 1"]);
    let counts =
        ["created", "replaced", "skipped", "conflicts"].map(|name| &answer["import"][name]);
    assert_eq!(counts, [2, 0, 0, 0]);
    assert_eq!(answer["import"]["dryRun"], false);
    let admin = app.admin();
    let list = admin.get(SECRETS).expect(200)["secrets"].clone();
    assert_eq!(keys(&list), ["A", "B"]);
    assert_eq!((&list[0]["neverReveal"], &list[1]["description"]), (&json!(true), &json!("of b")));
    assert_eq!(reveal(&admin, text(&list[1], "id")), odd);
    let environment = admin.get("/api/environments/development").expect(200);
    assert_eq!(environment["environment"]["_count"]["secrets"], 2);
    let rows = rows(&admin, "secret.import");
    let names: Vec<_> = rows.iter().map(|row| text(row, "resourceName")).collect();
    assert_eq!(names, ["B", "A"]);
    assert_eq!(rows[0]["requestId"], rows[1]["requestId"]);
    for (row, secret) in rows.iter().zip([&list[1], &list[0]]) {
        assert_eq!(row["resourceId"], secret["id"]);
        assert_eq!(row["success"], true);
    }
}

#[test]
fn on_conflict_decides_what_becomes_of_what_is_there() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "OLD", "first");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    admin.patch(&path, &json!({ "description": "kept" })).expect(200);
    let items = || json!([item("NEW", "n"), item("OLD", "second")]);

    let before = snapshot(&admin);
    for more in [json!({}), json!({ "onConflict": "fail" })] {
        let refused = import(&admin, items(), more).expect_error(409, "CONFLICT");
        assert_eq!(refused["field"], "secrets.1.key");
    }
    assert_eq!(snapshot(&admin), before, "nothing was imported");

    let skipped = import(&admin, items(), json!({ "onConflict": "skip" })).expect(200);
    assert_eq!(results(&skipped), ["NEW created 1", "OLD skipped 1"]);
    assert_eq!(reveal(&admin, text(&made, "id")), "first");
    assert_eq!(rows(&admin, "secret.import").len(), 1, "a skipped key must not leave a row");

    let replaced = import(&admin, items(), json!({ "onConflict": "replace" })).expect(200);
    assert_eq!(results(&replaced), ["NEW replaced 2", "OLD replaced 2"]);
    assert_eq!(reveal(&admin, text(&made, "id")), "second");
    assert_eq!(admin.get(&path).expect(200)["secret"]["description"], "kept");
    let versions = admin.get(&format!("{path}/versions")).expect(200);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);

    let both = json!([item("OLD", "x"), item("NEW", "y"), item("THIRD", "z")]);
    let refused = import(&admin, both, json!({})).expect_error(409, "CONFLICT");
    let fields: Vec<_> =
        refused["details"].as_array().unwrap().iter().map(|one| text(one, "field")).collect();
    assert_eq!(fields, ["secrets.0.key", "secrets.1.key"]);
}

#[test]
fn a_dry_run_tells_what_would_happen_and_leaves_no_trace() {
    let app = TestApp::start();
    let admin = app.admin();
    new_secret(&admin, "development", "OLD", "first");
    new_var(&admin, "development", "OLD", "first");
    let before = snapshot(&admin);
    let items = || json!([item("OLD", "second"), item("NEW", "n")]);
    for (mode, expected) in [
        ("fail", ["OLD conflict 1", "NEW created 1"]),
        ("skip", ["OLD skipped 1", "NEW created 1"]),
        ("replace", ["OLD replaced 2", "NEW created 1"]),
    ] {
        let more = json!({ "onConflict": mode, "dryRun": true });
        let answer = import(&admin, items(), more.clone()).expect(200);
        assert_eq!(results(&answer), expected);
        assert_eq!(answer["import"]["dryRun"], true);
        let vars = json!({ "vars": items(), "onConflict": mode, "dryRun": true });
        assert_eq!(results(&admin.post(IMPORT_VARS, &vars).expect(200)), expected);
    }
    assert_eq!(snapshot(&admin), before);
}

#[test]
fn what_is_never_revealed_stays_so() {
    let app = TestApp::start();
    let admin = app.admin();
    import(&admin, json!([{ "key": "SEALED", "value": "one", "neverReveal": true }]), json!({}))
        .expect(200);
    let replace = || json!({ "onConflict": "replace" });
    import(&admin, json!([item("SEALED", "two")]), replace()).expect(200);
    let value = format!("/api/secrets/{}/value", id(&admin, "SEALED"));
    admin.get(&value).expect_error(403, "SECRET_WRITE_ONLY");

    // One item that cannot be imported makes the whole import fail.
    let before = admin.get(SECRETS).text();
    let clear = json!([
        item("OTHER", "x"),
        { "key": "SEALED", "value": "three", "neverReveal": false },
    ]);
    let refused = import(&admin, clear, replace()).expect_error(422, "READONLY_FIELD");
    assert_eq!(refused["field"], "secrets.1.neverReveal");
    assert_eq!(admin.get(SECRETS).text(), before);

    new_secret(&admin, "development", "OPEN", "one");
    let latch = json!([{ "key": "OPEN", "value": "two", "neverReveal": true }]);
    import(&admin, latch, replace()).expect(200);
    let open = format!("/api/secrets/{}", id(&admin, "OPEN"));
    admin.get(&format!("{open}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    admin.send("POST", &format!("{open}/versions/1/activate"), None).expect(200);
    admin.get(&format!("{open}/value")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn the_settings_decide_about_new_ones_that_do_not_say() {
    let app = TestApp::start();
    let admin = app.admin();
    new_secret(&admin, "development", "OLD", "first");
    admin.patch(SETTINGS, &json!({ "neverRevealByDefault": true })).expect(200);
    let items = json!([
        item("NEW", "x"),
        item("OLD", "second"),
        { "key": "SAID", "value": "x", "neverReveal": false },
    ]);
    import(&admin, items, json!({ "onConflict": "replace" })).expect(200);
    let list = admin.get(SECRETS).expect(200)["secrets"].clone();
    let modes: Vec<_> =
        list.as_array().unwrap().iter().map(|one| one["neverReveal"].clone()).collect();
    assert_eq!(keys(&list), ["NEW", "OLD", "SAID"]);
    assert_eq!(modes, [true, false, false]);
}

#[test]
fn every_problem_is_named_by_its_place() {
    let app = TestApp::start();
    let admin = app.admin();
    let before = snapshot(&admin);
    let fields = |body: Value| -> Vec<String> {
        let refused = admin.post(IMPORT, &body).expect_error(400, "VALIDATION_ERROR");
        let field = |one: &Value| text(one, "field").to_owned();
        match refused["details"].as_array() {
            Some(all) => all.iter().map(field).collect(),
            None => vec![field(&refused)],
        }
    };
    let all = json!({
        "secrets": [
            item("A", "x"),
            item("A", "y"),
            { "key": "lower" },
            { "key": "B", "value": "" },
            { "key": "C", "value": 1, "neverReveal": null, "description": 2 },
            "D",
            { "key": "E", "value": "x", "neverreveal": true },
        ],
        "onConflict": "merge",
        "dryRun": "yes",
    });
    assert_eq!(
        fields(all),
        [
            "secrets.1.key",
            "secrets.2.key",
            "secrets.2.value",
            "secrets.3.value",
            "secrets.4.value",
            "secrets.4.description",
            "secrets.4.neverReveal",
            "secrets.5",
            "secrets.6.neverReveal",
            "onConflict",
            "dryRun",
        ]
    );
    for body in
        [json!({}), json!({ "secrets": [] }), json!({ "secrets": null }), json!({ "secrets": {} })]
    {
        assert_eq!(fields(body), ["secrets"]);
    }
    // Ignoring a misspelled option would do something that the caller did not intend.
    for slip in ["dry_run", "dryrun", "on_conflict"] {
        admin
            .post(IMPORT, &json!({ "secrets": [item("A", "x")], slip: true }))
            .expect_error(400, "VALIDATION_ERROR");
    }
    let many =
        |count: usize| -> Vec<Value> { (0..count).map(|n| item(&format!("K{n}"), "x")).collect() };
    assert_eq!(fields(json!({ "secrets": many(1001) })), ["secrets"]);
    let large = "x".repeat(65_537);
    assert_eq!(fields(json!({ "secrets": [item("A", &large)] })), ["secrets.0.value"]);
    assert_eq!(snapshot(&admin), before);
    let answer = import(&admin, json!(many(1000)), json!({})).expect(200);
    assert_eq!(answer["import"]["created"], 1000);
    assert_eq!(rows(&admin, "secret.import").len(), 50);
    let verified = admin.get("/api/audit-logs/verification").expect(200);
    assert_eq!(verified["verification"]["intact"], true);
}

#[test]
fn vars_are_imported_by_the_same_rules() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "OLD", "first");
    let path = format!("/api/vars/{}", text(&made, "id"));
    admin.patch(&path, &json!({ "description": "kept" })).expect(200);
    let body = |mode: &str| json!({ "vars": [item("NEW", "n"), item("OLD", "second")], "onConflict": mode });
    let refused = admin.post(IMPORT_VARS, &body("fail")).expect_error(409, "CONFLICT");
    assert_eq!(refused["field"], "vars.1.key");
    assert_eq!(keys(&admin.get(VARS).expect(200)["vars"]), ["OLD"]);
    let answer = admin.post(IMPORT_VARS, &body("skip")).expect(200);
    assert_eq!(results(&answer), ["NEW created 1", "OLD skipped 1"]);
    let answer = admin.post(IMPORT_VARS, &body("replace")).expect(200);
    assert_eq!(results(&answer), ["NEW replaced 2", "OLD replaced 2"]);
    let var = admin.get(&path).expect(200)["var"].clone();
    assert_eq!((&var["value"], &var["description"]), (&json!("second"), &json!("kept")));
    assert_eq!(rows(&admin, "var.import").len(), 3);
    let twice = json!({ "vars": [item("X", "1"), item("X", "2")] });
    let refused = admin.post(IMPORT_VARS, &twice).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "vars.1.key");
}

#[test]
fn a_repeated_import_is_answered_again_and_not_done_again() {
    let app = TestApp::start();
    let admin = app.admin();
    let keyed = admin.with("Idempotency-Key", "import");
    let replace = || json!({ "onConflict": "replace" });
    let first = import(&keyed, json!([item("A", "x")]), replace());
    let second = import(&keyed, json!([item("A", "x")]), replace());
    assert_eq!(
        (first.expect(200), second.header("idempotent-replayed")),
        (second.json(), Some("true"))
    );
    import(&keyed, json!([item("A", "y")]), replace()).expect_error(409, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(rows(&admin, "secret.import").len(), 1);
    let all = app.stop();
    let keyed = TestApp::start_in(all, Setup::default());
    let again = keyed.admin().with("Idempotency-Key", "import");
    let third = import(&again, json!([item("A", "x")]), replace());
    assert_eq!(third.header("idempotent-replayed"), Some("true"));
}

#[test]
fn of_imports_of_the_same_key_one_gets_through_whole() {
    let app = TestApp::start();
    let replies = parallel(8, |n| {
        let admin = app.admin();
        let items: Vec<_> = (0..20).map(|k| item(&format!("K{k}"), &format!("by {n}"))).collect();
        import(&admin, json!(items), json!({})).status
    });
    assert_eq!(replies.iter().filter(|status| **status == 200).count(), 1, "{replies:?}");
    assert!(replies.iter().all(|status| matches!(status, 200 | 409)), "{replies:?}");
    let admin = app.admin();
    let list = admin.get(SECRETS).expect(200)["secrets"].clone();
    let values: std::collections::BTreeSet<_> =
        list.as_array().unwrap().iter().map(|one| reveal(&admin, text(one, "id"))).collect();
    assert_eq!((list.as_array().unwrap().len(), values.len()), (20, 1));
}

/// A caller without write access cannot write with an import, and a dry run does not
/// reveal which keys exist.
#[test]
fn attack_an_import_is_no_way_round_role_and_scope() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "home"]));
    let admin = app.admin();
    new_secret(&admin, "development", "KEY", "x");
    let before = snapshot(&admin)[..2].to_vec();
    let home = app.environment_id("home");
    for dry_run in [true, false] {
        for body in
            [json!({ "secrets": [item("KEY", "y")] }), json!({ "vars": [item("KEY", "y")] })]
        {
            let path = if body["vars"].is_array() { IMPORT_VARS } else { IMPORT };
            let mut body = body;
            body["dryRun"] = json!(dry_run);
            body["onConflict"] = json!("replace");
            app.anonymous().post(path, &body).expect_error(401, "UNAUTHORIZED");
            app.principal(Role::Viewer).post(path, &body).expect_error(403, "FORBIDDEN_ROLE");
            for role in [Role::Operator, Role::Admin] {
                app.scoped(role, &[&home]).post(path, &body).expect_error(403, "FORBIDDEN_SCOPE");
            }
            let nowhere = path.replace("development", "nowhere");
            admin.post(&nowhere, &body).expect_error(404, "NOT_FOUND");
        }
    }
    assert_eq!(snapshot(&admin)[..2], before);
}

#[test]
fn no_value_of_an_import_is_in_an_answer_an_audit_row_or_a_file() {
    let canary = "cAnArY-4f1c7e0b9d";
    let app = TestApp::start();
    let admin = app.admin();
    let value = format!("{canary} of an import");
    let mut said = Vec::new();
    for (more, items) in [
        (json!({}), json!([item("A", &value)])),
        (json!({}), json!([item("A", &value)])),
        (json!({ "onConflict": "replace", "dryRun": true }), json!([item("A", &value)])),
        (json!({ "onConflict": "replace" }), json!([item("A", &value), item("A", &value)])),
        (json!({ "onConflict": &value }), json!([item(&value, &value)])),
        (json!({}), json!([{ "key": "B", "value": [&value] }, &value])),
    ] {
        said.push(
            import(&admin.with("Idempotency-Key", &format!("{}", said.len())), items, more).text(),
        );
    }
    said.extend(snapshot(&admin));
    for text in &said {
        assert!(!text.contains(canary), "{text}");
    }
    let dir = app.stop();
    let files = std::fs::read_dir(support::data_dir(dir.path()).join("db")).unwrap();
    let files: Vec<_> =
        files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "{}", file.display());
    }
}
