//! `POST /api/environments/{environment}/secrets/copy`: values move from one environment to another
//! without anyone seeing them, and the copy is never less restricted.

use coffer::domain::Role;
use serde_json::{Value, json};
use support::api::{new_environment, new_secret, reveal};
use support::{Client, Reply, TestApp};

const COPY: &str = "/api/environments/target/secrets/copy";
const TARGET: &str = "/api/environments/target/secrets";

/// A server with the environments `source` and `target`, and its admin.
fn start() -> (TestApp, Client) {
    let app = TestApp::start();
    let admin = app.admin();
    new_environment(&admin, "source");
    new_environment(&admin, "target");
    (app, admin)
}

fn copy(client: &Client, keys: &[&str], on_conflict: &str) -> Reply {
    client.post(COPY, &json!({ "from": "source", "keys": keys, "onConflict": on_conflict }))
}

/// Creates a write-only secret.
fn new_sealed(admin: &Client, environment: &str, key: &str, value: &str) -> Value {
    let body = json!({ "key": key, "value": value, "neverReveal": true });
    let path = format!("/api/environments/{environment}/secrets");
    admin.post(&path, &body).expect(200)["secret"].clone()
}

fn outcomes(answer: &Value) -> Vec<&str> {
    let copied = answer["copied"].as_array().unwrap().iter();
    copied.map(|one| one["outcome"].as_str().unwrap()).collect()
}

fn secret(answer: &Value, at: usize) -> &Value {
    &answer["copied"][at]["secret"]
}

fn id(secret: &Value) -> &str {
    secret["id"].as_str().unwrap()
}

fn keys(admin: &Client) -> Vec<String> {
    support::api::keys(&admin.get(TARGET).expect(200)["secrets"])
}

