//! Secrets: versions, and going back to one.

use std::sync::atomic::{AtomicBool, Ordering};

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{members, new_secret, new_var, parallel, reveal, text};
use support::tier;
use support::{Client, Reply, Setup, TestApp, audit_rows, data_dir, rows_fit};

fn path_of(item: &Value) -> String {
    format!("/api/secrets/{}", text(item, "id"))
}

fn put(client: &Client, path: &str, value: &str) -> Value {
    client.patch(path, &json!({ "value": value })).expect(200)["secret"].clone()
}

fn activate(client: &Client, path: &str, number: impl std::fmt::Display) -> Reply {
    client.send("POST", &format!("{path}/versions/{number}/activate"), None)
}

fn versions(client: &Client, path: &str) -> Vec<Value> {
    let body = client.get(&format!("{path}/versions")).expect(200);
    assert_eq!(members(&body), ["versions"].into());
    body["versions"].as_array().unwrap().clone()
}

fn numbers(client: &Client, path: &str) -> Vec<u64> {
    versions(client, path).iter().map(|item| item["version"].as_u64().unwrap()).collect()
}

fn keeping(versions_kept: u32) -> Setup {
    let mut setup = Setup::default();
    setup.config.limits.versions_kept = versions_kept;
    setup
}

#[test]
fn versions_are_listed_newest_first_with_exactly_the_members_of_the_contract() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let (admin, operator) = (app.principal(Role::Admin), app.principal(Role::Operator));
    let made = new_secret(&admin, "development", "KEY", "canary1");
    let path = path_of(&made);
    app.clock.as_ref().unwrap().advance_millis(1_000);
    put(&operator, &path, "canary2");
    app.clock.as_ref().unwrap().advance_millis(1_000);
    activate(&admin, &path, 1).expect(200);
    // Neither of these creates a version.
    admin.patch(&path, &json!({ "description": "d", "neverReveal": true })).expect(200);
    let item = |version: u32, created_at: &str, created_by: &str, active: bool| {
        json!({
            "version": version, "createdAt": created_at, "createdBy": created_by, "active": active
        })
    };
    let expected = [
        item(3, "2027-01-15T08:00:02.000Z", "test admin", true),
        item(2, "2027-01-15T08:00:01.000Z", "test operator", false),
        item(1, "2027-01-15T08:00:00.000Z", "test admin", false),
    ];
    for client in [&admin, &operator, &app.principal(Role::Viewer)] {
        assert_eq!(versions(client, &path), expected);
    }
}

