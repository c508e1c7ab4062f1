//! Vars. Reads that race with changes are in `races.rs`.

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{is_time, keys, members, new_secret, new_var, parallel, reveal, text};
use support::paths::VARS;
use support::{Client, Setup, TestApp, audit_rows, data_dir, rows_fit};

fn path_of(item: &Value) -> String {
    format!("/api/vars/{}", text(item, "id"))
}

fn list(client: &Client, query: &str) -> Value {
    let body = client.get(&format!("{VARS}{query}")).expect(200);
    assert_eq!(members(&body), ["vars"].into());
    body["vars"].clone()
}

/// The item with some members changed.
fn but(item: &Value, changes: Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    item
}

#[test]
fn an_item_has_its_value_in_every_answer_and_exactly_the_members_of_the_contract() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    support::workloads::declare(&app, Vec::new());
    let operator = app.principal(Role::Operator);
    let body = json!({ "key": "LOG_LEVEL", "value": " debug\0\n", "description": "how loud" });
    let made = operator.post(VARS, &body).expect(200);
    assert_eq!(members(&made), ["var"].into());
    let id = text(&made["var"], "id");
    is_time(text(&made["var"], "createdAt"));
    let expected = json!({
        "id": id,
        "key": "LOG_LEVEL",
        "value": " debug\0\n",
        "description": "how loud",
        "version": 1,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:00.000Z",
        "usedByConfigFiles": [],
        "usedByServices": [],
        "usageCount": 0,
    });
    assert_eq!(made["var"], expected);
    app.clock.as_ref().unwrap().advance_millis(1_000);
    let path = path_of(&expected);
    let patched = operator.patch(&path, &json!({ "value": "info" })).expect(200);
    let time = "2027-01-15T08:00:01.000Z";
    let changed = but(&expected, json!({ "value": "info", "version": 2, "updatedAt": time }));
    assert_eq!(patched, json!({ "var": changed }));
    for client in [app.principal(Role::Viewer), operator, app.admin()] {
        assert_eq!(client.get(&path).expect(200), patched);
        assert_eq!(list(&client, ""), json!([changed]));
    }
    assert_eq!(app.admin().delete(&path).expect(200), json!({ "success": true }));
}

