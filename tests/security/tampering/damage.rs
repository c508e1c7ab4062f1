//! One damaged row must not spoil responses about other rows, prevent its own repair or deletion,
//! or reveal its existence to strangers.

use coffer::domain::{Role, VarId};
use coffer::store::{Environments, SecretPlaces, Secrets, ValueChunks, Vars, Versions};
use serde_json::json;
use support::tampered_db::{Table, TamperedDb};
use support::{Setup, TestApp, expect_log};

const UNREADABLE: &str = "SECRET_UNREADABLE";

fn cut_last<T: coffer::store::Table>(table: &Table, key: &T::Key) {
    let mut bytes = table.bytes::<T>(key);
    bytes.pop();
    table.put_bytes::<T>(key, &bytes);
}

#[test]
fn a_damaged_old_version_does_not_hide_the_others() {
    expect_log("damaged");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Versions>(table, &bench.version_key("TWICE", 1)));
    let app = bench.restart();
    let path = format!("/api/secrets/{}", bench.secret("TWICE").id);
    assert_eq!(
        bench.reveal(&app, bench.secret("TWICE")).expect(200)["value"],
        "the value of TWICE"
    );
    let listed = app.admin().get(&format!("{path}/versions"));
    let listed = listed.expect(200);
    assert!(listed["versions"].as_array().unwrap().iter().any(|one| one["version"] == 2));
}

#[test]
fn a_damaged_old_version_does_not_keep_the_secret_from_being_changed() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Versions>(table, &bench.version_key("TWICE", 1)));
    let app = bench.restart();
    let admin = app.admin();
    let path = format!("/api/secrets/{}", bench.secret("TWICE").id);
    admin.send("POST", &format!("{path}/versions/1/activate"), None).expect_error(500, UNREADABLE);
    admin.patch(&path, &json!({ "value": "third" })).expect(200);
    admin.send("POST", &format!("{path}/versions/2/activate"), None).expect(200);
    assert_eq!(
        bench.reveal(&app, bench.secret("TWICE")).expect(200)["value"],
        "the value of TWICE"
    );
    admin.delete(&path).expect(200);
    bench.assert_others_work(&app, &["TWICE"]);
}

#[test]
fn a_latch_drops_an_old_version_that_does_not_open() {
    // The damaged version must not be kept, and must not block the change either.
    expect_log("which does not open, to latch the secret");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Versions>(table, &bench.version_key("TWICE", 1)));
    let app = bench.restart();
    let path = format!("/api/secrets/{}", bench.secret("TWICE").id);
    let latched = app.admin().patch(&path, &json!({ "neverReveal": true })).expect(200);
    assert_eq!(latched["secret"]["neverReveal"], true);
    bench.reveal(&app, bench.secret("TWICE")).expect_error(403, "SECRET_WRITE_ONLY");
    let versions = app.admin().get(&format!("{path}/versions")).expect(200);
    let numbers: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(numbers, [2]);
}

#[test]
fn a_latch_over_a_damaged_active_version_changes_nothing_and_says_why() {
    expect_log(UNREADABLE);
    expect_log("which does not open, to latch the secret");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Versions>(table, &bench.version_key("TWICE", 2)));
    let app = bench.restart();
    let path = format!("/api/secrets/{}", bench.secret("TWICE").id);
    let latch = app.admin().patch(&path, &json!({ "neverReveal": true, "description": "new" }));
    latch.expect_error(500, UNREADABLE);
    let shown = app.admin().get(&path).expect(200);
    assert_eq!(shown["secret"]["neverReveal"], false);
    assert_eq!(shown["secret"]["description"], json!(null));
    // With a new value, the old one does not have to open.
    app.admin().patch(&path, &json!({ "neverReveal": true, "value": "mended" })).expect(200);
    bench.reveal(&app, bench.secret("TWICE")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn a_secret_whose_value_is_damaged_can_be_read_about_and_given_a_new_value() {
    expect_log(UNREADABLE);
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<ValueChunks>(table, &bench.chunk_key("FIRST", 1, 0)));
    let app = bench.assert_unreadable(&["FIRST"]);
    let path = format!("/api/secrets/{}", bench.secret("FIRST").id);
    app.admin().get(&path).expect(200);
    app.admin().patch(&path, &json!({ "value": "mended" })).expect(200);
    assert_eq!(bench.reveal(&app, bench.secret("FIRST")).expect(200)["value"], "mended");
}

