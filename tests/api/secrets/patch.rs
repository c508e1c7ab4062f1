//! Secrets: PATCH.

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{keys, members, new_secret, parallel, reveal, text};
use support::paths::SECRETS;
use support::{Setup, TestApp, audit_rows, data_dir, rows_fit};

fn path_of(item: &Value) -> String {
    format!("/api/secrets/{}", text(item, "id"))
}

/// The item with some members changed.
fn but(item: &Value, changes: Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    item
}

#[test]
fn a_value_always_makes_a_new_version_equal_or_not() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let operator = app.principal(Role::Operator);
    let made = new_secret(&operator, "development", "KEY", "same");
    let path = path_of(&made);
    let times =
        ["2027-01-15T08:00:01.000Z", "2027-01-15T08:00:02.000Z", "2027-01-15T08:00:03.000Z"];
    for (time, (version, value)) in times.iter().zip([(2, "same"), (3, "other"), (4, "other")]) {
        app.clock.as_ref().unwrap().advance_millis(1_000);
        let patched = operator.patch(&path, &json!({ "value": value })).expect(200);
        assert_eq!(members(&patched), ["secret"].into());
        assert_eq!(patched["secret"], but(&made, json!({ "version": version, "updatedAt": time })));
        assert_eq!(operator.get(&path).expect(200), patched);
        assert_eq!(reveal(&app.admin(), text(&made, "id")), value);
    }
}

#[test]
fn without_a_value_version_and_updated_at_stay_as_they_are() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let mut expected = made.clone();
    for patch in [
        json!({ "description": "new" }),
        json!({}),
        json!({ "unknown": 1 }),
        json!({ "neverReveal": false }),
        json!({ "description": null }),
        json!({ "neverReveal": true }),
        json!({ "neverReveal": true, "description": "again" }),
    ] {
        app.clock.as_ref().unwrap().advance_millis(1_000);
        let mut changes = patch.clone();
        changes.as_object_mut().unwrap().remove("unknown");
        expected = but(&expected, changes);
        assert_eq!(admin.patch(&path, &patch).expect(200)["secret"], expected, "{patch}");
        assert_eq!(admin.get(&path).expect(200)["secret"], expected, "{patch}");
    }
    let versions = admin.get(&format!("{path}/versions")).expect(200);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn an_equal_and_a_different_value_cannot_be_told_apart() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let tellings = ["KEY_A", "KEY_B"].map(|key| {
        let made = new_secret(&admin, "development", key, "present");
        let path = path_of(&made);
        let value = if key == "KEY_A" { "present" } else { "another" };
        let patched = admin.patch(&path, &json!({ "value": value, "description": "d" }));
        let versions = admin.get(&format!("{path}/versions"));
        let normal = |reply: &support::Reply| {
            let id = text(&made, "id");
            // Sent in arbitrary order.
            let mut headers = reply.headers.clone();
            headers.retain(|(name, _)| name != "x-request-id" && name != "date");
            headers.sort_unstable();
            (reply.text().replace(id, "ID").replace(key, "KEY"), headers)
        };
        (normal(&patched), normal(&versions), text(&made, "id").to_owned())
    });
    let [equal, other] = tellings;
    assert_eq!((equal.0, equal.1), (other.0, other.1));
    let rows = audit_rows(app.stop().path());
    let about = |id: &str| {
        let about = rows.iter().filter(|row| row.draft.resource.id.as_deref() == Some(id));
        let drafts: Vec<_> = about.map(|row| row.draft.clone()).collect();
        let row =
            |draft: coffer::audit::Draft| (draft.action, draft.details, draft.error, draft.at);
        drafts.into_iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(about(&equal.2), about(&other.2));
    assert_eq!(about(&equal.2).len(), 2);
}

#[test]
fn a_description_changes_and_clears() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let longest = json!("ä".repeat(1000));
    let steps = [
        (&longest, &longest),
        (&json!(null), &json!(null)),
        (&json!("text"), &json!("text")),
        (&json!(""), &json!(null)),
        (&json!("kept"), &json!("kept")),
    ];
    for (given, kept) in steps {
        let patched = admin.patch(&path, &json!({ "description": given })).expect(200);
        assert_eq!(patched["secret"]["description"], *kept);
    }
    for bad in [json!("x".repeat(1001)), json!(1), json!(["x"]), json!(true), json!({})] {
        let reply = admin.patch(&path, &json!({ "description": bad, "value": "w" }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "description");
    }
    let read = admin.patch(&path, &json!({ "value": "w" })).expect(200);
    assert_eq!(read["secret"]["description"], "kept");
    assert_eq!(read["secret"]["version"], 2);
}

#[test]
fn a_bad_value_is_refused_and_changes_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "kept");
    let path = path_of(&made);
    for bad in [json!(null), json!(""), json!(1), json!(true), json!(["x"]), json!({})] {
        let reply =
            admin.patch(&path, &json!({ "value": bad, "description": "d", "neverReveal": true }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "value", "{bad}");
    }
    assert_eq!(admin.get(&path).expect(200)["secret"], made);
    assert_eq!(reveal(&admin, text(&made, "id")), "kept");
}

