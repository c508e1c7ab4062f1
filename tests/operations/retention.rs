//! Retention of the audit log: on request, rows older than a limit are dropped from its front only,
//! and the remaining rows still form one chain.

use coffer::audit::{Action, Row};
use coffer::store::{AuditStart, View};
use serde_json::{Value, json};
use support::paths::LOGS;
use support::{Client, Setup, TestApp, api, audit_rows, data_dir, expect_log, rows_fit};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Sets up a server that keeps rows for this many days, with a clock this far ahead.
fn setup(keep_days: u32, ahead_millis: i64) -> Setup {
    let mut setup = Setup::default().with_test_clock();
    setup.config.audit.keep_days = keep_days;
    setup.clock.as_ref().unwrap().advance_millis(ahead_millis);
    setup
}

/// Performs an action that writes this many audit rows.
fn act(client: &Client, rows: usize) {
    for _ in 0..rows {
        let settings = "/api/environments/development/settings/configuration/reset";
        client.send("POST", settings, None).expect(200);
    }
}

fn verification(app: &TestApp) -> Value {
    app.admin().get(&format!("{LOGS}/verification")).expect(200)["verification"].clone()
}

fn prune(app: &TestApp, keep_days: u32) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(app.state.vault.prune_audit_log(keep_days, 100)).unwrap()
}

fn prunes(rows: &[Row]) -> Vec<Value> {
    let prunes = rows.iter().filter(|row| row.draft.action == Action::AuditPrune);
    prunes.map(|row| serde_json::from_str(row.draft.details.as_ref().unwrap()).unwrap()).collect()
}

#[test]
fn rows_are_kept_for_ever_unless_somebody_asks_for_less() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    act(&app.admin(), 3);
    let dir = app.stop();
    let before = audit_rows(dir.path()).len();
    let app = TestApp::start_in(dir, setup(0, 40_000 * DAY));
    assert_eq!(verification(&app)["firstSeq"], 1);
    let rows = audit_rows(app.stop().path());
    assert_eq!(rows.len(), before + 2, "the only new rows are a start and a stop");
    assert_eq!(prunes(&rows), [] as [Value; 0]);
}