#[test]
fn values_are_kept_byte_for_byte_up_to_64_kib_and_shrink_without_a_trace() {
    let app = TestApp::start();
    let admin = app.admin();
    let controls: String = (0u8..0x20).chain([0x7f]).map(char::from).collect();
    let values = [
        " ".to_owned(),
        "x".repeat(65_536),
        "\0".to_owned(),
        "ä".repeat(32_768),
        "  blanks \r\n\t ".to_owned(),
        // Characters that span the boundaries of pieces.
        "x".to_owned() + &"€".repeat(21_845),
        "\u{feff}\"\\u0041\\ 😀\u{10ffff}".to_owned(),
        controls,
        "0123456789".repeat(900),
        "1".to_owned(),
    ];
    let changing = path_of(&new_var(&admin, "development", "CHANGING", "v"));
    for (number, value) in values.iter().enumerate() {
        let made = new_var(&admin, "development", &format!("K{number}"), value);
        assert!(text(&made, "value") == value, "value {number}");
        let patched = admin.patch(&changing, &json!({ "value": value })).expect(200);
        assert!(text(&patched["var"], "value") == value, "value {number}");
        assert_eq!(admin.get(&changing).expect(200), patched);
    }
    let listed = list(&admin, "?prefix=K");
    let listed: Vec<_> =
        listed.as_array().unwrap().iter().map(|item| text(item, "value")).collect();
    assert!(listed == values);
    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    let app = TestApp::start_in(dir, Setup::default());
    let admin = app.admin();
    for (number, item) in list(&admin, "?prefix=K").as_array().unwrap().iter().enumerate() {
        assert!(text(item, "value") == values[number]);
        admin.delete(&path_of(item)).expect(200);
    }
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn a_bad_value_is_refused_and_changes_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "kept");
    let long = ["x".repeat(65_537), "ä".repeat(32_768) + "x", String::new()];
    let others = [json!(null), json!(1), json!(true), json!(["x"]), json!({})];
    for bad in long.into_iter().map(Value::from).chain(others) {
        let reply = admin.post(VARS, &json!({ "key": "BAD", "value": bad }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
        let reply = admin.patch(&path_of(&made), &json!({ "value": bad, "description": "d" }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
    }
    let reply = admin.post(VARS, &json!({ "key": "BAD" }));
    assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
    assert_eq!(list(&admin, ""), json!([made]));
}

#[test]
fn the_limit_of_a_value_is_configurable() {
    for limit in [5usize, 100_000] {
        let mut setup = Setup::default();
        setup.config.limits.value_bytes = limit;
        let app = TestApp::start_with(setup);
        let admin = app.admin();
        let made = new_var(&admin, "development", "KEY", &"x".repeat(limit));
        let long = "x".repeat(limit + 1);
        let reply = admin.post(VARS, &json!({ "key": "LONG", "value": long }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
        let reply = admin.patch(&path_of(&made), &json!({ "value": long }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value");
    }
}

#[test]
fn a_key_keeps_its_rule() {
    let app = TestApp::start();
    let admin = app.admin();
    let (longest, long) = ("K".repeat(256), "K".repeat(257));
    for key in ["A", "Z9_", &longest] {
        assert_eq!(new_var(&admin, "development", key, "v")["key"], key);
    }
    let texts = ["", "a", "_A", "1A", "A-B", "A ", "Ä", "A\n", "A\0", &long].map(Value::from);
    for key in texts.into_iter().chain([json!(null), json!(1), json!(["A"])]) {
        let reply = admin.post(VARS, &json!({ "key": key, "value": "v" }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "key", "{key}");
    }
    let body = admin.post(VARS, &json!({})).expect_error(400, "VALIDATION_ERROR");
    let details = body["details"].as_array().unwrap();
    let mut fields: Vec<_> = details.iter().map(|problem| text(problem, "field")).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["key", "value"]);
}

#[test]
fn a_description_keeps_its_rule_and_clears() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "v");
    assert_eq!(made["description"], json!(null));
    let longest = json!("ä".repeat(1000));
    for (given, kept) in [
        (&longest, &longest),
        (&json!(null), &json!(null)),
        (&json!("text"), &json!("text")),
        (&json!(""), &json!(null)),
    ] {
        let patched = admin.patch(&path_of(&made), &json!({ "description": given })).expect(200);
        assert_eq!(patched["var"], but(&made, json!({ "description": kept })));
    }
    for bad in [json!("x".repeat(1001)), json!(1), json!([])] {
        let body = json!({ "description": bad });
        let reply = admin.patch(&path_of(&made), &body);
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "description");
        let reply = admin.post(VARS, &but(&body, json!({ "key": "BAD", "value": "v" })));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "description");
    }
    assert_eq!(list(&admin, ""), json!([made]));
}

#[test]
fn never_reveal_and_generate_mean_nothing_to_a_var() {
    let app = TestApp::start();
    let admin = app.admin();
    let settings = "/api/environments/development/settings/configuration";
    admin
        .patch(settings, &json!({ "neverRevealByDefault": true, "allowSecretReveal": false }))
        .expect(200);
    let extra = json!({ "neverReveal": "any", "generate": { "length": 32 }, "encryptedValue": 1 });
    let made = admin.post(VARS, &but(&extra, json!({ "key": "KEY", "value": "v" }))).expect(200);
    let made = &made["var"];
    assert_eq!(made["value"], "v");
    assert!(!members(made).contains("neverReveal"));
    for never in [json!(true), json!(false)] {
        let patched = admin.patch(&path_of(made), &json!({ "neverReveal": never })).expect(200);
        assert_eq!(patched["var"], *made);
    }
    assert_eq!(admin.patch(&path_of(made), &extra).expect(200)["var"], *made);
    let lacking = json!({ "key": "LACKING", "generate": { "length": 32 } });
    let body = admin.post(VARS, &lacking).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(body["field"], "value");
}

#[test]
fn a_var_has_no_reveal_and_no_versions() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    for below in ["value", "versions"] {
        admin.get(&format!("{path}/{below}")).expect_error(404, "NOT_FOUND");
    }
    admin.post(&format!("{path}/versions/1/activate"), &json!({})).expect_error(404, "NOT_FOUND");
    // The routes for secrets do not show a var's versions either.
    let as_secret = format!("/api/secrets/{}", text(&made, "id"));
    for path in [as_secret.clone(), format!("{as_secret}/value"), format!("{as_secret}/versions")] {
        admin.get(&path).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn a_value_makes_a_new_version_and_nothing_else_does() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "same");
    let mut expected = made.clone();
    for (patch, version, time) in [
        (json!({ "value": "same" }), 2, "2027-01-15T08:00:01.000Z"),
        (json!({ "description": "d" }), 2, "2027-01-15T08:00:01.000Z"),
        (json!({}), 2, "2027-01-15T08:00:01.000Z"),
        (json!({ "value": "other", "description": null }), 3, "2027-01-15T08:00:04.000Z"),
    ] {
        app.clock.as_ref().unwrap().advance_millis(1_000);
        expected =
            but(&but(&expected, patch.clone()), json!({ "version": version, "updatedAt": time }));
        assert_eq!(admin.patch(&path_of(&made), &patch).expect(200)["var"], expected);
        assert_eq!(admin.get(&path_of(&made)).expect(200)["var"], expected);
    }
}

#[test]
fn read_only_members_are_refused_before_the_row_is_looked_up() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "kept");
    for member in ["id", "key", "environmentId", "createdAt", "updatedAt", "version"] {
        for value in [made[member].clone(), json!("x"), json!(null)] {
            for path in [&path_of(&made), "/api/vars/nowhere"] {
                let reply = admin.patch(path, &json!({ member: value, "value": "new" }));
                let body = reply.expect_error(422, "READONLY_FIELD");
                assert_eq!(body["field"], member);
                let message =
                    format!("Field \"{member}\" is read-only and cannot be set via PATCH.");
                assert_eq!(body["message"], message);
            }
        }
    }
    admin.patch("/api/vars/nowhere", &json!({ "value": 1 })).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(list(&admin, ""), json!([made]));
}

