//! `GET /api/environments/{environment}/bundle` and `…/workloads`: values reach the workloads that
//! the host has enrolled, and everyone else sees only ciphertext.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coffer::audit::Action;
use coffer::domain::Role;
use serde_json::json;
use support::paths::{SECRETS, VARS};
use support::process::has_program;
use support::workloads::{Workload, declare};
use support::{Client, Reply, TestApp, api, audit_rows, skip};

const BUNDLE: &str = "/api/environments/development/bundle?workload=api";

fn never(client: &Client, key: &str, value: &str) -> String {
    let new = json!({ "key": key, "value": value, "neverReveal": true });
    let made = client.post(SECRETS, &new).expect(200);
    made["secret"]["id"].as_str().unwrap().to_owned()
}

fn start(keys: &[&str]) -> (TestApp, Workload) {
    let app = TestApp::start();
    let workload = Workload::new("api");
    declare(&app, vec![workload.declared(&["Development"], keys)]);
    (app, workload)
}

#[track_caller]
fn sealed(reply: &Reply) -> &[u8] {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/age-encryption"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(reply.body.starts_with(b"age-encryption.org/v1\n"));
    &reply.body
}

#[test]
fn secrets_and_vars_are_resolved_a_secret_before_a_var() {
    let (app, workload) = start(&["*"]);
    let admin = app.admin();
    never(&admin, "DATABASE_URL", "postgres://app:hunter2@db/app");
    api::new_secret(&admin, "development", "BOTH", "from the secret");
    api::new_var(&admin, "development", "BOTH", "from the var");
    api::new_var(&admin, "development", "LOG_LEVEL", "debug \"quoted\"\n");
    // A viewer of the environment may fetch the bundle, but cannot open it.
    let viewer = app.principal(Role::Viewer);
    let opened = workload.open(sealed(&viewer.get(BUNDLE)));
    assert_eq!(
        opened,
        json!({
            "environment": "development",
            "workload": "api",
            "values": {
                "BOTH": "from the secret",
                "DATABASE_URL": "postgres://app:hunter2@db/app",
                "LOG_LEVEL": "debug \"quoted\"\n",
            },
        })
    );
}

#[test]
fn only_the_keys_of_the_workload_are_in_it() {
    let (app, workload) = start(&["DATABASE_*", "STRIPE_KEY"]);
    let admin = app.admin();
    for key in ["DATABASE_URL", "DATABASE_PASSWORD", "STRIPE_KEY", "STRIPE_KEY_ID", "OTHER"] {
        api::new_secret(&admin, "development", key, "v");
    }
    let opened = workload.open(sealed(&admin.get(BUNDLE)));
    assert_eq!(
        api::members(&opened["values"]).into_iter().collect::<Vec<_>>(),
        ["DATABASE_PASSWORD", "DATABASE_URL", "STRIPE_KEY"]
    );
}

/// Permission to write vars must not allow running code in a process that knows the values.
#[test]
fn what_steers_a_program_is_not_meant_by_a_star() {
    let (app, workload) = start(&["*", "NODE_OPTIONS"]);
    let admin = app.admin();
    for key in ["LD_PRELOAD", "PATH", "BASH_ENV", "NODE_OPTIONS", "APP_PATH"] {
        api::new_var(&admin, "development", key, "/tmp/evil");
    }
    let opened = workload.open(sealed(&admin.get(BUNDLE)));
    let keys: Vec<_> = api::members(&opened["values"]).into_iter().collect();
    assert_eq!(keys, ["APP_PATH", "NODE_OPTIONS"]);
}

