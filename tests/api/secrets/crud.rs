//! Secrets: create, read and delete. Lists are in `list.rs`, PATCH in `patch.rs`, values that the
//! server generates in `generate.rs`, concurrent reads and writes in `races.rs`.

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{is_time, keys, members, new_secret, new_var, parallel, reveal, text};
use support::paths::SECRETS;
use support::{Client, Setup, TestApp, audit_rows, data_dir, rows_fit};

fn list(client: &Client, query: &str) -> Value {
    let body = client.get(&format!("{SECRETS}{query}")).expect(200);
    assert_eq!(members(&body), ["secrets"].into());
    body["secrets"].clone()
}

#[test]
fn an_item_has_exactly_the_members_of_the_contract_in_every_answer() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    support::workloads::declare(&app, Vec::new());
    let operator = app.principal(Role::Operator);
    let body = json!({ "key": "API_KEY", "value": "canary-of-this-test", "description": "for CI" });
    let made = operator.post(SECRETS, &body).expect(200);
    assert_eq!(members(&made), ["secret"].into());
    let item = &made["secret"];
    let id = text(item, "id");
    is_time(text(item, "createdAt"));
    let expected = json!({
        "id": id,
        "key": "API_KEY",
        "description": "for CI",
        "neverReveal": false,
        "version": 1,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:00.000Z",
        "usedByConfigFiles": [],
        "usedByServices": [],
        "usageCount": 0,
    });
    assert_eq!(*item, expected);
    app.clock.as_ref().unwrap().advance_millis(1_234);
    let path = format!("/api/secrets/{id}");
    assert_eq!(operator.get(&path).expect(200), made);
    assert_eq!(list(&operator, ""), json!([expected]));
    let patched = operator.patch(&path, &json!({ "value": "another-canary" })).expect(200);
    let mut changed = expected;
    changed["version"] = json!(2);
    changed["updatedAt"] = json!("2027-01-15T08:00:01.234Z");
    assert_eq!(patched, json!({ "secret": changed }));
    let viewer = app.principal(Role::Viewer);
    assert_eq!(viewer.get(&path).expect(200), patched);
    assert_eq!(list(&viewer, ""), json!([changed]));
    let deleted = operator.delete(&path).expect(200);
    assert_eq!(deleted, json!({ "success": true }));
}

#[test]
fn no_answer_depends_on_the_value_or_its_length() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let long = "canary".repeat(10_000);
    let [short, long] = ["x", &long].map(|value| {
        let key = if value == "x" { "A" } else { "B" };
        let body = json!({ "key": key, "value": value });
        let mut replies = vec![admin.post(SECRETS, &body)];
        let path = format!("/api/secrets/{}", text(&replies[0].expect(200)["secret"], "id"));
        replies.push(admin.get(&path));
        replies.push(admin.patch(&path, &json!({ "value": value })));
        replies.push(admin.get(&format!("{path}/versions")));
        replies.push(admin.post(&format!("{path}/versions/1/activate"), &json!({})));
        replies.push(admin.post(SECRETS, &body));
        replies.push(admin.get(&format!("{SECRETS}?prefix={key}")));
        replies
    });
    for (short, long) in short.iter().zip(&long) {
        assert!(!long.text().contains("canary"));
        assert_eq!((short.status, short.body.len()), (long.status, long.body.len()));
        let names = |reply: &support::Reply| -> Vec<String> {
            let mut names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(names(short), names(long));
    }
}

