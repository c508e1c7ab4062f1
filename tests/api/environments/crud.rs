//! Environments: `/api/environments` and `/api/environments/{environment}`.

use std::sync::atomic::{AtomicBool, Ordering};

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{is_time, members, new_environment, new_secret, new_var, parallel, text};
use support::{Client, Setup, TestApp, audit_rows, data_dir, rows_fit};

const PATH: &str = "/api/environments";

fn names(client: &Client) -> Vec<String> {
    let body = client.get(PATH).expect(200);
    assert_eq!(members(&body), ["environments"].into());
    let items = body["environments"].as_array().unwrap().iter();
    items.map(|item| text(item, "name").to_owned()).collect()
}

fn count(client: &Client, name: &str) -> (u64, u64) {
    let body = client.get(&format!("{PATH}/{name}")).expect(200);
    let count = &body["environment"]["_count"];
    assert_eq!(members(count), ["secrets", "vars"].into());
    let listed = client.get(PATH).expect(200);
    let listed = listed["environments"].as_array().unwrap();
    let listed = listed.iter().find(|item| item["name"] == name).unwrap();
    assert_eq!(listed, &body["environment"]);
    (count["secrets"].as_u64().unwrap(), count["vars"].as_u64().unwrap())
}

#[test]
fn an_item_has_exactly_the_members_of_the_contract() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let admin = app.admin();
    let body = admin.post(PATH, &json!({ "name": "Eu-1", "displayName": "Europe ☂" })).expect(200);
    assert_eq!(members(&body), ["environment"].into());
    let item = &body["environment"];
    let id = text(item, "id");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)), "{id}");
    is_time(text(item, "createdAt"));
    let expected = json!({
        "id": id,
        "name": "Eu-1",
        "displayName": "Europe ☂",
        "sshConfigured": false,
        "createdAt": "2027-01-15T08:00:00.000Z",
        "updatedAt": "2027-01-15T08:00:00.000Z",
        "_count": { "secrets": 0, "vars": 0 },
    });
    assert_eq!(*item, expected);
    app.clock.as_ref().unwrap().advance_millis(5_000);
    assert_eq!(admin.get(&format!("{PATH}/{id}")).expect(200), body);
    let listed = admin.get(PATH).expect(200);
    assert!(listed["environments"].as_array().unwrap().contains(item));
}

#[test]
fn the_list_is_complete_and_by_name() {
    let app = TestApp::start_with(Setup::default().environments(&["m"]));
    let admin = app.admin();
    for name in ["b", "a_b", "a.b", "9", "a", "ab", "a-b", "a1"] {
        new_environment(&admin, name);
    }
    assert_eq!(names(&admin), ["9", "a", "a-b", "a.b", "a1", "a_b", "ab", "b", "m"]);
}

#[test]
fn the_list_holds_only_what_is_in_scope() {
    let app = TestApp::start_with(Setup::default().environments(&["one", "two", "three"]));
    let (one, three) = (app.environment_id("one"), app.environment_id("three"));
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        assert_eq!(names(&app.scoped(role, &[&three, &one])), ["one", "three"]);
        assert_eq!(names(&app.scoped(role, &[])), [""; 0]);
        assert_eq!(names(&app.principal(role)), ["one", "three", "two"]);
    }
    app.admin().delete(&format!("{PATH}/one")).expect(200);
    assert_eq!(names(&app.scoped(Role::Viewer, &[&three, &one])), ["three"]);
}

#[test]
fn a_name_is_taken_whatever_its_case() {
    let app = TestApp::start();
    let admin = app.admin();
    let first = new_environment(&admin, "Staging");
    for name in ["Staging", "staging", "STAGING", "sTaGiNg"] {
        let body = admin.post(PATH, &json!({ "name": name })).expect_error(409, "CONFLICT");
        assert_eq!(body["message"], "Environment already exists");
        assert_eq!(body["field"], "name");
    }
    let read = admin.get(&format!("{PATH}/staging")).expect(200);
    assert_eq!(read["environment"], first);
    assert_eq!(names(&admin).len(), 2);
}