#[test]
fn an_environment_with_a_damaged_secret_can_be_deleted_with_everything_in_it() {
    // Otherwise its data keys could never be destroyed.
    expect_log("damaged");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Secrets>(table, &bench.secret_key("FIRST")));
    let app = bench.restart();
    app.admin().delete("/api/environments/home?force=true").expect(200);
    app.admin().get("/api/environments/home").expect_error(404, "NOT_FOUND");
    let dir = app.stop();
    support::rows_fit(&support::data_dir(dir.path()));
}

#[test]
fn a_damaged_index_row_does_not_undo_a_refusal_by_role() {
    expect_log("damaged");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<SecretPlaces>(table, &bench.secret("FIRST").id));
    let app = bench.restart();
    let path = format!("/api/secrets/{}/value", bench.secret("FIRST").id);
    let viewer = app.principal(Role::Viewer).with("X-Request-Id", "refused");
    viewer.get(&path).expect_error(403, "FORBIDDEN_ROLE");
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    let of_it = rows.iter().filter(|row| row.draft.request_id.as_deref() == Some("refused"));
    assert_eq!(of_it.count(), 1, "the refusal must have a row in the log");
}

#[test]
fn a_damaged_index_row_looks_like_a_missing_one_to_a_stranger() {
    // The row's environment is lost, so nothing shows that the caller may see it.
    expect_log("damaged");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<SecretPlaces>(table, &bench.secret("FIRST").id));
    let app = bench.restart();
    let stranger = app.scoped(Role::Admin, &[&bench.other.to_string()]);
    for path in ["", "/value", "/versions"] {
        let path = format!("/api/secrets/{}{path}", bench.secret("FIRST").id);
        stranger.get(&path).expect_error(404, "NOT_FOUND");
    }
}

#[test]
fn a_damaged_environment_row_does_not_hide_the_other_environments() {
    expect_log("INTERNAL");
    expect_log("left out of a list");
    let bench = TamperedDb::new();
    bench.edit(|table| cut_last::<Environments>(table, &bench.other));
    let app = bench.restart();
    let listed = app.admin().get("/api/environments").expect(200);
    let names: Vec<_> = listed["environments"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["name"], "home");
    app.admin().get("/api/environments/other").expect_error(500, "INTERNAL");
    bench.assert_others_work(&app, &[]);
}

#[test]
fn a_damaged_var_is_left_out_of_the_list_and_of_nothing_else() {
    expect_log("INTERNAL");
    expect_log("left out of a list");
    let app = TestApp::start();
    let environment = app.environment_id("development").parse().unwrap();
    let mut ids = Vec::new();
    for key in ["GOOD", "ROTTEN"] {
        let body = json!({ "key": key, "value": format!("value of {key}") });
        let made = app.admin().post("/api/environments/development/vars", &body).expect(200);
        ids.push(made["var"]["id"].as_str().unwrap().parse::<VarId>().unwrap());
    }
    let dir = app.stop();
    let table = Table::open(&support::data_dir(dir.path()));
    let rotten = coffer::domain::KeyName::parse("ROTTEN").unwrap();
    cut_last::<Vars>(&table, &(environment, rotten));
    table.close();
    let app = TestApp::start_in(dir, Setup::default());
    let listed = app.admin().get("/api/environments/development/vars").expect(200);
    let listed: Vec<_> = listed["vars"].as_array().unwrap().iter().map(|var| &var["key"]).collect();
    assert_eq!(listed, ["GOOD"]);
    app.admin().get(&format!("/api/vars/{}", ids[0])).expect(200);
    app.admin().get(&format!("/api/vars/{}", ids[1])).expect_error(500, "INTERNAL");
}