#[test]
fn the_last_ten_versions_are_kept() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = path_of(&new_secret(&admin, "development", "KEY", &"v1".repeat(5_000)));
    for version in 2..=14 {
        put(&admin, &path, &format!("v{version}").repeat(5_000));
        let oldest = if version > 10 { version - 9 } else { 1 };
        assert_eq!(numbers(&admin, &path), (oldest..=version).rev().collect::<Vec<_>>());
    }
    for dropped in 1..=4 {
        activate(&admin, &path, dropped).expect_error(404, "NOT_FOUND");
    }
    // The oldest kept version can still be activated, although doing so drops it.
    let item = activate(&admin, &path, 5).expect(200)["secret"].clone();
    assert_eq!(item["version"], 15);
    assert!(reveal(&admin, text(&item, "id")) == "v5".repeat(5_000));
    assert_eq!(numbers(&admin, &path), (6..=15).rev().collect::<Vec<_>>());
    activate(&admin, &path, 5).expect_error(404, "NOT_FOUND");
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn how_many_versions_are_kept_is_configurable_and_may_change() {
    let app = TestApp::start_with(keeping(12));
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v1");
    let path = path_of(&made);
    for version in 2..=13 {
        put(&admin, &path, &format!("v{version}"));
    }
    assert_eq!(numbers(&admin, &path), (2..=13).rev().collect::<Vec<_>>());
    let app = TestApp::start_in(app.stop(), keeping(3));
    let admin = app.admin();
    put(&admin, &path, "v14");
    assert_eq!(numbers(&admin, &path), [14, 13, 12]);
    let app = TestApp::start_in(app.stop(), keeping(1));
    let admin = app.admin();
    put(&admin, &path, "v15");
    assert_eq!(numbers(&admin, &path), [15]);
    activate(&admin, &path, 14).expect_error(404, "NOT_FOUND");
    assert_eq!(activate(&admin, &path, 15).expect(200)["secret"]["version"], 16);
    assert_eq!(numbers(&admin, &path), [16]);
    assert_eq!(reveal(&admin, text(&made, "id")), "v15");
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn activating_makes_a_new_version_with_the_old_value_back_and_forward() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let (admin, operator) = (app.admin(), app.principal(Role::Operator));
    let made = new_secret(&admin, "development", "KEY", "one");
    let path = path_of(&made);
    let big = "two\0".repeat(16_000);
    put(&admin, &path, &big);
    put(&admin, &path, "three");
    // 4 goes back to "one", 5 goes forward to "three", 6 activates the current version again.
    for (number, version, value) in
        [(1, 4, "one"), (3, 5, "three"), (5, 6, "three"), (2, 7, &big), (4, 8, "one")]
    {
        app.clock.as_ref().unwrap().advance_millis(1_000);
        let body = activate(&operator, &path, number).expect(200);
        assert_eq!(members(&body), ["secret"].into());
        let mut expected = made.clone();
        expected["version"] = json!(version);
        expected["updatedAt"] = json!(format!("2027-01-15T08:00:0{}.000Z", version - 3));
        assert_eq!(body["secret"], expected);
        assert_eq!(admin.get(&path).expect(200), body);
        assert!(reveal(&admin, text(&made, "id")) == value, "version {version}");
        let active: Vec<_> =
            versions(&admin, &path).into_iter().filter(|item| item["active"] == true).collect();
        assert_eq!(active.len(), 1);
        assert_eq!(active[0]["version"], version);
        assert_eq!(active[0]["createdBy"], "test operator");
    }
    // Some clients send a content type on a POST without a body.
    let at = format!("{path}/versions/8/activate");
    admin.send("POST", &at, Some(("application/json", b""))).expect(200);
    admin.post(&at, &json!({})).expect(200);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn a_number_that_names_no_version_is_not_found_and_changes_nothing() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let path = path_of(&made);
    let garbage = [
        "2",
        "0",
        "-1",
        "1.0",
        "1e0",
        "0x1",
        "x",
        "%20",
        "1%20",
        "%00",
        "null",
        "active",
        "4294967296",
        "4294967297",
        "18446744073709551617",
        "1%2F1",
        "%D9%A1",
    ];
    for number in garbage {
        activate(&admin, &path, number).expect_error(404, "NOT_FOUND");
    }
    activate(&admin, "/api/secrets/nowhere", 1).expect_error(404, "NOT_FOUND");
    admin.get("/api/secrets/nowhere/versions").expect_error(404, "NOT_FOUND");
    let var = new_var(&admin, "development", "VAR", "v");
    activate(&admin, &path_of(&var), 1).expect_error(404, "NOT_FOUND");
    assert_eq!(admin.get(&path).expect(200)["secret"], made);
    assert_eq!(numbers(&admin, &path), [1]);
    let method = admin.get(&format!("{path}/versions/1/activate"));
    method.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(method.header("allow"), Some("POST"));
}

#[test]
fn a_write_only_secret_goes_back_without_anyone_seeing_it() {
    let app = TestApp::start();
    let (admin, operator) = (app.admin(), app.principal(Role::Operator));
    let body = json!({ "key": "KEY", "value": "canary1", "neverReveal": true });
    let made =
        admin.post("/api/environments/development/secrets", &body).expect(200)["secret"].clone();
    let path = path_of(&made);
    put(&admin, &path, "canary2");
    for (number, version) in [(1, 3), (2, 4), (3, 5)] {
        let reply = activate(&operator, &path, number);
        let item = reply.expect(200)["secret"].clone();
        assert_eq!((&item["version"], &item["neverReveal"]), (&json!(version), &json!(true)));
        assert!(!reply.text().contains("canary"));
        admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    }
    assert!(!admin.get(&format!("{path}/versions")).text().contains("canary"));
}