#[track_caller]
fn is_sealed(admin: &Client, secret: &Value) {
    assert_eq!(secret["neverReveal"], true, "{secret}");
    let value = admin.get(&format!("/api/secrets/{}/value", id(secret)));
    value.expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn a_copy_is_a_secret_of_its_own_with_the_value_of_the_source() {
    let (_app, admin) = start();
    let body = json!({ "key": "A", "value": "first", "description": "what A is for" });
    let source = admin.post("/api/environments/source/secrets", &body).expect(200);
    new_secret(&admin, "source", "B", "b");
    admin.patch(&format!("/api/secrets/{}", id(&source["secret"])), &json!({ "value": "second" }));
    let answer = copy(&admin, &["B", "A"], "fail").expect(200);
    assert_eq!(outcomes(&answer), ["created", "created"]);
    let a = secret(&answer, 1);
    assert_eq!(reveal(&admin, id(a)), "second");
    assert_eq!((&a["version"], &a["description"]), (&json!(1), &json!("what A is for")));
    assert_ne!(id(a), id(&source["secret"]));
    assert_eq!(*a, admin.get(&format!("/api/secrets/{}", id(a))).expect(200)["secret"]);
    // From now on, the copy and the source change independently.
    admin.patch(&format!("/api/secrets/{}", id(a)), &json!({ "value": "third" })).expect(200);
    assert_eq!(reveal(&admin, id(&source["secret"])), "second");
    admin.delete("/api/environments/source?force=true").expect(200);
    assert_eq!(reveal(&admin, id(a)), "third");
    let counted = admin.get("/api/environments/target").expect(200);
    assert_eq!(counted["environment"]["_count"]["secrets"], 2);
}

#[test]
fn sealed_stays_sealed_wherever_it_goes() {
    let (_app, admin) = start();
    new_sealed(&admin, "source", "SEALED", "nobody sees this");
    let answer = copy(&admin, &["SEALED"], "fail").expect(200);
    is_sealed(&admin, secret(&answer, 0));
    let path = format!("/api/secrets/{}", id(secret(&answer, 0)));
    admin.patch(&path, &json!({ "neverReveal": false })).expect_error(422, "READONLY_FIELD");
    // Copy it on to a third environment.
    new_environment(&admin, "third");
    let on = json!({ "from": "target", "keys": ["SEALED"] });
    let answer = admin.post("/api/environments/third/secrets/copy", &on).expect(200);
    is_sealed(&admin, secret(&answer, 0));
}

#[test]
fn a_sealed_source_latches_what_it_replaces_with_all_its_versions() {
    let (_app, admin) = start();
    new_sealed(&admin, "source", "A", "sealed value");
    let open = new_secret(&admin, "target", "A", "open value");
    assert_eq!(reveal(&admin, id(&open)), "open value");
    let answer = copy(&admin, &["A"], "replace").expect(200);
    assert_eq!(outcomes(&answer), ["replaced"]);
    let replaced = secret(&answer, 0);
    assert_eq!((id(replaced), &replaced["version"]), (id(&open), &json!(2)));
    is_sealed(&admin, replaced);
    // Activating the version that could once be revealed shows nothing either.
    let back = format!("/api/secrets/{}/versions/1/activate", id(&open));
    is_sealed(&admin, &admin.send("POST", &back, None).expect(200)["secret"]);
}

#[test]
fn a_sealed_target_is_never_turned_revealable() {
    let (_app, admin) = start();
    new_secret(&admin, "source", "A", "open value");
    new_sealed(&admin, "target", "A", "sealed value");
    let answer = copy(&admin, &["A"], "replace").expect(200);
    is_sealed(&admin, secret(&answer, 0));
}

#[test]
fn where_secrets_are_write_only_by_default_a_copy_is_too() {
    let (_app, admin) = start();
    let settings = "/api/environments/target/settings/configuration";
    admin.patch(settings, &json!({ "neverRevealByDefault": true })).expect(200);
    new_secret(&admin, "source", "A", "open value");
    let answer = copy(&admin, &["A"], "fail").expect(200);
    is_sealed(&admin, secret(&answer, 0));
}

#[test]
fn taken_keys_fail_all_or_are_skipped_or_replaced() {
    let (_app, admin) = start();
    for key in ["A", "B", "C"] {
        new_secret(&admin, "source", key, &format!("{key} of the source"));
    }
    let taken = new_secret(&admin, "target", "B", "B of the target");
    let refused = copy(&admin, &["A", "B", "C"], "fail").expect_error(409, "CONFLICT");
    assert_eq!(refused["field"], "keys.1");
    let unsaid = json!({ "from": "source", "keys": ["A", "B"] });
    admin.post(COPY, &unsaid).expect_error(409, "CONFLICT");
    assert_eq!(keys(&admin), ["B"]);
    let answer = copy(&admin, &["A", "B", "C"], "skip").expect(200);
    assert_eq!(outcomes(&answer), ["created", "skipped", "created"]);
    assert_eq!(
        (secret(&answer, 1), reveal(&admin, id(&taken)).as_str()),
        (&taken, "B of the target")
    );
    let answer = copy(&admin, &["B", "A"], "replace").expect(200);
    assert_eq!(outcomes(&answer), ["replaced", "replaced"]);
    assert_eq!(reveal(&admin, id(&taken)), "B of the source");
    // Skipped keys are reported, too.
    let answer = copy(&admin, &["A"], "skip").expect(200);
    assert_eq!(outcomes(&answer), ["skipped"]);
    assert_eq!(secret(&answer, 0)["version"], 2);
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_copied() {
    let (_app, admin) = start();
    new_secret(&admin, "source", "A", "a");
    // A var is not a secret.
    support::api::new_var(&admin, "source", "V", "v");
    let refused = copy(&admin, &["A", "GONE", "V"], "fail").expect_error(404, "NOT_FOUND");
    assert_eq!(refused["field"], "keys.1");
    let named: Vec<_> =
        refused["details"].as_array().unwrap().iter().map(|one| &one["field"]).collect();
    assert_eq!(named, ["keys.1", "keys.2"]);
    assert_eq!(keys(&admin), [""; 0]);
    let from = |from: &str| admin.post(COPY, &json!({ "from": from, "keys": ["A"] }));
    assert_eq!(from("nowhere").expect_error(404, "NOT_FOUND")["field"], "from");
    for same in ["target", "TARGET", "source/../target"] {
        let refused = from(same);
        let status = if same.contains('/') { 404 } else { 400 };
        assert_eq!((refused.status, &refused.json()["field"]), (status, &json!("from")), "{same}");
    }
    admin
        .post("/api/environments/nowhere/secrets/copy", &json!({ "from": "source", "keys": ["A"] }))
        .expect_error(404, "NOT_FOUND");
}

#[test]
fn a_body_that_says_it_wrongly_is_refused_by_member() {
    let (_app, admin) = start();
    new_secret(&admin, "source", "A", "a");
    let many: Vec<_> = (0..101).map(|number| format!("K{number}")).collect();
    for (body, field) in [
        (json!({ "keys": ["A"] }), "from"),
        (json!({ "from": 1, "keys": ["A"] }), "from"),
        (json!({ "from": "source" }), "keys"),
        (json!({ "from": "source", "keys": null }), "keys"),
        (json!({ "from": "source", "keys": [] }), "keys"),
        (json!({ "from": "source", "keys": "A" }), "keys"),
        (json!({ "from": "source", "keys": many }), "keys"),
        (json!({ "from": "source", "keys": ["A", "a"] }), "keys.1"),
        (json!({ "from": "source", "keys": ["A", 1] }), "keys.1"),
        (json!({ "from": "source", "keys": ["a", "A", "B", "A"] }), "keys.0"),
        (json!({ "from": "source", "keys": ["A", "B", "A"] }), "keys.2"),
        (json!({ "from": "source", "keys": ["A"], "onConflict": "merge" }), "onConflict"),
        (json!({ "from": "source", "keys": ["A"], "onconflict": "skip" }), "onConflict"),
    ] {
        let refused = admin.post(COPY, &body).expect_error(400, "VALIDATION_ERROR");
        assert_eq!(refused["field"], field, "{body}");
    }
    let places = json!({ "from": "source", "keys": ["a", "A", "B", "A"] });
    let refused = admin.post(COPY, &places).expect_error(400, "VALIDATION_ERROR");
    assert_eq!(refused["details"][1]["field"], "keys.3");
    assert_eq!(keys(&admin), [""; 0]);
}

/// Access to copy from an environment needs more than access to write to it: neither an operator
/// nor an admin whose scope is one environment may copy from another.
#[test]
fn nobody_copies_out_of_an_environment_that_they_do_not_administer() {
    let (app, admin) = start();
    new_sealed(&admin, "source", "A", "a");
    let (source, target) = (app.environment_id("source"), app.environment_id("target"));
    let attempt =
        |client: &Client, from: &str| client.post(COPY, &json!({ "from": from, "keys": ["A"] }));
    for role in [Role::Viewer, Role::Operator] {
        attempt(&app.principal(role), "source").expect_error(403, "FORBIDDEN_ROLE");
        let both = app.scoped(role, &[&source, &target]);
        attempt(&both, "source").expect_error(403, "FORBIDDEN_ROLE");
    }
    let here = app.scoped(Role::Admin, &[&target]);
    // The caller cannot distinguish a secret that exists from one that does not.
    let mut answers = Vec::new();
    for from in ["source", source.as_str(), "nowhere", "env_01JD3N5W8Q4X0V7M2K9R6T1HBC"] {
        let mut refused = attempt(&here, from).expect_error(403, "FORBIDDEN_SCOPE");
        assert_eq!(refused["field"], "from");
        refused["requestId"] = json!(null);
        answers.push(refused);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let log = here.get("/api/audit-logs?action=secret.copy").expect(200);
    let rows = log["logs"].as_array().unwrap();
    let told = rows.iter().any(|row| row["error"] == "FORBIDDEN_SCOPE");
    assert!(!told && !rows.is_empty(), "the log reveals which of them exists: {log}");
    app.scoped(Role::Admin, &[&source])
        .post(COPY, &json!({ "from": "source", "keys": ["A"] }))
        .expect_error(403, "FORBIDDEN_SCOPE");
    assert_eq!(keys(&admin), [""; 0]);
    let both = app.scoped(Role::Admin, &[&source, &target]);
    attempt(&both, "source").expect(200);
    // A viewer of the source sees who tried to copy and who did.
    let watcher = app.scoped(Role::Viewer, &[&source]);
    let log = watcher.get("/api/audit-logs?action=secret.copy").expect(200);
    let rows = log["logs"].as_array().unwrap();
    let done: Vec<_> = rows.iter().filter(|row| row["success"] == true).collect();
    assert_eq!((rows.len(), done.len()), (3, 1), "{log}");
    assert_eq!(done[0]["resourceName"], "A");
}

#[test]
fn both_sides_have_it_in_the_log_with_keys_and_versions() {
    let (app, admin) = start();
    let (source, target) = (app.environment_id("source"), app.environment_id("target"));
    let from = new_secret(&admin, "source", "A", "first");
    admin.patch(&format!("/api/secrets/{}", id(&from)), &json!({ "value": "second" })).expect(200);
    new_secret(&admin, "target", "A", "old");
    let admin = admin.with("X-Request-Id", "the-copy");
    copy(&admin, &["A"], "replace").expect(200);
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    let rows: Vec<_> =
        rows.iter().filter(|row| row.draft.request_id.as_deref() == Some("the-copy")).collect();
    let said: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::from_str(row.draft.details.as_ref().unwrap()).unwrap())
        .collect();
    let expected = [
        json!({ "from": source, "created": 0, "replaced": 1, "skipped": 0 }),
        json!({ "from": source, "fromVersion": 2, "neverReveal": false, "oldVersion": 1, "newVersion": 2 }),
        json!({ "to": target, "version": 2 }),
    ];
    assert_eq!(said, expected);
    let labels: Vec<_> =
        rows.iter().map(|row| row.draft.environment.as_ref().unwrap().id.to_string()).collect();
    assert_eq!(labels, [target.clone(), target, source]);
    support::rows_fit(&support::data_dir(dir.path()));
}

#[test]
fn a_copy_that_is_sent_again_is_answered_again_and_done_once() {
    let (_app, admin) = start();
    new_secret(&admin, "source", "A", "a");
    new_secret(&admin, "target", "A", "b");
    let once = admin.with("Idempotency-Key", "copy-1");
    let first = copy(&once, &["A"], "replace").expect(200);
    let again = copy(&once, &["A"], "replace");
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(200), first);
    assert_eq!(secret(&first, 0)["version"], 2);
    copy(&once, &["A"], "skip").expect_error(409, "IDEMPOTENCY_KEY_REUSED");
}

#[test]
fn copies_that_run_at_once_leave_one_secret_each() {
    let (app, admin) = start();
    for key in ["A", "B"] {
        new_secret(&admin, "source", key, key);
    }
    let statuses = support::api::parallel(8, |_| copy(&admin, &["A", "B"], "fail").status);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    assert_eq!(keys(&admin), ["A", "B"]);
    let dir = app.stop();
    support::rows_fit(&support::data_dir(dir.path()));
}

#[test]
fn more_than_one_batch_holds_is_refused_as_a_whole() {
    let (_app, admin) = start();
    let value = "v".repeat(64 << 10);
    let names: Vec<_> = (0..70).map(|number| format!("K{number}")).collect();
    for name in &names {
        new_secret(&admin, "source", name, &value);
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let refused = copy(&admin, &names, "fail").expect_error(400, "VALIDATION_ERROR");
    assert_eq!(refused["field"], "keys");
    assert_eq!(keys(&admin), [""; 0]);
    copy(&admin, &names[..50], "fail").expect(200);
    let copied = admin.get(&format!("{TARGET}?prefix=K49")).expect(200);
    assert_eq!(reveal(&admin, id(&copied["secrets"][0])), value);
}