#[test]
fn read_only_members_are_refused_before_the_row_is_looked_up() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "kept");
    let path = path_of(&made);
    let read_only = ["id", "key", "environmentId", "createdAt", "updatedAt", "version"];
    for member in read_only.into_iter().chain(["encryptedValue", "nonce"]) {
        // The current value is refused as well, and so is any type.
        for value in [made[member].clone(), json!("x"), json!({})] {
            let body = json!({ member: value, "value": "new", "description": "d" });
            for path in [&path, "/api/secrets/nowhere"] {
                let body = admin.patch(path, &body).expect_error(422, "READONLY_FIELD");
                assert_eq!(body["field"], member);
                let message =
                    format!("Field \"{member}\" is read-only and cannot be set via PATCH.");
                assert_eq!(body["message"], message);
            }
        }
    }
    let body = json!({ "version": 1, "id": "x" });
    let body = admin.patch(&path, &body).expect_error(422, "READONLY_FIELD");
    let details = body["details"].as_array().unwrap();
    let mut fields: Vec<_> = details.iter().map(|problem| text(problem, "field")).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["id", "version"]);

    admin
        .patch("/api/secrets/nowhere", &json!({ "value": 1 }))
        .expect_error(400, "VALIDATION_ERROR");
    admin.patch("/api/secrets/nowhere", &json!({ "value": "v" })).expect_error(404, "NOT_FOUND");
    assert_eq!(admin.get(&path).expect(200)["secret"], made);
    assert_eq!(reveal(&admin, text(&made, "id")), "kept");
}

#[test]
fn never_reveal_goes_one_way() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let set = |never: bool| admin.patch(&path, &json!({ "neverReveal": never }));
    assert_eq!(set(false).expect(200)["secret"], made);
    assert_eq!(reveal(&admin, text(&made, "id")), "v");
    let latched = set(true).expect(200)["secret"].clone();
    assert_eq!(latched, but(&made, json!({ "neverReveal": true })));
    assert_eq!(set(true).expect(200)["secret"], latched);

    for body in [
        json!({ "neverReveal": false }),
        json!({ "neverReveal": false, "value": "w", "description": "d" }),
    ] {
        for client in [app.admin(), app.principal(Role::Operator)] {
            let body = client.patch(&path, &body).expect_error(422, "READONLY_FIELD");
            assert_eq!(body["field"], "neverReveal");
            assert!(!text(&body, "hint").is_empty());
        }
    }
    assert_eq!(admin.get(&path).expect(200)["secret"], latched);
    for bad in [json!(null), json!("false"), json!(0), json!(1), json!([])] {
        let body = admin.patch(&path, &json!({ "neverReveal": bad }));
        assert_eq!(body.expect_error(400, "VALIDATION_ERROR")["field"], "neverReveal", "{bad}");
    }
    // A value written later is as hidden as the earlier ones.
    admin.patch(&path, &json!({ "value": "w" })).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn a_latch_and_a_value_in_one_patch_both_hold() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let patch = json!({ "neverReveal": true, "value": "w", "description": "d" });
    let item = admin.patch(&path, &patch).expect(200)["secret"].clone();
    assert_eq!((&item["neverReveal"], &item["version"]), (&json!(true), &json!(2)));
    assert_eq!(item["description"], "d");
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    admin.post(&format!("{path}/versions/1/activate"), &json!({})).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn a_condition_that_does_not_hold_is_a_conflict_and_changes_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    admin.patch(&path, &json!({ "value": "kept" })).expect(200);
    let before = admin.get(&path).expect(200);
    let patch = json!({ "value": "w", "description": "d", "neverReveal": true });
    for stale in ["\"1\"", "\"3\"", "\"22\"", "\"4294967295\"", "\"1\", \"3\""] {
        admin.with("If-Match", stale).patch(&path, &patch).expect_error(409, "CONFLICT");
    }
    for stale in ["1", "3", "22"] {
        admin.patch(&format!("{path}?version={stale}"), &patch).expect_error(409, "CONFLICT");
    }
    // A PATCH without a value is conditional, too.
    let describe = json!({ "description": "d" });
    admin.with("If-Match", "\"1\"").patch(&path, &describe).expect_error(409, "CONFLICT");
    admin.patch(&format!("{path}?version=1"), &describe).expect_error(409, "CONFLICT");
    assert_eq!(admin.get(&path).expect(200), before);
    assert_eq!(reveal(&admin, text(&made, "id")), "kept");
}

#[test]
fn a_condition_that_holds_lets_the_patch_through() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let version = |reply: support::Reply| reply.expect(200)["secret"]["version"].clone();
    let value = json!({ "value": "w" });
    assert_eq!(version(admin.with("If-Match", "\"1\"").patch(&path, &value)), 2);
    assert_eq!(version(admin.patch(&format!("{path}?version=2"), &value)), 3);
    assert_eq!(
        version(admin.with("if-match", "\"3\"").patch(&path, &json!({ "description": "d" }))),
        3
    );
    assert_eq!(version(admin.with("If-Match", "\"3\"").patch(&path, &value)), 4);
    // As in HTTP in general: a star matches any version, a list matches any of its members.
    assert_eq!(version(admin.with("If-Match", "*").patch(&path, &value)), 5);
    assert_eq!(version(admin.with("If-Match", "\"4\", \"5\"").patch(&path, &value)), 6);
}

