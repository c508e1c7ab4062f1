//! `/api/audit-logs` (section 10 of the contract), tested through the API.

use std::collections::BTreeSet;
use std::path::Path;

use coffer::domain::Role;
use coffer::store::{AuditRows, Table};
use serde_json::{Value, json};
use support::paths::LOGS;
use support::{Client, Setup, TestApp, data_dir, expect_log};

fn logs(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{LOGS}?{query}")).expect(200);
    let members: BTreeSet<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["logs", "total"].into());
    answer["logs"].as_array().unwrap().clone()
}

fn total(client: &Client, query: &str) -> u64 {
    client.get(&format!("{LOGS}?{query}")).expect(200)["total"].as_u64().unwrap()
}

fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["action"].as_str().unwrap()).collect()
}

/// Changes a row of a stopped server directly in its database.
fn change_row(data_dir: &Path, seq: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let db = sled::open(data_dir.join("db")).unwrap();
    let key = [&[AuditRows::PREFIX][..], &seq.to_be_bytes()].concat();
    let mut row = db.get(&key).unwrap().unwrap().to_vec();
    change(&mut row);
    db.insert(key, row).unwrap();
    db.flush().unwrap();
    drop(db);
    support::await_release(data_dir);
}

type Filter = Box<dyn Fn(&Value) -> bool>;

/// A server with some activity, and the id of its first secret.
struct Scene {
    app: TestApp,
    admin: Client,
    secret: String,
}

impl Scene {
    fn new() -> Self {
        let app = TestApp::start_with(Setup::default().environments(&["one", "two"]));
        let admin = app.admin();
        let new = json!({ "key": "KEY", "value": "value" });
        let created = admin.post("/api/environments/one/secrets", &new).expect(200);
        let secret = created["secret"]["id"].as_str().unwrap().to_owned();
        admin.with("X-Request-Id", "mine").get(&format!("/api/secrets/{secret}/value")).expect(200);
        admin.post("/api/environments/two/vars", &new).expect(200);
        let viewer = app.principal(Role::Viewer);
        viewer.get(&format!("/api/secrets/{secret}/value")).expect_error(403, "FORBIDDEN_ROLE");
        Self { app, admin, secret }
    }
}

#[test]
fn a_row_has_exactly_the_members_of_the_contract() {
    let scene = Scene::new();
    let rows = logs(&scene.admin, "action=secret.reveal&success=true");
    let row = &rows[0];
    let members: BTreeSet<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "id seq action resourceType resourceId resourceName details success error \
        createdAt requestId ip userId apiTokenId serviceAccountId actorName environmentId \
        environmentName user environment";
    assert_eq!(members, expected.split_whitespace().collect());
    assert_eq!(row["resourceType"], "secret");
    assert_eq!(row["resourceId"], scene.secret.as_str());
    assert_eq!(row["resourceName"], "KEY");
    assert_eq!(row["requestId"], "mine");
    assert_eq!(row["ip"], "127.0.0.1");
    assert_eq!(row["actorName"], "bootstrap");
    assert_eq!(row["success"], true);
    assert_eq!(row["error"], Value::Null);
    assert_eq!(row["user"], Value::Null);
    assert_eq!(row["userId"], Value::Null);
    assert_eq!(row["serviceAccountId"], Value::Null);
    assert!(row["apiTokenId"].as_str().unwrap().starts_with("tok_"));
    assert_eq!(row["environment"]["name"], "one");
    assert_eq!(row["environment"]["id"], row["environmentId"]);
    assert_eq!(row["environmentName"], "one");
    let details: Value = serde_json::from_str(row["details"].as_str().unwrap()).unwrap();
    assert_eq!(details, json!({ "version": 1 }));
}

#[test]
fn rows_come_newest_first_and_reading_them_leaves_none() {
    let scene = Scene::new();
    let rows = logs(&scene.admin, "");
    let newest = rows[0]["seq"].as_u64().unwrap();
    let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=newest).rev().collect::<Vec<_>>());
    assert_eq!(total(&scene.admin, ""), newest);
    assert_eq!(actions(&rows)[0], "secret.reveal");
    assert_eq!(rows[0]["error"], "FORBIDDEN_ROLE");
    assert_eq!(rows.last().unwrap()["action"], "server.initialize");
    let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), rows.len());
}