#[test]
fn the_real_age_opens_it_with_an_age_key_and_with_an_ssh_key() {
    if !has_program("age") || !has_program("ssh-keygen") {
        return skip("there is no age, or no ssh-keygen");
    }
    let dir = tempfile::tempdir().unwrap();
    let ssh = dir.path().join("ssh_host_ed25519_key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&ssh);
    assert!(keygen.status().unwrap().success());
    let public = std::fs::read_to_string(ssh.with_extension("pub")).unwrap();
    let (app, workload) = start(&["*"]);
    let key = dir.path().join("key.txt");
    std::fs::write(&key, &workload.identity).unwrap();
    let recipients =
        vec![workload.recipient.clone(), coffer::vault::Recipient::parse(&public).unwrap()];
    let enrolment = coffer::vault::Enrolment::workload(
        "api".to_owned(),
        vec![coffer::domain::EnvironmentName::parse("development").unwrap()],
        vec![coffer::domain::KeyPattern::any()],
        recipients,
    );
    declare(&app, vec![enrolment]);
    never(&app.admin(), "DATABASE_URL", "postgres://app:hunter2@db/app");
    let reply = app.admin().get(BUNDLE);
    let file = dir.path().join("bundle.age");
    std::fs::write(&file, sealed(&reply)).unwrap();
    for identity in [&ssh, &key] {
        let mut age = Command::new("age");
        age.arg("-d").arg("-i").arg(identity).arg(&file).stdin(Stdio::null());
        let opened = age.output().unwrap();
        assert!(opened.status.success(), "{opened:?}");
        let opened: serde_json::Value = serde_json::from_slice(&opened.stdout).unwrap();
        assert_eq!(opened["values"]["DATABASE_URL"], "postgres://app:hunter2@db/app");
    }
}

#[test]
fn a_workload_that_is_struck_off_gets_404_at_once() {
    let (app, workload) = start(&["*"]);
    let admin = app.admin();
    sealed(&admin.get(BUNDLE));
    declare(&app, Vec::new());
    admin.get(BUNDLE).expect_error(404, "NOT_FOUND");
    // A workload that is declared for another environment only is unknown here.
    admin.post("/api/environments", &json!({ "name": "other" })).expect(200);
    declare(&app, vec![workload.declared(&["other"], &["*"])]);
    admin.get(BUNDLE).expect_error(404, "NOT_FOUND");
    sealed(&admin.get("/api/environments/other/bundle?workload=api"));
    admin.get("/api/environments/development/bundle").expect_error(400, "VALIDATION_ERROR");
}

#[test]
fn the_tag_changes_with_what_is_in_it_and_with_nothing_else() {
    let (app, workload) = start(&["A", "C"]);
    let admin = app.admin();
    let a = never(&admin, "A", "1");
    let tag = |client: &Client| client.get(BUNDLE).header("etag").unwrap().to_owned();
    let first = tag(&admin);
    assert!(first.starts_with("W/\""), "{first}");
    let known = |tag: &str| admin.with("If-None-Match", tag).get(BUNDLE);
    let same = known(&first);
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(same.header("etag"), Some(first.as_str()));
    // A secret outside the bundle, or a description, does not change the bundle.
    never(&admin, "B", "1");
    admin.patch(&format!("/api/secrets/{a}"), &json!({ "description": "d" })).expect(200);
    assert_eq!(known(&first).status, 304);
    // Each of these changes the bundle.
    let mut tags = vec![first];
    admin.patch(&format!("/api/secrets/{a}"), &json!({ "value": "1" })).expect(200);
    tags.push(tag(&admin));
    api::new_var(&admin, "development", "C", "v");
    tags.push(tag(&admin));
    declare(&app, vec![Workload::new("api").declared(&["development"], &["A", "C"])]);
    tags.push(tag(&admin));
    for (number, one) in tags.iter().enumerate() {
        assert!(!tags[..number].contains(one), "{tags:?}");
        assert_eq!(known(one).status, if number + 1 == tags.len() { 304 } else { 200 });
    }
    // The tag is the same after a restart.
    declare(&app, vec![workload.declared(&["development"], &["A", "C"])]);
    let before = tag(&admin);
    let dir = app.stop();
    let app = TestApp::start_in(dir, support::Setup::default());
    declare(&app, vec![workload.declared(&["development"], &["A", "C"])]);
    assert_eq!(tag(&app.admin()), before);
}

#[test]
fn a_request_that_waits_is_answered_when_a_value_changes() {
    let (app, workload) = start(&["A"]);
    let admin = app.admin();
    let id = never(&admin, "A", "before");
    let tag = admin.get(BUNDLE).header("etag").unwrap().to_owned();
    let waiting = admin.with("If-None-Match", &tag);
    let begun = Instant::now();
    let reply = std::thread::scope(|scope| {
        let waits = scope.spawn(|| waiting.get(&format!("{BUNDLE}&wait=60")));
        // Unrelated changes do not end the wait.
        never(&admin, "B", "x");
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": "after" })).expect(200);
        waits.join().unwrap()
    });
    assert!(begun.elapsed() < Duration::from_secs(50));
    assert_eq!(workload.open(sealed(&reply))["values"], json!({ "A": "after" }));
    // Without a change, the wait ends with 304 when its time is up.
    let tag = reply.header("etag").unwrap();
    assert_eq!(admin.with("If-None-Match", tag).get(&format!("{BUNDLE}&wait=1")).status, 304);
    // Without a tag there is nothing to wait for.
    sealed(&admin.get(&format!("{BUNDLE}&wait=60")));
    for wait in ["61", "-1", "x", "01"] {
        admin.get(&format!("{BUNDLE}&wait={wait}")).expect_error(400, "VALIDATION_ERROR");
    }
}

#[test]
fn a_stop_does_not_wait_for_those_who_wait() {
    let (app, _) = start(&["A"]);
    let admin = app.admin();
    never(&admin, "A", "v");
    let tag = admin.get(BUNDLE).header("etag").unwrap().to_owned();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = admin.with("If-None-Match", &tag);
        let waits = scope.spawn(move || waiting.get(&format!("{BUNDLE}&wait=60")).status);
        // The server is one of the watchers, for the files that it writes.
        while app.state.declared.watchers() < 2 {
            std::thread::yield_now();
        }
        app.stop();
        assert_eq!(waits.join().unwrap(), 304);
    });
    assert!(begun.elapsed() < Duration::from_secs(25));
}