#[test]
fn a_condition_decides_whether_a_patch_happens() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "v1");
    let path = path_of(&made);
    admin.patch(&path, &json!({ "value": "v2" })).expect(200);
    let before = admin.get(&path).expect(200);
    let patch = json!({ "value": "v3", "description": "d" });
    for stale in ["\"1\"", "\"3\"", "\"22\""] {
        admin.with("If-Match", stale).patch(&path, &patch).expect_error(409, "CONFLICT");
    }
    admin.patch(&format!("{path}?version=1"), &patch).expect_error(409, "CONFLICT");
    let describe = json!({ "description": "d" });
    admin.with("If-Match", "\"1\"").patch(&path, &describe).expect_error(409, "CONFLICT");
    for bad in ["2", "\"2", "abc", ""] {
        admin.with("If-Match", bad).patch(&path, &patch).expect_error(400, "VALIDATION_ERROR");
    }
    for bad in ["", "abc", "0", "-1", "1.0"] {
        let reply = admin.patch(&format!("{path}?version={bad}"), &patch);
        reply.expect_error(400, "VALIDATION_ERROR");
    }
    assert_eq!(admin.get(&path).expect(200), before);
    let version = |reply: support::Reply| reply.expect(200)["var"]["version"].clone();
    assert_eq!(version(admin.with("If-Match", "\"2\"").patch(&path, &patch)), 3);
    assert_eq!(version(admin.patch(&format!("{path}?version=3"), &patch)), 4);
}