#[test]
fn every_filter_keeps_what_fits_and_nothing_else() {
    let scene = Scene::new();
    let one = scene.app.environment_id("one");
    let all = logs(&scene.admin, "");
    let at = |index: usize| all[index]["createdAt"].as_str().unwrap().to_owned();
    let middle = at(2);
    let secret = scene.secret.clone();
    let filters: Vec<(String, Filter)> = vec![
        (format!("environmentId={one}"), Box::new(move |row| row["environmentId"] == one.as_str())),
        ("resourceType=var".to_owned(), Box::new(|row| row["resourceType"] == "var")),
        (format!("resourceId={secret}"), Box::new(move |row| row["resourceId"] == secret.as_str())),
        ("action=secret.create".to_owned(), Box::new(|row| row["action"] == "secret.create")),
        ("success=false".to_owned(), Box::new(|row| row["success"] == false)),
        ("success=true".to_owned(), Box::new(|row| row["success"] == true)),
        (
            format!("from={middle}"),
            Box::new({
                let middle = middle.clone();
                move |row| *row["createdAt"].as_str().unwrap() >= *middle
            }),
        ),
        (
            format!("to={middle}"),
            Box::new(move |row| *row["createdAt"].as_str().unwrap() < *middle),
        ),
        ("userId=usr_01JD3N5W8Q4X0V7M2K9R6T1HBC".to_owned(), Box::new(|_| false)),
    ];
    for (query, fits) in filters {
        let expected: Vec<_> = all.iter().filter(|row| fits(row)).cloned().collect();
        assert_eq!(logs(&scene.admin, &query), expected, "{query}");
        assert_eq!(total(&scene.admin, &query), expected.len() as u64, "{query}");
    }
}

#[test]
fn filters_add_up() {
    let scene = Scene::new();
    let both = logs(&scene.admin, "action=secret.reveal&success=false");
    assert_eq!(both.len(), 1);
    assert_eq!(logs(&scene.admin, "action=secret.create&success=false"), [] as [Value; 0]);
}

#[test]
fn paging_shows_every_row_once_while_new_ones_come() {
    let scene = Scene::new();
    let before = logs(&scene.admin, "");
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = logs(&scene.admin, &format!("limit=2{cursor}"));
        let Some(last) = page.last() else { break };
        cursor = format!("&beforeSeq={}", last["seq"]);
        seen.extend(page);
        // New rows appear between two pages.
        scene.admin.get(&format!("/api/secrets/{}/value", scene.secret)).expect(200);
    }
    assert_eq!(seen, before);
    let shown = logs(&scene.admin, "limit=3&offset=1");
    assert_eq!(shown, logs(&scene.admin, "")[1..4]);
    let (all, cut) = (total(&scene.admin, ""), total(&scene.admin, "limit=1&offset=2&beforeSeq=3"));
    assert_eq!(all, cut, "the total does not depend on the page");
}

#[test]
fn rows_after_a_number_are_shown_and_counted_alone() {
    let scene = Scene::new();
    let all = logs(&scene.admin, "");
    let newest = all[0]["seq"].as_u64().unwrap();
    let seq = |row: &Value| row["seq"].as_u64().unwrap();
    for after in 0..=newest + 1 {
        let expected: Vec<_> = all.iter().filter(|row| seq(row) > after).cloned().collect();
        assert_eq!(logs(&scene.admin, &format!("afterSeq={after}")), expected);
        assert_eq!(total(&scene.admin, &format!("afterSeq={after}")), expected.len() as u64);
        // `afterSeq` and `beforeSeq` form a window; `total` does not depend on the page.
        for before in [after, newest - 1, newest + 1] {
            let query = format!("afterSeq={after}&beforeSeq={before}");
            let window: Vec<_> = expected.iter().filter(|row| seq(row) < before).cloned().collect();
            assert_eq!(logs(&scene.admin, &query), window, "{query}");
            assert_eq!(total(&scene.admin, &query), expected.len() as u64, "{query}");
        }
    }
    let refused = logs(&scene.admin, "afterSeq=1&success=false");
    assert_eq!(actions(&refused), ["secret.reveal"]);
    assert_eq!(logs(&scene.admin, "afterSeq=1&limit=2&offset=1"), all[1..3]);
}

#[test]
fn a_scoped_caller_is_shown_nothing_more_after_a_number() {
    let scene = Scene::new();
    let one = scene.app.environment_id("one");
    let all = logs(&scene.admin, "");
    let scoped = scene.app.scoped(Role::Admin, &[&one]);
    for row in &all {
        let query = format!("afterSeq={}", row["seq"]);
        let newer = all.iter().take_while(|other| other["seq"] != row["seq"]);
        let expected: Vec<_> = newer.filter(|row| row["environmentId"] == *one).cloned().collect();
        assert_eq!(logs(&scoped, &query), expected, "{query}");
        assert_eq!(total(&scoped, &query), expected.len() as u64, "{query}");
    }
}