#[test]
fn a_malformed_condition_is_refused_not_ignored() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let value = json!({ "value": "w" });
    for bad in ["1", "\"1", "1\"", "abc", "", "\"", "'1'"] {
        let reply = admin.with("If-Match", bad).patch(&path, &value);
        reply.expect_error(400, "VALIDATION_ERROR");
    }
    for bad in ["", "abc", "0", "-1", "1.0", "%221%22", "99999999999999999999"] {
        let reply = admin.patch(&format!("{path}?version={bad}"), &value);
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "version", "{bad}");
    }
    assert_eq!(admin.get(&path).expect(200)["secret"], made);
}

#[test]
fn a_hundred_patches_at_once_make_a_hundred_versions_without_gaps() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v0");
    let path = path_of(&made);
    let mut replies = parallel(100, |number| {
        let value = format!("v{number}");
        let reply = admin.patch(&path, &json!({ "value": value })).expect(200);
        (reply["secret"]["version"].as_u64().unwrap(), value)
    });
    replies.sort_unstable();
    let versions: Vec<_> = replies.iter().map(|(version, _)| *version).collect();
    assert_eq!(versions, (2..=101).collect::<Vec<_>>());
    assert_eq!(admin.get(&path).expect(200)["secret"]["version"], 101);
    assert_eq!(reveal(&admin, text(&made, "id")), replies[99].1);
    // Each kept version has the value that its response was about.
    for (version, value) in &replies[90..] {
        let at = format!("{path}/versions/{version}/activate");
        if admin.post(&at, &json!({})).status == 200 {
            assert_eq!(reveal(&admin, text(&made, "id")), *value);
        }
    }
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn of_many_conditional_patches_at_once_exactly_one_wins() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    for round in 1..=3 {
        let replies = parallel(50, |number| {
            let value = format!("round {round} value {number}");
            let body = json!({ "value": value });
            let reply = if number % 2 == 0 {
                admin.with("If-Match", &format!("\"{round}\"")).patch(&path, &body)
            } else {
                admin.patch(&format!("{path}?version={round}"), &body)
            };
            (reply, value)
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            replies.into_iter().partition(|(reply, _)| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 49));
        for (reply, _) in lost {
            reply.expect_error(409, "CONFLICT");
        }
        assert_eq!(won[0].0.expect(200)["secret"]["version"], round + 1);
        assert_eq!(reveal(&admin, text(&made, "id")), won[0].1);
    }
}

#[test]
fn an_update_is_audited_with_what_changed_and_the_versions_but_no_value() {
    let app = TestApp::start();
    let operator = app.principal(Role::Operator);
    let made = new_secret(&operator, "development", "KEY", "canary1");
    let patch = json!({ "value": "canary2", "description": "canary3" });
    operator.with("X-Request-Id", "r-1").patch(&path_of(&made), &patch).expect(200);
    let latch = json!({ "neverReveal": true });
    operator.with("X-Request-Id", "r-2").patch(&path_of(&made), &latch).expect(200);
    let rows = audit_rows(app.stop().path());
    assert!(!format!("{rows:?}").contains("canary"));
    let mut updates = rows.iter().filter(|row| row.draft.action == Action::SecretUpdate);
    for (request, changed, versions) in
        [("r-1", vec!["description", "value"], (1, 2)), ("r-2", vec!["neverReveal"], (2, 2))]
    {
        let draft = &updates.next().unwrap().draft;
        assert_eq!(draft.request_id.as_deref(), Some(request));
        assert_eq!(draft.resource.id.as_deref(), Some(text(&made, "id")));
        assert_eq!((draft.actor.name.as_str(), &draft.error), ("test operator", &None));
        let details: Value = serde_json::from_str(draft.details.as_ref().unwrap()).unwrap();
        let mut named: Vec<_> = details["changed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        named.sort_unstable();
        assert_eq!(named, changed);
        assert_eq!(
            (&details["oldVersion"], &details["newVersion"]),
            (&json!(versions.0), &json!(versions.1))
        );
    }
    assert!(updates.next().is_none());
}

#[test]
fn a_patch_touches_no_other_secret() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let admin = app.admin();
    let target = new_secret(&admin, "development", "KEY", "v");
    let next = new_secret(&admin, "development", "KEY_2", "next");
    let other = new_secret(&admin, "other", "KEY", "other");
    let patch = json!({ "value": "w", "neverReveal": true, "description": "d" });
    admin.patch(&path_of(&target), &patch).expect(200);
    for (item, value) in [(&next, "next"), (&other, "other")] {
        assert_eq!(admin.get(&path_of(item)).expect(200)["secret"], *item);
        assert_eq!(reveal(&admin, text(item, "id")), value);
    }
    assert_eq!(keys(&admin.get(SECRETS).expect(200)["secrets"]), ["KEY", "KEY_2"]);
}