#[test]
fn a_duplicate_is_a_conflict_but_a_secret_and_a_var_may_share_a_key() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let admin = app.admin();
    let secret = new_secret(&admin, "development", "SHARED", "secret");
    let var = new_var(&admin, "development", "SHARED", "var");
    let reply = admin.post(VARS, &json!({ "key": "SHARED", "value": "again" }));
    let body = reply.expect_error(409, "CONFLICT");
    assert_eq!(body["message"], "Var already exists");
    assert_eq!(body["field"], "key");
    new_var(&admin, "other", "SHARED", "v");
    // Changing or deleting one does not affect the other.
    admin.patch(&path_of(&var), &json!({ "value": "changed" })).expect(200);
    assert_eq!(reveal(&admin, text(&secret, "id")), "secret");
    admin.delete(&format!("/api/secrets/{}", text(&secret, "id"))).expect(200);
    assert_eq!(admin.get(&path_of(&var)).expect(200)["var"]["value"], "changed");
    new_secret(&admin, "development", "SHARED", "secret");
    admin.delete(&path_of(&var)).expect(200);
    let secrets = admin.get("/api/environments/development/secrets").expect(200);
    assert_eq!(keys(&secrets["secrets"]), ["SHARED"]);
    assert_eq!(list(&admin, ""), json!([]));
}

#[test]
fn a_delete_frees_the_key_at_once_and_the_old_id_for_ever() {
    let app = TestApp::start();
    let admin = app.admin();
    let old = new_var(&admin, "development", "KEY", &"old".repeat(9_000));
    admin.delete(&path_of(&old)).expect(200);
    let new = new_var(&admin, "development", "KEY", "new");
    assert_ne!(new["id"], old["id"]);
    assert_eq!((&new["version"], &new["value"]), (&json!(1), &json!("new")));
    admin.get(&path_of(&old)).expect_error(404, "NOT_FOUND");
    admin.patch(&path_of(&old), &json!({ "value": "x" })).expect_error(404, "NOT_FOUND");
    admin.delete(&path_of(&old)).expect_error(404, "NOT_FOUND");
    assert_eq!(list(&admin, ""), json!([new]));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn what_does_not_exist_is_not_found_whatever_its_shape() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "v");
    let secret = new_secret(&admin, "development", "KEY", "v");
    let (lower, long) = (text(&made, "id").to_lowercase(), "x".repeat(2000));
    for shape in ["KEY", "x", "%00", "%FF", "a%2Fb", &lower, &long, text(&secret, "id")] {
        let path = format!("/api/vars/{shape}");
        admin.get(&path).expect_error(404, "NOT_FOUND");
        admin.patch(&path, &json!({ "value": "x" })).expect_error(404, "NOT_FOUND");
        admin.delete(&path).expect_error(404, "NOT_FOUND");
    }
    let nowhere = "/api/environments/nowhere/vars";
    admin.get(nowhere).expect_error(404, "NOT_FOUND");
    admin.post(nowhere, &json!({ "key": "KEY", "value": "v" })).expect_error(404, "NOT_FOUND");
    admin.post(nowhere, &json!({ "key": "key" })).expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn the_list_is_by_key_in_byte_order_and_pages_walk_it_once() {
    let app = TestApp::start();
    let admin = app.admin();
    let mut expected: Vec<String> = ["A", "A1", "AA", "A_", "B0"].map(str::to_owned).into();
    expected.extend((0..115).map(|number| format!("K_{number}")));
    parallel(8, |part| {
        for key in expected.iter().rev().skip(part).step_by(8) {
            new_var(&admin, "development", key, key);
        }
    });
    expected.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    let all = list(&admin, "");
    assert_eq!(keys(&all), expected);
    for limit in [1usize, 7, 60, 120, 121] {
        let (mut walked, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(&admin, &format!("?limit={limit}{after}"));
            let page = page.as_array().unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = format!("&after={}", text(last, "key"));
            walked.extend(page.iter().cloned());
        }
        assert!(Value::Array(walked) == all, "pages of {limit} do not add up to the list");
    }
    let matching: Vec<_> = expected.iter().filter(|key| key.starts_with("K_1")).cloned().collect();
    assert_eq!(keys(&list(&admin, "?prefix=K_1")), matching);
    assert_eq!(keys(&list(&admin, "?prefix=K_1&limit=3&after=K_10")), matching[2..5]);
    for bad in ["0", "-1", "x", ""] {
        let reply = admin.get(&format!("{VARS}?limit={bad}"));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "limit");
    }
}