/// Following the log must not get slower as it grows: rows before the given number are not even
/// read, so damage there goes unnoticed.
#[test]
fn the_walk_ends_at_the_number() {
    let app = TestApp::start();
    app.admin().post("/api/environments", &json!({ "name": "staging" })).expect(200);
    let dir = app.stop();
    for seq in 1..=3 {
        change_row(&data_dir(dir.path()), seq, Vec::clear);
    }
    let app = TestApp::start_in(dir, Setup::default());
    support::keep_log();
    let noticed = || support::kept_log().iter().any(|line| line.contains("rows are damaged"));
    assert!(!logs(&app.admin(), "afterSeq=3").is_empty());
    assert!(!noticed());
    expect_log("3 audit rows are damaged");
    assert!(!logs(&app.admin(), "afterSeq=0").is_empty());
    assert!(noticed());
}

#[test]
fn fifty_rows_are_shown_when_nothing_is_said() {
    let scene = Scene::new();
    for _ in 0..60 {
        scene.admin.get(&format!("/api/secrets/{}/value", scene.secret)).expect(200);
    }
    assert_eq!(logs(&scene.admin, "").len(), 50);
    assert!(logs(&scene.admin, "limit=1000").len() > 60);
}

#[test]
fn a_bad_parameter_is_refused_by_name_without_being_quoted() {
    let scene = Scene::new();
    for (query, field) in [
        ("environmentId=canary", "environmentId"),
        ("resourceType=canary", "resourceType"),
        ("action=canary", "action"),
        ("userId=canary", "userId"),
        ("success=canary", "success"),
        ("from=canary", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=canary", "limit"),
        ("offset=-1", "offset"),
        ("beforeSeq=canary", "beforeSeq"),
        ("afterSeq=canary", "afterSeq"),
        ("afterSeq=-1", "afterSeq"),
        ("afterSeq=1&afterSeq=2", "afterSeq"),
        ("action=secret.create&action=secret.delete", "action"),
    ] {
        let reply = scene.admin.get(&format!("{LOGS}?{query}"));
        let error = reply.expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["field"], field, "{query}");
        assert!(!reply.text().contains("canary"), "{query}");
    }
}

#[test]
fn who_is_not_an_admin_of_everything_sees_rows_of_their_environments_only() {
    let scene = Scene::new();
    let one = scene.app.environment_id("one");
    let all = logs(&scene.admin, "");
    let of_any: Vec<_> = all.iter().filter(|row| !row["environment"].is_null()).cloned().collect();
    let of_one: Vec<_> = all.iter().filter(|row| row["environmentId"] == *one).cloned().collect();
    assert!(!of_one.is_empty() && of_one.len() < of_any.len() && of_any.len() < all.len());
    // Creating these principals also leaves rows, without an environment.
    let viewer = scene.app.principal(Role::Viewer);
    let operator = scene.app.principal(Role::Operator);
    for client in [viewer, operator] {
        assert_eq!(logs(&client, ""), of_any);
        assert_eq!(total(&client, ""), of_any.len() as u64, "nothing hidden is counted");
    }
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let scoped = scene.app.scoped(role, &[&one]);
        assert_eq!(logs(&scoped, ""), of_one, "{role}");
        assert_eq!(total(&scoped, ""), of_one.len() as u64, "{role}");
        let two = scene.app.environment_id("two");
        assert_eq!(total(&scoped, &format!("environmentId={two}")), 0, "{role}");
    }
}

#[test]
fn verification_counts_the_rows_of_a_log_that_holds() {
    let scene = Scene::new();
    let all = total(&scene.admin, "");
    let answer = scene.admin.get("/api/audit-logs/verification").expect(200);
    let expected = json!({
        "intact": true, "rows": all, "firstSeq": 1, "droppedAt": null,
        "brokenSeq": null, "problem": null,
    });
    assert_eq!(answer, json!({ "verification": expected }));
}

#[test]
fn verification_names_the_first_row_that_was_changed() {
    expect_log("the audit log does not verify: audit row 3");
    let scene = Scene::new();
    let dir = scene.app.stop();
    change_row(&data_dir(dir.path()), 3, |row| *row.last_mut().unwrap() ^= 1);
    let app = TestApp::start_in(dir, Setup::default());
    let answer = app.admin().get("/api/audit-logs/verification").expect(200);
    assert_eq!(answer["verification"]["intact"], false);
    assert_eq!(answer["verification"]["brokenSeq"], 3);
    assert_eq!(answer["verification"]["rows"], 2);
}
