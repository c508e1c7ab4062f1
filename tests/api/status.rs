//! `GET /api/admin/status`: the state of the server, for a page that stays open all day.

use coffer::domain::{Clock, Role};
use serde_json::{Value, json};
use support::paths::STATUS;
use support::{Client, Setup, TestApp};

const MINUTE: i64 = 60_000;

fn start() -> TestApp {
    TestApp::start_with(Setup::default().with_test_clock())
}

fn advance(app: &TestApp, millis: i64) {
    app.clock.as_ref().unwrap().advance_millis(millis);
}

fn now(app: &TestApp) -> String {
    app.clock.as_ref().unwrap().now().to_string()
}

fn status(client: &Client) -> Value {
    client.get(STATUS).expect(200)["status"].clone()
}

/// The minutes that had requests: how long ago, all, 4xx, 5xx.
fn busy(status: &Value) -> Vec<(usize, u64, u64, u64)> {
    let minutes = status["requests"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    let number = |minute: &Value, name: &str| minute[name].as_u64().unwrap();
    let counted = minutes.iter().rev().enumerate().map(|(ago, minute)| {
        let of = |name| number(minute, name);
        (ago, of("total"), of("clientErrors"), of("serverErrors"))
    });
    counted.filter(|counted| counted.1 > 0).collect()
}

#[test]
fn it_says_how_the_server_is() {
    let app = start();
    let started = now(&app);
    advance(&app, 90_000);
    let status = status(&app.admin());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["startedAt"], started.as_str());
    assert_eq!(status["now"], now(&app).as_str());
    let storage = &status["storage"];
    let on_disk = std::fs::metadata(app.data_dir().join("db/db")).unwrap().len();
    let told = storage["fileBytes"].as_u64().unwrap();
    assert!(told > 0 && told <= on_disk, "{told} of {on_disk}");
    assert!(storage["freeBytes"].as_u64().unwrap() > 0);
    assert_eq!(storage["floorBytes"], 64 << 20);
    let none = json!({ "scheduled": false, "lastAt": null, "lastBytes": null,
        "lastDownloadAt": null });
    assert_eq!(status["backup"], none);
    let minutes = status["requests"].as_array().unwrap();
    assert_eq!(minutes.len(), 60);
    let starts: Vec<_> = minutes.iter().map(|one| one["minute"].as_str().unwrap()).collect();
    assert_eq!(starts[58], started);
    assert!(starts.is_sorted());
    assert_eq!(starts[59][17..], *"00.000Z");
}

#[test]
fn requests_are_counted_by_minute_and_class() {
    support::expect_log("another backup is running");
    let app = start();
    let admin = app.admin();
    admin.get("/api/environments").expect(200);
    app.anonymous().get("/api/environments").expect_error(401, "UNAUTHORIZED");
    admin.get("/api/secrets/none").expect_error(404, "NOT_FOUND");
    admin.send("PUT", "/api/environments", None).expect_error(405, "METHOD_NOT_ALLOWED");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let held = runtime.block_on(app.state.vault.create_own_backup("held", &[])).unwrap();
    admin.get("/api/admin/backup").expect_error(503, "SERVICE_UNAVAILABLE");
    drop(held);
    // None of these is a request to the API.
    admin.get("/health").expect(200);
    admin.get("/openapi.json").expect(200);
    assert_eq!(admin.get("/").status, 200);
    admin.get("/api/nope").expect_error(404, "NOT_FOUND");
    assert_eq!(busy(&status(&admin)), [(0, 5, 3, 1)]);

    advance(&app, MINUTE);
    let found = status(&admin);
    assert_eq!(busy(&found), [(1, 6, 3, 1)], "the first request is also counted");
    let minute = &found["requests"][58];
    for name in ["p50Ms", "p95Ms", "p99Ms"] {
        assert!(minute[name].as_f64().unwrap() >= 0.05, "{minute}");
        assert!(found["requests"][59][name].is_null());
    }
    advance(&app, 58 * MINUTE);
    assert_eq!(busy(&status(&admin)), [(58, 1, 0, 0), (59, 6, 3, 1)]);
    advance(&app, MINUTE);
    assert_eq!(busy(&status(&admin)), [(1, 1, 0, 0), (59, 1, 0, 0)]);
    advance(&app, -30 * MINUTE);
    assert_eq!(busy(&status(&admin)), [(29, 1, 0, 0)], "the clock was set back");
}

/// A bundle request may wait for a change, and a minute of waiting would make the server look slow.
#[test]
fn how_long_a_bundle_took_is_not_counted() {
    let app = start();
    let path = "/api/environments/development/bundle?workload=none";
    app.admin().get(path).expect_error(404, "NOT_FOUND");
    let found = status(&app.admin());
    assert_eq!(busy(&found), [(0, 1, 1, 0)]);
    assert!(found["requests"][59]["p99Ms"].is_null());
}

#[test]
fn nothing_of_a_path_is_in_it() {
    let app = start();
    app.admin().get("/api/secrets/canary?canary=canary").expect_error(404, "NOT_FOUND");
    assert!(!app.admin().get(STATUS).text().contains("canary"));
}

#[test]
fn it_tells_of_the_last_backups() {
    let app = start();
    let admin = app.admin();
    admin.get("/api/admin/backup");
    let downloaded = now(&app);
    advance(&app, MINUTE);
    let vault = &app.state.vault;
    vault.note_last_backup(vault.now(), std::path::Path::new("/nowhere"), 77).unwrap();
    let told = json!({ "scheduled": false, "lastAt": now(&app), "lastBytes": 77,
        "lastDownloadAt": downloaded });
    assert_eq!(status(&admin)["backup"], told);
    assert!(!admin.get(STATUS).text().contains("nowhere"), "the response has a path of the host");
    let none = json!({ "scheduled": false, "lastAt": null, "lastBytes": null,
        "lastDownloadAt": null });
    for damaged in [&b""[..], b"nonsense", b"{}", b"[1]", br#"{"time":"soon","bytes":7}"#, b"\xff"]
    {
        for name in ["last-backup", "last-download"] {
            std::fs::write(app.data_dir().join(name), damaged).unwrap();
        }
        assert_eq!(status(&admin)["backup"], none);
    }
}

#[test]
fn a_schedule_is_reported() {
    let kept = tempfile::tempdir().unwrap();
    let mut setup = Setup::default();
    setup.config.backup.directory = Some(kept.path().to_owned());
    let app = TestApp::start_with(setup);
    assert_eq!(status(&app.admin())["backup"]["scheduled"], true);
}

#[test]
fn only_an_admin_of_everything_may_ask_and_a_refusal_leaves_a_row() {
    let app = start();
    let home = app.environment_id("development");
    for role in [Role::Viewer, Role::Operator] {
        app.principal(role).get(STATUS).expect_error(403, "FORBIDDEN_ROLE");
    }
    app.scoped(Role::Admin, &[&home]).get(STATUS).expect_error(403, "FORBIDDEN_SCOPE");
    app.anonymous().get(STATUS).expect_error(401, "UNAUTHORIZED");
    status(&app.admin());
    let rows = app.admin().get("/api/audit-logs?action=server.status").expect(200);
    let errors: Vec<_> = rows["logs"].as_array().unwrap().iter().map(|row| &row["error"]).collect();
    assert_eq!(errors, ["FORBIDDEN_SCOPE", "FORBIDDEN_ROLE", "FORBIDDEN_ROLE"]);
}