#[test]
fn of_many_that_create_the_same_name_at_once_exactly_one_succeeds() {
    let app = TestApp::start();
    let admin = app.admin();
    let statuses = parallel(32, |number| {
        let name = if number % 2 == 0 { "race" } else { "RACE" };
        admin.post(PATH, &json!({ "name": name })).status
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 31, "{statuses:?}");
    assert_eq!(names(&admin).len(), 2);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn names_keep_their_rule() {
    let app = TestApp::start();
    let admin = app.admin();
    for name in ["a", "Z", "0", "a.b-c_D.9", "env_1", "0-", &"x".repeat(50)] {
        assert_eq!(text(&new_environment(&admin, name), "name"), name);
        let read = admin.get(&format!("{PATH}/{name}")).expect(200);
        assert_eq!(read["environment"]["name"], name);
    }
    let before = names(&admin);
    let long = "x".repeat(51);
    let texts =
        ["", " ", "-a", ".a", "_a", "a b", " a", "a ", "ä", "aä", "a/b", "a\n", "a\0", "..", &long];
    let bad = texts.map(Value::from).into_iter().chain([
        json!(null),
        json!(7),
        json!(true),
        json!(["a"]),
        json!({ "name": "a" }),
    ]);
    for name in bad {
        let reply = admin.post(PATH, &json!({ "name": name }));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "name", "{name}");
    }
    let body = admin.post(PATH, &json!({})).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(body["field"], "name");
    assert_eq!(names(&admin), before);
}

#[test]
fn a_name_shaped_like_an_id_is_refused() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = app.environment_id("development");
    let deleted = new_environment(&admin, "gone");
    admin.delete(&format!("{PATH}/gone")).expect(200);
    // Otherwise writes meant for one environment could be caught by another.
    for name in [&id, &id.to_lowercase(), text(&deleted, "id")] {
        let body = admin.post(PATH, &json!({ "name": name })).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(body["field"], "name");
    }
}

#[test]
fn a_display_name_keeps_its_rule() {
    let app = TestApp::start();
    let admin = app.admin();
    let hundred = "é".repeat(100);
    let good = [json!(hundred), json!("x"), json!(null)];
    for (number, display) in good.iter().enumerate() {
        let body = json!({ "name": format!("good{number}"), "displayName": display });
        let made = admin.post(PATH, &body).expect(200);
        assert_eq!(made["environment"]["displayName"], *display);
    }
    assert_eq!(new_environment(&admin, "absent")["displayName"], json!(null));
    for display in [json!("é".repeat(101)), json!(5), json!(false), json!(["x"]), json!({})] {
        let reply = admin.post(PATH, &json!({ "name": "bad", "displayName": display }));
        let body = reply.expect_error(400, "VALIDATION_ERROR");
        assert_eq!(body["field"], "displayName");
    }
    admin.get(&format!("{PATH}/bad")).expect_error(404, "NOT_FOUND");
}

#[test]
fn every_problem_of_a_body_is_named() {
    let app = TestApp::start();
    let reply = app.admin().post(PATH, &json!({ "name": "-", "displayName": 1 }));
    let body = reply.expect_error(400, "VALIDATION_ERROR");
    let details = body["details"].as_array().unwrap();
    let fields: Vec<_> = details.iter().map(|problem| text(problem, "field")).collect();
    assert_eq!(fields, ["name", "displayName"]);
    assert_eq!(body["field"], "name");
    assert!(details.iter().all(|problem| members(problem) == ["field", "message"].into()));
}

#[test]
fn unknown_members_are_ignored_and_set_nothing() {
    let app = TestApp::start();
    let body =
        json!({ "name": "extra", "id": "mine", "sshConfigured": true, "_count": 4, "x": {} });
    let made = app.admin().post(PATH, &body).expect(200)["environment"].clone();
    assert_ne!(made["id"], "mine");
    assert_eq!(made["sshConfigured"], false);
    assert_eq!(made["_count"], json!({ "secrets": 0, "vars": 0 }));
}

#[test]
fn an_environment_is_read_by_id_and_by_name_in_any_case() {
    let app = TestApp::start();
    let admin = app.admin();
    let made = new_environment(&admin, "Prod.eu_1");
    let id = text(&made, "id");
    for segment in [id, "Prod.eu_1", "prod.EU_1", "PROD.EU_1", "%50rod.eu_1"] {
        let body = admin.get(&format!("{PATH}/{segment}")).expect(200);
        assert_eq!(body, json!({ "environment": made }), "{segment}");
        // Everything inside the environment is reached the same way.
        admin.get(&format!("{PATH}/{segment}/secrets")).expect(200);
        admin.get(&format!("{PATH}/{segment}/vars")).expect(200);
    }
}

#[test]
fn a_segment_of_any_shape_that_does_not_exist_is_not_found() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = app.environment_id("development");
    let secret = new_secret(&admin, "development", "KEY", "v");
    let long = "x".repeat(2000);
    let other = [&id[..id.len() - 1], "0"].concat();
    let shapes =
        ["nope", "-", "%00", "%FF", "a%20b", "a%2Fb", "%C3%A4", "0", &long, &id.to_lowercase()];
    for segment in shapes.into_iter().chain([&*other, text(&secret, "id")]) {
        if segment == id {
            continue;
        }
        admin.get(&format!("{PATH}/{segment}")).expect_error(404, "NOT_FOUND");
        admin.delete(&format!("{PATH}/{segment}?force=true")).expect_error(404, "NOT_FOUND");
    }
    assert_eq!(names(&admin), ["development"]);
}