#[test]
fn every_delivery_is_in_the_log_with_keys_and_versions_and_no_value() {
    let (app, _) = start(&["*"]);
    let admin = app.admin();
    let id = never(&admin, "A", "canary-1f8e");
    admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": "canary-1f8e-2" })).expect(200);
    api::new_var(&admin, "development", "V", "v");
    sealed(&admin.with("X-Request-Id", "the-delivery").get(BUNDLE));
    // 304 delivers nothing.
    let tag = admin.get(BUNDLE).header("etag").unwrap().to_owned();
    let with = admin.with("If-None-Match", &tag);
    assert_eq!(with.with("X-Request-Id", "no-delivery").get(BUNDLE).status, 304);
    let dir = app.stop();
    let rows = audit_rows(dir.path());
    let of = |id: &str| {
        let found = rows.iter().filter(|row| row.draft.request_id.as_deref() == Some(id));
        found.collect::<Vec<_>>()
    };
    assert!(of("no-delivery").is_empty());
    let [row] = of("the-delivery")[..] else { panic!("{:?}", of("the-delivery")) };
    assert_eq!(row.draft.action, Action::WorkloadDeliver);
    assert_eq!(row.draft.resource.name.as_deref(), Some("api"));
    let details = row.draft.details.as_deref().unwrap();
    assert_eq!(details, r#"{"versions":{"A":2,"V":1},"workload":"api"}"#);
}

/// sled prefers small rows, and an environment may have thousands of keys.
#[test]
fn the_rows_of_a_large_delivery_stay_small_and_name_every_key() {
    let (app, workload) = start(&["*"]);
    let admin = app.admin();
    let keys: Vec<_> = (0..300).map(|n| format!("A_RATHER_LONG_NAME_OF_A_KEY_{n:04}")).collect();
    api::parallel(8, |thread| {
        for key in keys.iter().skip(thread).step_by(8) {
            api::new_secret(&admin, "development", key, "v");
        }
    });
    let reply = admin.with("X-Request-Id", "the-delivery").get(BUNDLE);
    let opened = workload.open(sealed(&reply));
    assert_eq!(opened["values"].as_object().unwrap().len(), keys.len());
    let dir = app.stop();
    let mut named = std::collections::BTreeSet::new();
    for row in audit_rows(dir.path()) {
        if row.draft.request_id.as_deref() == Some("the-delivery") {
            let details = row.draft.details.unwrap();
            assert!(details.len() < 4096, "{}", details.len());
            let details: serde_json::Value = serde_json::from_str(&details).unwrap();
            named.extend(details["versions"].as_object().unwrap().keys().cloned());
        }
    }
    assert_eq!(named.into_iter().collect::<Vec<_>>(), keys);
}

/// Write-only limits people, not workloads: the bundle does not change.
#[test]
fn a_secret_that_is_latched_while_a_bundle_is_open_is_delivered_as_before() {
    let (app, workload) = start(&["*"]);
    let admin = app.admin();
    let made = api::new_secret(&admin, "development", "A", "v");
    let id = api::text(&made, "id");
    let open = admin.get(BUNDLE);
    admin.patch(&format!("/api/secrets/{id}"), &json!({ "neverReveal": true })).expect(200);
    admin.get(&format!("/api/secrets/{id}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    assert_eq!(workload.open(sealed(&open))["values"]["A"], "v");
    assert_eq!(workload.open(sealed(&admin.get(BUNDLE)))["values"]["A"], "v");
}

#[test]
fn how_long_a_sealed_value_is_does_not_show_in_the_length_of_a_bundle() {
    let (app, _) = start(&["*"]);
    let admin = app.admin();
    let id = never(&admin, "A", "s");
    // Measure after the header, where age adds a stanza of random length.
    let length = || {
        let reply = admin.get(BUNDLE);
        let mac = sealed(&reply).windows(5).position(|bytes| bytes == b"\n--- ").unwrap();
        reply.body.len() - mac
    };
    let short = length();
    for value in ["x".repeat(65_536), "\"\\".repeat(9000)] {
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        assert_eq!(length(), short);
    }
}

#[test]
fn what_is_declared_is_listed_and_counted() {
    let (app, workload) = start(&["DATABASE_*"]);
    let admin = app.admin();
    let viewer = app.principal(Role::Viewer);
    let listed = viewer.get("/api/environments/development/workloads").expect(200);
    let recipient = workload.recipient.to_string();
    assert_eq!(
        listed,
        json!({ "workloads": [{ "name": "api", "recipients": [recipient], "keys": ["DATABASE_*"] }] })
    );
    let used =
        |item: &serde_json::Value| (item["usedByServices"].clone(), item["usageCount"].clone());
    let secret = api::new_secret(&admin, "development", "DATABASE_URL", "v");
    assert_eq!(used(&secret), (json!(["api"]), json!(1)));
    let other = api::new_secret(&admin, "development", "OTHER", "v");
    assert_eq!(used(&other), (json!([]), json!(0)));
    let list = admin.get(SECRETS).expect(200);
    assert_eq!(used(&list["secrets"][0]), (json!(["api"]), json!(1)));
    // A var that is hidden by a secret with the same key reaches nobody.
    let hidden = api::new_var(&admin, "development", "DATABASE_URL", "v");
    assert_eq!(used(&hidden), (json!([]), json!(0)));
    let seen = api::new_var(&admin, "development", "DATABASE_NAME", "v");
    assert_eq!(used(&seen), (json!(["api"]), json!(1)));
    let vars = admin.get(VARS).expect(200);
    assert_eq!(used(&vars["vars"][1]), (json!([]), json!(0)));
    // A cached list must not be older than the declarations.
    declare(&app, Vec::new());
    let list = admin.get(SECRETS).expect(200);
    assert_eq!(used(&list["secrets"][0]), (json!([]), json!(0)));
}