#[test]
fn a_viewer_reads_vars_and_writes_none() {
    let app = TestApp::start();
    let made = new_var(&app.admin(), "development", "KEY", "v");
    let viewer = app.principal(Role::Viewer);
    assert_eq!(list(&viewer, ""), json!([made]));
    viewer.post(VARS, &json!({ "key": "NEW", "value": "v" })).expect_error(403, "FORBIDDEN_ROLE");
    viewer.patch(&path_of(&made), &json!({ "value": "w" })).expect_error(403, "FORBIDDEN_ROLE");
    viewer.delete(&path_of(&made)).expect_error(403, "FORBIDDEN_ROLE");
    assert_eq!(list(&viewer, ""), json!([made]));
}

#[test]
fn changes_are_audited_without_the_value() {
    let app = TestApp::start();
    let operator = app.principal(Role::Operator);
    let made = new_var(&operator, "development", "KEY", "canary1");
    operator.patch(&path_of(&made), &json!({ "value": "canary2" })).expect(200);
    operator.delete(&path_of(&made)).expect(200);
    let rows = audit_rows(app.stop().path());
    assert!(!format!("{rows:?}").contains("canary"));
    let about =
        rows.iter().filter(|row| row.draft.resource.id.as_deref() == Some(text(&made, "id")));
    let about: Vec<_> = about.collect();
    let actions: Vec<_> = about.iter().map(|row| row.draft.action).collect();
    assert_eq!(actions, [Action::VarCreate, Action::VarUpdate, Action::VarDelete]);
    for row in &about {
        assert_eq!((row.draft.actor.name.as_str(), &row.draft.error), ("test operator", &None));
        assert_eq!(row.draft.resource.name.as_deref(), Some("KEY"));
    }
    let details: Value = serde_json::from_str(about[1].draft.details.as_ref().unwrap()).unwrap();
    assert_eq!(details["changed"], json!(["value"]));
    assert_eq!((&details["oldVersion"], &details["newVersion"]), (&json!(1), &json!(2)));
}

#[test]
fn of_a_hundred_that_create_the_same_key_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let replies = parallel(100, |number| {
        admin.post(VARS, &json!({ "key": "RACE", "value": format!("{number}") }))
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!((made.len(), refused.len()), (1, 99));
    for reply in refused {
        reply.expect_error(409, "CONFLICT");
    }
    assert_eq!(admin.get(VARS).expect(200)["vars"], json!([made[0].json()["var"]]));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn a_hundred_patches_at_once_make_versions_without_gaps_and_of_conditional_ones_one_wins() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_var(&admin, "development", "KEY", "v");
    let path = format!("/api/vars/{}", text(&made, "id"));
    let mut replies = parallel(100, |number| {
        let value = format!("v{number}");
        let var = admin.patch(&path, &json!({ "value": value })).expect(200)["var"].clone();
        assert_eq!(var["value"], value);
        (var["version"].as_u64().unwrap(), value)
    });
    replies.sort_unstable();
    let versions: Vec<_> = replies.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (2..=101).collect::<Vec<_>>());
    assert_eq!(admin.get(&path).expect(200)["var"]["value"], replies[99].1);

    let statuses = parallel(50, |number| {
        let body = json!({ "value": format!("w{number}") });
        admin.with("If-Match", "\"101\"").patch(&path, &body).status
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 49);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn a_page_after_the_key_that_is_the_prefix_begins_after_it() {
    let app = TestApp::start();
    let admin = app.admin();
    for key in ["DB", "DB_HOST", "DB_PORT"] {
        new_var(&admin, "development", key, "v");
    }
    assert_eq!(keys(&list(&admin, "?prefix=DB&after=DB")), ["DB_HOST", "DB_PORT"]);
}
