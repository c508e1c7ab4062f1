//! Settings of environments.

use coffer::audit::{Action, Row};
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{members, new_environment, new_secret, parallel, text};
use support::paths::SETTINGS;
use support::{Client, Setup, TestApp, audit_rows};

fn settings(client: &Client) -> Value {
    let body = client.get(SETTINGS).expect(200);
    assert_eq!(members(&body), ["settings"].into());
    body["settings"].clone()
}

fn set(allow: bool, never: bool) -> Value {
    json!({ "allowSecretReveal": allow, "neverRevealByDefault": never })
}

#[test]
fn a_new_environment_has_the_defaults() {
    let app = TestApp::start();
    let admin = app.admin();
    assert_eq!(admin.get(SETTINGS).expect(200), json!({ "settings": set(true, false) }));
    new_environment(&admin, "Later");
    let later = admin.get("/api/environments/later/settings/configuration").expect(200);
    assert_eq!(later, json!({ "settings": set(true, false) }));
}

#[test]
fn a_patch_changes_what_it_names_and_nothing_else() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let admin = app.admin();
    let steps = [
        (json!({ "allowSecretReveal": false }), set(false, false)),
        (json!({ "neverRevealByDefault": true }), set(false, true)),
        (json!({}), set(false, true)),
        (json!({ "allowSecretReveal": false }), set(false, true)),
        (json!({ "allowSecretReveal": true }), set(true, true)),
        (set(false, false), set(false, false)),
    ];
    for (patch, expected) in steps {
        let answer = admin.patch(SETTINGS, &patch).expect(200);
        assert_eq!(answer, json!({ "settings": expected }), "{patch}");
        assert_eq!(settings(&admin), expected, "{patch}");
    }
    let other = admin.get("/api/environments/other/settings/configuration").expect(200);
    assert_eq!(other["settings"], set(true, false));
}

#[test]
fn settings_are_reached_by_id_and_by_name_in_any_case() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = app.environment_id("development");
    admin.patch(SETTINGS, &json!({ "neverRevealByDefault": true })).expect(200);
    for segment in [&*id, "Development", "DEVELOPMENT"] {
        let path = format!("/api/environments/{segment}/settings/configuration");
        assert_eq!(admin.get(&path).expect(200)["settings"], set(true, true));
    }
    for segment in ["nowhere", "%00", &id.to_lowercase()] {
        let path = format!("/api/environments/{segment}/settings/configuration");
        admin.get(&path).expect_error(404, "NOT_FOUND");
        admin.patch(&path, &json!({})).expect_error(404, "NOT_FOUND");
        admin.post(&format!("{path}/reset"), &json!({})).expect_error(404, "NOT_FOUND");
        // The body is checked before the row.
        admin.patch(&path, &json!({ "x": 1 })).expect_error(400, "VALIDATION_ERROR");
    }
}

#[test]
fn an_unknown_member_is_refused_and_the_members_beside_it_are_not_applied() {
    let app = TestApp::start();
    let admin = app.admin();
    for name in [
        "canary",
        "AllowSecretReveal",
        "allowSecretReveal ",
        "allow_secret_reveal",
        "",
        "id",
        "settings",
    ] {
        for body in [
            json!({ name: false }),
            json!({ name: false, "allowSecretReveal": false, "neverRevealByDefault": true }),
        ] {
            let reply = admin.patch(SETTINGS, &body);
            reply.expect_error(400, "VALIDATION_ERROR");
            assert!(!text(&reply.json(), "message").contains("canary"));
        }
    }
    assert_eq!(settings(&admin), set(true, false));
}