#[test]
fn a_key_keeps_its_rule() {
    let app = TestApp::start();
    let admin = app.admin();
    let longest = "K".repeat(256);
    for key in ["A", "Z9", "A_", "A__1", &longest] {
        assert_eq!(new_secret(&admin, "development", key, "v")["key"], key);
    }
    let long = "K".repeat(257);
    let texts =
        ["", "a", "Aa", "_A", "1A", "A-B", "A B", " A", "A ", "A.B", "Ä", "A\n", "A\0", &long];
    let others = [json!(null), json!(1), json!(true), json!(["A"]), json!({})];
    for key in texts.map(Value::from).into_iter().chain(others) {
        let reply = admin.post(SECRETS, &json!({ "key": key, "value": "v" }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "key", "{key}");
    }
    let body = admin.post(SECRETS, &json!({ "value": "v" })).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(body["field"], "key");
    assert_eq!(list(&admin, "").as_array().unwrap().len(), 5);
}

#[test]
fn a_value_is_kept_byte_for_byte() {
    let app = TestApp::start();
    let admin = app.admin();
    let controls: String = (0u8..0x20).chain([0x7f]).map(char::from).collect();
    let values = [
        " ",
        "\0",
        "\n",
        "\u{feff}begins with a mark",
        "  blanks at the ends\t ",
        "line\r\nline\n\n",
        "a\0b\0",
        "\"quoted\" \\ and \\u0041 / escaped",
        "e\u{301} is not \u{e9}",
        "ä€😀\u{10ffff}\u{ffff}\u{2028}",
        "<script>&amp;%41+",
        &controls,
    ];
    for (number, value) in values.iter().enumerate() {
        let made = new_secret(&admin, "development", &format!("K{number}"), value);
        let id = text(&made, "id");
        assert_eq!(reveal(&admin, id), *value);
        let patch = json!({ "value": format!("{value}{value}") });
        admin.patch(&format!("/api/secrets/{id}"), &patch).expect(200);
        assert_eq!(reveal(&admin, id), format!("{value}{value}"));
    }
    let escaped = br#"{"key":"ESCAPED","value":"\u0000\ud83d\ude00\/\u00e4"}"#;
    let made = admin.send("POST", SECRETS, Some(("application/json", escaped))).expect(200);
    assert_eq!(reveal(&admin, text(&made["secret"], "id")), "\0😀/ä");
}

#[test]
fn a_value_has_one_byte_to_64_kib_of_utf8() {
    let app = TestApp::start();
    let admin = app.admin();
    let nuls = "\0".repeat(65_536);
    let good = ["x".to_owned(), "x".repeat(65_536), "ä".repeat(32_768), "😀".repeat(16_384), nuls];
    for (number, value) in good.iter().enumerate() {
        let made = new_secret(&admin, "development", &format!("K{number}"), value);
        assert!(reveal(&admin, text(&made, "id")) == *value, "value {number} has changed");
    }
    let bad = [String::new(), "x".repeat(65_537), "ä".repeat(32_768) + "x", "😀".repeat(16_385)];
    let made = new_secret(&admin, "development", "KEPT", "kept");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    for value in &bad {
        let reply = admin.post(SECRETS, &json!({ "key": "BAD", "value": value }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
        let reply = admin.patch(&path, &json!({ "value": value }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
    }
    assert_eq!(admin.get(&path).expect(200)["secret"], made);
    assert_eq!(reveal(&admin, text(&made, "id")), "kept");
    assert!(!keys(&list(&admin, "")).contains(&"BAD".to_owned()));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn the_limit_of_a_value_is_configurable() {
    for limit in [5usize, 100_000] {
        let mut setup = Setup::default();
        setup.config.limits.value_bytes = limit;
        let app = TestApp::start_with(setup);
        let admin = app.admin();
        let made = new_secret(&admin, "development", "KEY", &"x".repeat(limit));
        let path = format!("/api/secrets/{}", text(&made, "id"));
        assert_eq!(reveal(&admin, text(&made, "id")).len(), limit);
        let long = "x".repeat(limit + 1);
        let reply = admin.post(SECRETS, &json!({ "key": "LONG", "value": long }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
        let reply = admin.patch(&path, &json!({ "value": long }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
    }
}

#[test]
fn a_value_is_a_string_and_is_not_quoted_when_it_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    let canary = json!("canary");
    let bad =
        [json!(null), json!(1), json!(1.5), json!(true), json!([canary]), json!({ "v": canary })];
    for value in bad {
        let reply = admin.post(SECRETS, &json!({ "key": "BAD", "value": value }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value", "{value}");
        assert!(!reply.text().contains("canary"));
    }
    let body = admin.post(SECRETS, &json!({ "key": "BAD" })).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(body["field"], "value");
    let long = "canary".repeat(20_000);
    let quiet = [
        admin.post(SECRETS, &json!({ "key": "BAD", "value": long })),
        admin.post(SECRETS, &json!({ "key": "canary", "value": "v" })),
        admin.post(SECRETS, &json!({ "key": "BAD", "value": "canary", "description": 1 })),
        admin.post(SECRETS, &json!({ "key": "BAD", "value": "canary", "neverReveal": "canary" })),
        admin.send("POST", SECRETS, Some(("application/json", b"{\"value\":\"canary\" canary"))),
        admin.send(
            "POST",
            SECRETS,
            Some(("application/json", b"{\"value\":\"canary\\ud800\",\"key\":\"K\"}")),
        ),
    ];
    for reply in quiet {
        reply.expect_error(400, "VALIDATION_ERROR");
        assert!(!reply.text().contains("canary"), "{}", reply.text());
    }
    assert_eq!(list(&admin, ""), json!([]));
}

#[test]
fn a_description_keeps_its_rule() {
    let app = TestApp::start();
    let admin = app.admin();
    let create = |key: &str, description: &Value| {
        admin.post(SECRETS, &json!({ "key": key, "value": "v", "description": description }))
    };
    let longest = json!("ä".repeat(1000));
    for (key, given, kept) in [
        ("LONGEST", &longest, &longest),
        ("EMPTY", &json!(""), &json!(null)),
        ("NULL", &json!(null), &json!(null)),
        ("LINES", &json!(" a\nb "), &json!(" a\nb ")),
    ] {
        assert_eq!(create(key, given).expect(200)["secret"]["description"], *kept);
    }
    assert_eq!(new_secret(&admin, "development", "ABSENT", "v")["description"], json!(null));
    for bad in [json!("x".repeat(1001)), json!(1), json!(false), json!(["x"]), json!({})] {
        let body = create("BAD", &bad).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(body["field"], "description");
    }
    assert_eq!(keys(&list(&admin, "")).len(), 5);
}

#[test]
fn never_reveal_is_a_boolean_and_false_unless_said() {
    let app = TestApp::start();
    let admin = app.admin();
    assert_eq!(new_secret(&admin, "development", "ABSENT", "v")["neverReveal"], false);
    for never in [true, false] {
        let key = if never { "TRUE" } else { "FALSE" };
        let body = json!({ "key": key, "value": "v", "neverReveal": never });
        assert_eq!(admin.post(SECRETS, &body).expect(200)["secret"]["neverReveal"], never);
    }
    for bad in [json!("true"), json!(1), json!(0), json!([]), json!({})] {
        let body = json!({ "key": "BAD", "value": "v", "neverReveal": bad });
        let body = admin.post(SECRETS, &body).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(body["field"], "neverReveal");
    }
}

#[test]
fn the_environments_default_decides_only_where_the_body_is_silent() {
    let app = TestApp::start();
    let admin = app.admin();
    let before = new_secret(&admin, "development", "BEFORE", "v");
    let settings = "/api/environments/development/settings/configuration";
    admin.patch(settings, &json!({ "neverRevealByDefault": true })).expect(200);
    let silent = new_secret(&admin, "development", "SILENT", "v");
    assert_eq!(silent["neverReveal"], true);
    let value = format!("/api/secrets/{}/value", text(&silent, "id"));
    admin.get(&value).expect_error(403, "SECRET_WRITE_ONLY");
    let body = json!({ "key": "SAID", "value": "v", "neverReveal": false });
    let said = admin.post(SECRETS, &body).expect(200)["secret"].clone();
    assert_eq!(said["neverReveal"], false);
    assert_eq!(reveal(&admin, text(&said, "id")), "v");

    // Existing secrets do not change, not even when they are written.
    let path = format!("/api/secrets/{}", text(&before, "id"));
    let patched = admin.patch(&path, &json!({ "value": "w" })).expect(200);
    assert_eq!(patched["secret"]["neverReveal"], false);
    admin.patch(settings, &json!({ "neverRevealByDefault": false })).expect(200);
    admin.get(&value).expect_error(403, "SECRET_WRITE_ONLY");
    assert_eq!(new_secret(&admin, "development", "AFTER", "v")["neverReveal"], false);
}

#[test]
fn every_problem_of_a_body_is_named_and_unknown_members_are_ignored() {
    let app = TestApp::start();
    support::workloads::declare(&app, Vec::new());
    let admin = app.admin();
    let reply = admin.post(SECRETS, &json!({ "key": "k", "description": 1, "neverReveal": 2 }));
    let body = reply.expect_error(400, "VALIDATION_ERROR");
    let details = body["details"].as_array().unwrap();
    let mut fields: Vec<_> = details.iter().map(|problem| text(problem, "field")).collect();
    assert_eq!(body["field"], fields[0]);
    fields.sort_unstable();
    assert_eq!(fields, ["description", "key", "neverReveal", "value"]);

    let body = json!({
        "key": "KEY", "value": "v", "id": "sec_x", "version": 9, "createdAt": "x", "usageCount": 5,
        "encryptedValue": "e", "environmentId": "other", "nested": { "value": [1] },
    });
    let made = admin.post(SECRETS, &body).expect(200)["secret"].clone();
    assert_eq!((&made["version"], &made["usageCount"]), (&json!(1), &json!(0)));
    assert_ne!(made["id"], "sec_x");
}

#[test]
fn a_duplicate_is_a_conflict_and_changes_nothing() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let admin = app.admin();
    let first = new_secret(&admin, "development", "KEY", "first");
    let reply =
        admin.post(SECRETS, &json!({ "key": "KEY", "value": "second", "neverReveal": true }));
    let body = reply.expect_error(409, "CONFLICT");
    assert_eq!(body["message"], "Secret already exists");
    assert_eq!(body["field"], "key");
    assert_eq!(body["hint"], "PATCH the existing secret to give it a new value.");
    assert_eq!(list(&admin, ""), json!([first]));
    assert_eq!(reveal(&admin, text(&first, "id")), "first");
    // A key is only taken among the secrets of its own environment.
    new_secret(&admin, "other", "KEY", "v");
    new_var(&admin, "development", "KEY", "v");
}

#[test]
fn an_unknown_environment_is_not_found_but_only_after_the_body_was_checked() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = "/api/environments/nowhere/secrets";
    admin.get(path).expect_error(404, "NOT_FOUND");
    admin.post(path, &json!({ "key": "KEY", "value": "v" })).expect_error(404, "NOT_FOUND");
    admin.post(path, &json!({ "key": "key" })).expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn a_secret_of_any_shape_that_does_not_exist_is_not_found() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let var = new_var(&admin, "development", "VAR", "v");
    let id = text(&made, "id");
    let long = "x".repeat(2000);
    let lower = id.to_lowercase();
    let shapes = ["KEY", "x", "%00", "%FF", "a%2Fb", "0", &long, &lower, text(&var, "id")];
    for shape in shapes {
        let path = format!("/api/secrets/{shape}");
        admin.get(&path).expect_error(404, "NOT_FOUND");
        admin.get(&format!("{path}/value")).expect_error(404, "NOT_FOUND");
        admin.get(&format!("{path}/versions")).expect_error(404, "NOT_FOUND");
        admin
            .post(&format!("{path}/versions/1/activate"), &json!({}))
            .expect_error(404, "NOT_FOUND");
        admin.patch(&path, &json!({ "value": "x" })).expect_error(404, "NOT_FOUND");
        admin.delete(&path).expect_error(404, "NOT_FOUND");
    }
    assert_eq!(list(&admin, ""), json!([made]));
}

#[test]
fn a_delete_frees_the_key_at_once_and_the_old_id_for_ever() {
    let app = TestApp::start();
    let admin = app.admin();
    let body = json!({ "key": "KEY", "value": "old".repeat(9000), "neverReveal": true });
    let old = admin.post(SECRETS, &body).expect(200)["secret"].clone();
    let path = format!("/api/secrets/{}", text(&old, "id"));
    admin.patch(&path, &json!({ "value": "older" })).expect(200);
    assert_eq!(admin.delete(&path).expect(200), json!({ "success": true }));
    let new = new_secret(&admin, "development", "KEY", "new");
    assert_ne!(new["id"], old["id"]);
    // The new secret inherits nothing from the old one, including write-only.
    assert_eq!((&new["version"], &new["neverReveal"]), (&json!(1), &json!(false)));
    assert_eq!(reveal(&admin, text(&new, "id")), "new");
    for gone in [path.clone(), format!("{path}/value"), format!("{path}/versions")] {
        admin.get(&gone).expect_error(404, "NOT_FOUND");
    }
    admin.post(&format!("{path}/versions/1/activate"), &json!({})).expect_error(404, "NOT_FOUND");
    admin.patch(&path, &json!({ "value": "x" })).expect_error(404, "NOT_FOUND");
    admin.delete(&path).expect_error(404, "NOT_FOUND");
    assert_eq!(list(&admin, ""), json!([new]));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn creates_and_deletes_are_audited_without_the_value() {
    let app = TestApp::start();
    let operator = app.principal(Role::Operator);
    let body = json!({ "key": "KEY", "value": "canary", "neverReveal": true });
    let made = operator.with("X-Request-Id", "r-create").post(SECRETS, &body).expect(200);
    let id = text(&made["secret"], "id").to_owned();
    operator.post(SECRETS, &body).expect_error(409, "CONFLICT");
    operator.with("X-Request-Id", "r-delete").delete(&format!("/api/secrets/{id}")).expect(200);
    let environment = app.environment_id("development");
    let rows = audit_rows(app.stop().path());
    assert!(!format!("{rows:?}").contains("canary"));
    let rows: Vec<_> =
        rows.iter().filter(|row| row.draft.resource.id.as_ref() == Some(&id)).collect();
    let told: Vec<_> =
        rows.iter().map(|row| (row.draft.action, row.draft.request_id.as_deref())).collect();
    let expected =
        [(Action::SecretCreate, Some("r-create")), (Action::SecretDelete, Some("r-delete"))];
    assert_eq!(told, expected);
    for row in rows {
        assert_eq!(row.draft.resource.name.as_deref(), Some("KEY"));
        assert_eq!(row.draft.actor.name, "test operator");
        assert_eq!(row.draft.error, None);
        assert_eq!(row.draft.environment.as_ref().unwrap().id.to_string(), environment);
    }
}

#[test]
fn secrets_are_the_same_after_a_restart() {
    let app = TestApp::start();
    let admin = app.admin();
    let value = "ä\0".repeat(20_000);
    let made = new_secret(&admin, "development", "KEY", &value);
    let hidden = json!({ "key": "HIDDEN", "value": "v", "neverReveal": true });
    let hidden = admin.post(SECRETS, &hidden).expect(200)["secret"].clone();
    let before = list(&admin, "");
    let app = TestApp::start_in(app.stop(), Setup::default());
    let admin = app.admin();
    assert_eq!(list(&admin, ""), before);
    assert!(reveal(&admin, text(&made, "id")) == value);
    let path = format!("/api/secrets/{}/value", text(&hidden, "id"));
    admin.get(&path).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn of_a_hundred_that_create_the_same_key_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let replies = parallel(100, |number| {
        let value = format!("value of {number}");
        (admin.post(SECRETS, &json!({ "key": "RACE", "value": value })), value)
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|(reply, _)| reply.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 99));
    for (reply, _) in refused {
        reply.expect_error(409, "CONFLICT");
    }
    let (reply, value) = &made[0];
    let item = reply.expect(200)["secret"].clone();
    assert_eq!(list(&admin, ""), json!([item]));
    assert_eq!(reveal(&admin, text(&item, "id")), *value);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn of_many_that_delete_a_secret_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = format!("/api/secrets/{}", text(&made, "id"));
    let mut statuses = parallel(20, |_| admin.delete(&path).status);
    statuses.sort_unstable();
    assert_eq!(statuses, [&[200][..], &[404; 19]].concat());
    rows_fit(&data_dir(app.stop().path()));
}