#[test]
fn a_start_drops_what_is_older_and_keeps_what_is_not() {
    let app = TestApp::start_with(setup(30, 0));
    let old = app.admin().get(LOGS).expect(200)["total"].as_u64().unwrap();
    app.clock.as_ref().unwrap().advance_millis(DAY);
    act(&app.admin(), 4);
    let dir = app.stop();
    let last = audit_rows(dir.path()).len() as u64;

    // The limit is exact to the millisecond: a row that is exactly as old as allowed stays.
    let app = TestApp::start_in(dir, setup(30, 30 * DAY));
    assert_eq!(verification(&app)["firstSeq"], 1);
    let dir = app.stop();
    let app = TestApp::start_in(dir, setup(30, 30 * DAY + 1));
    let found = verification(&app);
    assert_eq!(found["intact"], true, "{found}");
    assert_eq!(found["firstSeq"], old + 1);
    api::is_time(api::text(&found, "droppedAt"));
    let listed = app.admin().get(&format!("{LOGS}?limit=1000")).expect(200);
    let seqs: Vec<_> =
        listed["logs"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    // Four new rows: two starts, a stop, and the row about the pruning.
    assert_eq!(seqs, (old + 1..=last + 4).rev().collect::<Vec<_>>());
    assert_eq!(listed["total"], seqs.len());
    assert_eq!(found["rows"], seqs.len());

    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    let rows = audit_rows(dir.path());
    let said = json!({ "firstSeq": 1, "lastSeq": old, "rows": old, "keepDays": 30 });
    assert_eq!(prunes(&rows), [said]);
    let row = rows.iter().find(|row| row.draft.action == Action::AuditPrune).unwrap();
    assert_eq!(row.draft.actor.name, coffer::domain::Principal::host().name);
    assert_eq!(row.draft.action.resource_type().as_str(), "audit");
}

#[test]
fn the_chain_goes_on_after_dropping_and_over_restarts() {
    let mut dir = TestApp::start_with(setup(1, 0)).stop();
    let mut first = 1;
    for round in 1..=4 {
        let app = TestApp::start_in(dir, setup(1, round * 2 * DAY));
        act(&app.admin(), 3);
        let found = verification(&app);
        assert_eq!(found["intact"], true, "{found}");
        assert!(found["firstSeq"].as_u64().unwrap() > first, "{found}");
        first = found["firstSeq"].as_u64().unwrap();
        dir = app.stop();
        rows_fit(&data_dir(dir.path()));
        let rows = audit_rows(dir.path());
        assert_eq!(rows[0].seq, first);
        assert_eq!(prunes(&rows).len(), 1, "the row about the previous pruning is dropped, too");
    }
    // Rows are kept forever again: the marker stays and the log still verifies.
    let app = TestApp::start_in(dir, setup(0, 400 * DAY));
    assert_eq!(verification(&app)["firstSeq"], first);
    assert_eq!(verification(&app)["intact"], true);
}

#[test]
fn the_last_row_is_never_dropped() {
    let app = TestApp::start_with(setup(0, 0));
    act(&app.admin(), 3);
    app.clock.as_ref().unwrap().advance_millis(90 * DAY);
    let total = |app: &TestApp| app.admin().get(LOGS).expect(200)["total"].as_u64().unwrap();
    let last = total(&app);
    assert!(!prune(&app, 1), "there is nothing more to prune");
    // The last of the old rows could be dropped only once the row about the first pruning followed
    // it.
    assert_eq!(total(&app), 2);
    assert_eq!(verification(&app)["firstSeq"], last + 1);
    app.clock.as_ref().unwrap().advance_millis(90 * DAY);
    assert!(!prune(&app, 1));
    assert_eq!(verification(&app)["firstSeq"], last + 3);
    assert_eq!(verification(&app)["intact"], true);
    let reset = "/api/environments/development/settings/configuration/reset";
    app.admin().send("POST", reset, None).expect(200);
    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    audit_rows(dir.path());
}

#[test]
fn dropping_stops_at_the_first_young_row_although_older_ones_lie_behind_it() {
    let app = TestApp::start_with(setup(0, 10 * DAY));
    act(&app.admin(), 2);
    let first = app.admin().get(LOGS).expect(200)["total"].as_u64().unwrap() + 1;
    // The clock is corrected, and later moves forward again.
    app.clock.as_ref().unwrap().advance_millis(30 * DAY);
    act(&app.admin(), 1);
    app.clock.as_ref().unwrap().advance_millis(-40 * DAY);
    act(&app.admin(), 3);
    app.clock.as_ref().unwrap().advance_millis(50 * DAY);
    prune(&app, 20);
    let found = verification(&app);
    assert_eq!((&found["firstSeq"], &found["intact"]), (&json!(first), &json!(true)), "{found}");
}

#[test]
fn many_rows_go_in_small_batches_that_each_say_what_they_dropped() {
    let app = TestApp::start_with(setup(0, 0));
    let client = app.admin();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| act(&client, 140));
        }
    });
    let total = client.get(LOGS).expect(200)["total"].as_u64().unwrap();
    assert!(total > 1100);
    app.clock.as_ref().unwrap().advance_millis(3 * DAY);
    prune(&app, 2);
    assert_eq!(verification(&app)["intact"], true);
    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    let said = prunes(&audit_rows(dir.path()));
    assert_eq!(said.len(), 3, "{said:?}");
    let mut next = 1;
    for one in &said {
        assert_eq!(one["firstSeq"], next);
        assert!(one["rows"].as_u64().unwrap() <= 500, "{one}");
        next = one["lastSeq"].as_u64().unwrap() + 1;
        assert_eq!(next - one["firstSeq"].as_u64().unwrap(), one["rows"].as_u64().unwrap());
    }
    assert_eq!(next, total + 1, "each row is dropped exactly once");
}

#[test]
fn verification_holds_while_rows_are_dropped_and_written() {
    let app = TestApp::start_with(setup(0, 0));
    let client = app.admin();
    act(&client, 60);
    std::thread::scope(|scope| {
        let pruned = scope.spawn(|| {
            for _ in 0..30 {
                app.clock.as_ref().unwrap().advance_millis(2 * DAY);
                act(&client, 2);
                prune(&app, 1);
            }
        });
        while !pruned.is_finished() {
            let found = verification(&app);
            assert_eq!(found["intact"], true, "{found}");
            let export = client.get(&format!("{LOGS}/export")).expect(200);
            let seqs = export["logs"].as_array().unwrap().iter();
            let seqs: Vec<_> = seqs.map(|row| row["seq"].as_u64().unwrap()).collect();
            assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
        }
    });
}

#[test]
fn a_new_database_has_no_marker() {
    let dir = TestApp::start_with(setup(1, 0)).stop();
    let opened = support::open_stopped(&data_dir(dir.path()));
    assert!(opened.get::<AuditStart>(&()).unwrap().is_none());
}

#[test]
fn rows_are_dropped_on_a_disk_that_is_too_full_for_changes() {
    expect_log("the disk has too little free space");
    let dir = TestApp::start_with(setup(0, 0)).stop();
    // Half of the floor is left: too little for changes, but enough for the reserve.
    let left = rustix_free(&data_dir(dir.path()));
    let mut full = setup(1, 5 * DAY);
    full.parts.store.min_free_bytes = left * 2;
    let app = TestApp::start_in(dir, full);
    let reply = app.admin().post("/api/environments", &json!({ "name": "more" }));
    reply.expect_error(503, "SERVICE_UNAVAILABLE");
    assert!(verification(&app)["firstSeq"].as_u64().unwrap() > 1);
}

fn rustix_free(dir: &std::path::Path) -> u64 {
    let stat = rustix::fs::statvfs(dir).unwrap();
    stat.f_bavail * stat.f_frsize
}