#[test]
fn null_and_every_other_wrong_type_are_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    for member in ["allowSecretReveal", "neverRevealByDefault"] {
        let other = if member == "allowSecretReveal" {
            "neverRevealByDefault"
        } else {
            "allowSecretReveal"
        };
        for bad in [
            json!(null),
            json!("true"),
            json!("false"),
            json!(0),
            json!(1),
            json!([true]),
            json!({}),
        ] {
            let reply = admin.patch(SETTINGS, &json!({ member: bad, other: true }));
            assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], member, "{bad}");
        }
    }
    for bad in ["null", "true", "[]", "\"x\"", "1", "{", "{\"allowSecretReveal\":false"] {
        let reply = admin.send("PATCH", SETTINGS, Some(("application/json", bad.as_bytes())));
        reply.expect_error(400, "VALIDATION_ERROR");
    }
    let reply =
        admin.patch(SETTINGS, &json!({ "allowSecretReveal": 1, "neverRevealByDefault": null }));
    let body = reply.expect_error(400, "VALIDATION_ERROR");
    assert_eq!(body["details"].as_array().unwrap().len(), 2);
    assert_eq!(settings(&admin), set(true, false));
}

#[test]
fn a_reset_restores_the_defaults() {
    let app = TestApp::start();
    let admin = app.admin();
    let reset = format!("{SETTINGS}/reset");
    let bodies: [Option<(&str, &[u8])>; 3] =
        [None, Some(("application/json", b"")), Some(("application/json", b"{}"))];
    for body in bodies {
        admin.patch(SETTINGS, &set(false, true)).expect(200);
        let answer = admin.send("POST", &reset, body).expect(200);
        assert_eq!(answer, json!({ "settings": set(true, false) }));
        assert_eq!(settings(&admin), set(true, false));
    }
    // Repeating it changes nothing.
    admin.post(&reset, &json!({})).expect(200);
    assert_eq!(settings(&admin), set(true, false));
    let get = admin.get(&reset);
    get.expect_error(405, "METHOD_NOT_ALLOWED");
    assert_eq!(get.header("allow"), Some("POST"));
}

#[test]
fn settings_are_for_admins_and_refusals_are_audited() {
    let app = TestApp::start_with(Setup::default().environments(&["development", "other"]));
    let (id, other) = (app.environment_id("development"), app.environment_id("other"));
    for role in [Role::Operator, Role::Viewer] {
        let client = app.principal(role);
        client.get(SETTINGS).expect_error(403, "FORBIDDEN_ROLE");
        client.patch(SETTINGS, &set(false, true)).expect_error(403, "FORBIDDEN_ROLE");
        client.post(&format!("{SETTINGS}/reset"), &json!({})).expect_error(403, "FORBIDDEN_ROLE");
    }
    let outside = app.scoped(Role::Admin, &[&other]);
    outside.get(SETTINGS).expect_error(403, "FORBIDDEN_SCOPE");
    outside.patch(SETTINGS, &set(false, true)).expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(settings(&app.admin()), set(true, false));
    let inside = app.scoped(Role::Admin, &[&id]);
    assert_eq!(inside.patch(SETTINGS, &set(false, true)).expect(200)["settings"], set(false, true));
    assert_eq!(settings(&inside), set(false, true));

    let rows = audit_rows(app.stop().path());
    let refused = |action: Action, code: &str| {
        let matches =
            |row: &&Row| row.draft.action == action && row.draft.error.as_deref() == Some(code);
        rows.iter().filter(matches).count()
    };
    for action in [Action::SettingsRead, Action::SettingsUpdate, Action::SettingsReset] {
        assert_eq!(refused(action, "FORBIDDEN_ROLE"), 2, "{action:?}");
    }
    assert_eq!(refused(Action::SettingsRead, "FORBIDDEN_SCOPE"), 1);
    assert_eq!(refused(Action::SettingsUpdate, "FORBIDDEN_SCOPE"), 1);
}