#[test]
fn a_latch_covers_every_version_those_before_it_too() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "one");
    let path = path_of(&made);
    put(&admin, &path, "two");
    assert_eq!(reveal(&admin, text(&made, "id")), "two");
    admin.patch(&path, &json!({ "neverReveal": true })).expect(200);
    for number in [1, 2, 3] {
        let item = activate(&admin, &path, number).expect(200)["secret"].clone();
        assert_eq!(item["neverReveal"], true);
        admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    }
    // The old versions can still be decrypted: activating them needs their value.
    assert_eq!(numbers(&admin, &path), [5, 4, 3, 2, 1]);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn reveal_switched_off_does_not_stop_going_back() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "one");
    let path = path_of(&made);
    put(&admin, &path, "two");
    let settings = "/api/environments/development/settings/configuration";
    admin.patch(settings, &json!({ "allowSecretReveal": false })).expect(200);
    activate(&admin, &path, 1).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "REVEAL_DISABLED");
    admin.patch(settings, &json!({ "allowSecretReveal": true })).expect(200);
    assert_eq!(reveal(&admin, text(&made, "id")), "one");
}

#[test]
fn a_viewer_lists_versions_and_activates_none() {
    let app = TestApp::start();
    let made = new_secret(&app.admin(), "development", "KEY", "v");
    let path = path_of(&made);
    let viewer = app.principal(Role::Viewer);
    assert_eq!(numbers(&viewer, &path), [1]);
    activate(&viewer, &path, 1).expect_error(403, "FORBIDDEN_ROLE");
    assert_eq!(numbers(&viewer, &path), [1]);
}

#[test]
fn activating_is_audited_with_both_versions() {
    let app = TestApp::start();
    let operator = app.principal(Role::Operator);
    let made = new_secret(&operator, "development", "KEY", "canary1");
    let path = path_of(&made);
    put(&operator, &path, "canary2");
    activate(&operator.with("X-Request-Id", "r-back"), &path, 1).expect(200);
    activate(&operator, &path, 9).expect_error(404, "NOT_FOUND");
    let rows = audit_rows(app.stop().path());
    assert!(!format!("{rows:?}").contains("canary"));
    let activations: Vec<_> =
        rows.iter().filter(|row| row.draft.action == Action::SecretActivate).collect();
    assert_eq!(activations.len(), 1);
    let draft = &activations[0].draft;
    assert_eq!(draft.request_id.as_deref(), Some("r-back"));
    assert_eq!(draft.resource.id.as_deref(), Some(text(&made, "id")));
    assert_eq!((draft.actor.name.as_str(), &draft.error), ("test operator", &None));
    let details: Value = serde_json::from_str(draft.details.as_ref().unwrap()).unwrap();
    assert_eq!((&details["activated"], &details["newVersion"]), (&json!(1), &json!(3)));
}

#[test]
fn activations_and_updates_at_once_make_versions_without_gaps() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v0");
    let path = path_of(&made);
    // Fewer than the server keeps, so that version 1 can still be activated.
    let mut made_versions = parallel(8, |number| {
        let reply = if number % 2 == 0 {
            activate(&admin, &path, 1)
        } else {
            admin.patch(&path, &json!({ "value": format!("v{number}") }))
        };
        reply.expect(200)["secret"]["version"].as_u64().unwrap()
    });
    made_versions.sort_unstable();
    assert_eq!(made_versions, (2..=9).collect::<Vec<_>>());
    assert_eq!(numbers(&admin, &path), (1..=9).rev().collect::<Vec<_>>());
}

#[test]
fn a_list_that_races_updates_always_has_its_newest_version_active() {
    let mut setup = keeping(2);
    setup.config.rate_limit.authenticated_per_minute = 0;
    let app = TestApp::start_with(setup);
    let admin = app.admin();
    let path = path_of(&new_secret(&admin, "development", "KEY", "v"));
    let done = AtomicBool::new(false);
    let odd = parallel(6, |number| {
        let mut odd = Vec::new();
        if number == 0 {
            for _ in 0..tier::rounds(300, 60) {
                put(&admin, &path, "w");
            }
            done.store(true, Ordering::SeqCst);
        }
        while !done.load(Ordering::SeqCst) {
            let list = versions(&admin, &path);
            let active: Vec<_> = list.iter().map(|item| item["active"] == true).collect();
            if active != [true, false] && active != [true] {
                odd.push(Value::Array(list).to_string());
            }
        }
        odd
    });
    let odd = odd.concat();
    assert!(odd.is_empty(), "{} wrong lists, the first: {}", odd.len(), odd[0]);
}