#[test]
fn an_environment_that_holds_secrets_is_not_deleted_without_force() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = app.environment_id("development");
    let secret = new_secret(&admin, "development", "KEY", "v");
    let path = format!("{PATH}/{id}");
    for query in ["", "?force=false"] {
        let body = admin.delete(&format!("{path}{query}")).expect_error(409, "CONFLICT");
        assert!(text(&body, "hint").contains("force"), "{body}");
    }
    for query in
        ["?force=", "?force=1", "?force=TRUE", "?force=yes", "?force", "?force=true&force=false"]
    {
        let reply = admin.delete(&format!("{path}{query}"));
        assert_eq!(reply.expect_error(400, "VALIDATION_ERROR")["field"], "force", "{query}");
    }
    admin.get(&path).expect(200);
    admin.get(&format!("/api/secrets/{}", text(&secret, "id"))).expect(200);

    admin.delete(&format!("/api/secrets/{}", text(&secret, "id"))).expect(200);
    assert_eq!(admin.delete(&path).expect(200), json!({ "success": true }));
    admin.get(&path).expect_error(404, "NOT_FOUND");
    admin.delete(&path).expect_error(404, "NOT_FOUND");
}

#[test]
fn vars_alone_do_not_keep_an_environment() {
    let app = TestApp::start();
    let admin = app.admin();
    let var = new_var(&admin, "development", "VAR", &"x".repeat(20_000));
    assert_eq!(
        admin.delete(&format!("{PATH}/DEVELOPMENT")).expect(200),
        json!({ "success": true })
    );
    admin.get(&format!("/api/vars/{}", text(&var, "id"))).expect_error(404, "NOT_FOUND");
    assert_eq!(names(&admin), [""; 0]);
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn with_force_everything_in_an_environment_goes_and_nothing_else() {
    let app = TestApp::start_with(Setup::default().environments(&["doomed", "other"]));
    let admin = app.admin();
    let old = app.environment_id("doomed");
    let secret = new_secret(&admin, "doomed", "SHARED", &"s".repeat(20_000));
    let secret = format!("/api/secrets/{}", text(&secret, "id"));
    admin.patch(&secret, &json!({ "value": "second" })).expect(200);
    let hidden = json!({ "key": "HIDDEN", "value": "v", "neverReveal": true });
    admin.post(&format!("{PATH}/doomed/secrets"), &hidden).expect(200);
    let var = new_var(&admin, "doomed", "SHARED", &"v".repeat(20_000));
    let var = format!("/api/vars/{}", text(&var, "id"));
    let kept = new_secret(&admin, "other", "SHARED", "kept");

    let reply = admin.delete(&format!("{PATH}/doomed?force=true"));
    assert_eq!(reply.expect(200), json!({ "success": true }));
    for path in [&secret, &format!("{secret}/value"), &format!("{secret}/versions"), &var] {
        admin.get(path).expect_error(404, "NOT_FOUND");
    }
    admin.post(&format!("{secret}/versions/1/activate"), &json!({})).expect_error(404, "NOT_FOUND");
    admin.patch(&secret, &json!({ "value": "x" })).expect_error(404, "NOT_FOUND");
    admin.delete(&var).expect_error(404, "NOT_FOUND");
    for segment in ["doomed", &old] {
        admin.get(&format!("{PATH}/{segment}/secrets")).expect_error(404, "NOT_FOUND");
        admin.get(&format!("{PATH}/{segment}/vars")).expect_error(404, "NOT_FOUND");
    }
    assert_eq!(support::api::reveal(&admin, text(&kept, "id")), "kept");

    let again = new_environment(&admin, "Doomed");
    assert_ne!(text(&again, "id"), old);
    assert_eq!(count(&admin, "Doomed"), (0, 0));
    assert_eq!(new_secret(&admin, "doomed", "SHARED", "x")["version"], 1);
    assert_eq!(new_var(&admin, "doomed", "SHARED", "x")["version"], 1);
    assert_eq!(count(&admin, "Doomed"), (1, 1));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn counts_are_right_after_every_answer() {
    let app = TestApp::start_with(Setup::default().environments(&["here", "there"]));
    let admin = app.admin();
    let mut made = Vec::new();
    for number in 1..=3 {
        let secret = new_secret(&admin, "here", &format!("S{number}"), "v");
        made.push(format!("/api/secrets/{}", text(&secret, "id")));
        assert_eq!(count(&admin, "here"), (number, number - 1));
        let var = new_var(&admin, "here", &format!("V{number}"), "v");
        made.push(format!("/api/vars/{}", text(&var, "id")));
        assert_eq!(count(&admin, "here"), (number, number));
    }
    // Failed creations and updates do not change the counts.
    let body = json!({ "key": "S1", "value": "v" });
    admin.post(&format!("{PATH}/here/secrets"), &body).expect_error(409, "CONFLICT");
    admin.patch(&made[0], &json!({ "value": "w" })).expect(200);
    admin.patch(&made[1], &json!({ "value": "w" })).expect(200);
    assert_eq!(count(&admin, "here"), (3, 3));
    for (number, pair) in made.chunks(2).enumerate() {
        let left = 2 - number as u64;
        admin.delete(&pair[0]).expect(200);
        assert_eq!(count(&admin, "here"), (left, left + 1));
        admin.delete(&pair[0]).expect_error(404, "NOT_FOUND");
        admin.delete(&pair[1]).expect(200);
        assert_eq!(count(&admin, "here"), (left, left));
    }
    assert_eq!(count(&admin, "there"), (0, 0));
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn what_is_created_while_its_environment_is_deleted_leaves_nothing_behind() {
    let app = TestApp::start();
    let admin = app.admin();
    for round in 0..5 {
        let name = format!("round{round}");
        let path = format!("{PATH}/{}", text(&new_environment(&admin, &name), "id"));
        let gone = AtomicBool::new(false);
        parallel(9, |number| {
            if number == 0 {
                new_secret(&admin, &name, "FIRST", "v");
                admin.delete(&format!("{path}?force=true")).expect(200);
                gone.store(true, Ordering::SeqCst);
                return;
            }
            let kind = if number % 2 == 0 { "secrets" } else { "vars" };
            for attempt in 0.. {
                let was_gone = gone.load(Ordering::SeqCst);
                let body =
                    json!({ "key": format!("K{number}_{attempt}"), "value": "v".repeat(9000) });
                let reply = admin.post(&format!("{path}/{kind}"), &body);
                if reply.status == 200 {
                    assert!(!was_gone, "created in a deleted environment");
                } else {
                    reply.expect_error(404, "NOT_FOUND");
                    break;
                }
            }
        });
    }
    rows_fit(&data_dir(app.stop().path()));
}

#[test]
fn only_an_admin_of_everything_creates_and_only_an_admin_deletes() {
    let app = TestApp::start();
    let id = app.environment_id("development");
    for role in [Role::Operator, Role::Viewer] {
        let client = app.principal(role);
        client.post(PATH, &json!({ "name": "new" })).expect_error(403, "FORBIDDEN_ROLE");
        client.delete(&format!("{PATH}/{id}?force=true")).expect_error(403, "FORBIDDEN_ROLE");
    }
    let scoped = app.scoped(Role::Admin, &[&id]);
    scoped.post(PATH, &json!({ "name": "new" })).expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(names(&app.admin()), ["development"]);
    scoped.delete(&format!("{PATH}/{id}")).expect(200);
    assert_eq!(names(&app.admin()), [""; 0]);
}

#[test]
fn creates_and_deletes_are_audited_under_the_name_that_it_had() {
    let app = TestApp::start();
    let admin = app.principal(Role::Admin);
    let made = admin.with("X-Request-Id", "making").post(PATH, &json!({ "name": "Short" }));
    let id = text(&made.expect(200)["environment"], "id").to_owned();
    admin.post(PATH, &json!({ "name": "short" })).expect_error(409, "CONFLICT");
    admin.with("X-Request-Id", "unmaking").delete(&format!("{PATH}/short")).expect(200);
    let rows = audit_rows(app.stop().path());
    let about = |row: &&coffer::audit::Row| row.draft.resource.id.as_ref() == Some(&id);
    let about: Vec<_> = rows.iter().filter(about).collect();
    assert_eq!(about.len(), 2, "{about:#?}");
    let expected = [(Action::EnvironmentCreate, "making"), (Action::EnvironmentDelete, "unmaking")];
    for (row, (action, request)) in about.into_iter().zip(expected) {
        assert_eq!(row.draft.action, action);
        assert_eq!(row.draft.request_id.as_deref(), Some(request));
        assert_eq!(row.draft.error, None);
        assert_eq!(row.draft.resource.name.as_deref(), Some("Short"));
        assert_eq!(row.draft.actor.name, "test admin");
        let environment = row.draft.environment.as_ref().unwrap();
        assert_eq!((environment.id.to_string(), environment.name.as_str()), (id.clone(), "Short"));
    }
}

#[test]
fn environments_are_the_same_after_a_restart() {
    let app = TestApp::start();
    let admin = app.admin();
    new_environment(&admin, "Kept");
    new_secret(&admin, "kept", "KEY", "v");
    let before = admin.get(PATH).expect(200);
    let app = TestApp::start_in(app.stop(), Setup::default());
    assert_eq!(app.admin().get(PATH).expect(200), before);
    assert_eq!(count(&app.admin(), "Kept"), (1, 0));
}