#[test]
fn changes_are_audited_with_old_and_new_value() {
    let app = TestApp::start();
    let admin = app.principal(Role::Admin);
    admin
        .with("X-Request-Id", "s-1")
        .patch(SETTINGS, &json!({ "allowSecretReveal": false }))
        .expect(200);
    admin
        .with("X-Request-Id", "s-2")
        .patch(SETTINGS, &json!({ "neverRevealByDefault": true }))
        .expect(200);
    admin.patch(SETTINGS, &json!({ "x": 1 })).expect_error(400, "VALIDATION_ERROR");
    admin.with("X-Request-Id", "s-3").send("POST", &format!("{SETTINGS}/reset"), None).expect(200);
    let environment = app.environment_id("development");
    let rows = audit_rows(app.stop().path());
    let changes = [Action::SettingsUpdate, Action::SettingsReset];
    let mut rows = rows.iter().filter(|row| changes.contains(&row.draft.action));
    for (request, action, old, new) in [
        ("s-1", Action::SettingsUpdate, set(true, false), set(false, false)),
        ("s-2", Action::SettingsUpdate, set(false, false), set(false, true)),
        ("s-3", Action::SettingsReset, set(false, true), set(true, false)),
    ] {
        let draft = &rows.next().unwrap().draft;
        assert_eq!((draft.request_id.as_deref(), draft.action), (Some(request), action));
        assert_eq!((draft.actor.name.as_str(), &draft.error), ("test admin", &None));
        assert_eq!(draft.environment.as_ref().unwrap().id.to_string(), environment);
        let details: Value = serde_json::from_str(draft.details.as_ref().unwrap()).unwrap();
        assert_eq!(details, json!({ "old": old, "new": new }));
    }
    assert!(rows.next().is_none());
}

#[test]
fn settings_outlive_a_restart_but_not_their_environment() {
    let app = TestApp::start();
    app.admin().patch(SETTINGS, &set(false, true)).expect(200);
    let app = TestApp::start_in(app.stop(), Setup::default());
    let admin = app.admin();
    assert_eq!(settings(&admin), set(false, true));
    admin.delete("/api/environments/development").expect(200);
    admin.get(SETTINGS).expect_error(404, "NOT_FOUND");
    new_environment(&admin, "development");
    assert_eq!(settings(&admin), set(true, false));
}

#[test]
fn settings_are_active_as_soon_as_they_are_answered() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_secret(&admin, "development", "KEY", "v");
    let value = format!("/api/secrets/{}/value", text(&made, "id"));
    for round in 0..10 {
        admin.patch(SETTINGS, &set(false, true)).expect(200);
        admin.get(&value).expect_error(403, "REVEAL_DISABLED");
        let hidden = new_secret(&admin, "development", &format!("HIDDEN_{round}"), "v");
        assert_eq!(hidden["neverReveal"], true);
        admin.post(&format!("{SETTINGS}/reset"), &json!({})).expect(200);
        admin.get(&value).expect(200);
        let open = new_secret(&admin, "development", &format!("OPEN_{round}"), "v");
        assert_eq!(open["neverReveal"], false);
    }
}

#[test]
fn two_who_change_different_settings_at_once_both_have_their_way() {
    let app = TestApp::start();
    let admin = app.admin();
    for _ in 0..10 {
        admin.post(&format!("{SETTINGS}/reset"), &json!({})).expect(200);
        let patches =
            [json!({ "allowSecretReveal": false }), json!({ "neverRevealByDefault": true })];
        parallel(2, |number| admin.patch(SETTINGS, &patches[number]).expect(200));
        assert_eq!(settings(&admin), set(false, true));
    }
}

#[test]
fn a_change_of_settings_shows_in_the_environment_only_as_its_time() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let path = "/api/environments/development";
    let before = admin.get(path).expect(200);
    app.clock.as_ref().unwrap().advance_millis(1_000);
    admin.patch(SETTINGS, &set(false, true)).expect(200);
    let mut after = admin.get(path).expect(200);
    after["environment"]["updatedAt"] = before["environment"]["updatedAt"].clone();
    assert_eq!(after, before);
}
