//! The wrapping keys through the API: rotated while the server works, retired only when nothing
//! needs them.

use std::collections::BTreeMap;

use coffer::audit::Action;
use coffer::domain::{RevealMode, Version};
use coffer::store::{
    KeyId, Keys, LastUses, Rotation, Secrets, ServiceKeys, Table, ValueChunks, VersionRow,
    Versions, View,
};
use serde_json::{Value, json};
use support::paths::{KEYS, ROTATE};
use support::tampered_db;
use support::tampered_db::{TamperedDb, flip};
use support::{Client, TestApp, api, audit_rows, data_dir, expect_log, open_stopped, rows_fit};

fn keys(admin: &Client) -> Value {
    admin.get(KEYS).expect(200)
}

/// The number and state of each key, and how much is wrapped under it.
fn listed(status: &Value) -> Vec<(u64, String, u64)> {
    let keys = status["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let state = key["state"].as_str().unwrap().to_owned();
        (key["id"].as_u64().unwrap(), state, key["wrapped"].as_u64().unwrap())
    })
    .collect()
}

fn active(id: u64, wrapped: u64) -> (u64, String, u64) {
    (id, "active".to_owned(), wrapped)
}

fn retiring(id: u64, wrapped: u64) -> (u64, String, u64) {
    (id, "retiring".to_owned(), wrapped)
}

#[test]
fn a_new_server_has_one_key_and_no_rotation() {
    let app = TestApp::start();
    let status = keys(&app.admin());
    assert_eq!(listed(&status), [active(1, 2)]);
    assert_eq!(status["rotation"], Value::Null);
    assert_eq!(status["unopened"], json!([]));
    let root = &status["rootKey"];
    assert_eq!(root["fingerprint"], status["keys"][0]["rootFingerprint"]);
    assert_eq!(root["previousFingerprint"], Value::Null);
    assert_eq!(root["previousNeeded"], false);
    api::is_time(api::text(&status["keys"][0], "createdAt"));
    app.admin().delete(&format!("{KEYS}/1")).expect_error(409, "CONFLICT");
}

#[test]
fn rotating_moves_every_data_key_and_leaves_every_value() {
    let app = TestApp::start();
    let admin = app.admin();
    let secrets: Vec<_> = (0..250)
        .map(|number| {
            let value = format!("value {number}");
            let made = api::new_secret(&admin, "development", &format!("KEY_{number}"), &value);
            (api::text(&made, "id").to_owned(), value)
        })
        .collect();
    let (first, _) = &secrets[0];
    admin.patch(&format!("/api/secrets/{first}"), &json!({ "value": "second" })).expect(200);
    assert_eq!(listed(&keys(&admin)), [active(1, 253)]);

    let begun = admin.send("POST", ROTATE, None).expect(200)["rotation"].clone();
    assert_eq!(begun["key"], 2);
    api::is_time(api::text(&begun, "startedAt"));
    let status = api::rotated(&admin);
    assert_eq!(listed(&status), [retiring(1, 0), active(2, 253)]);
    let rotation = &status["rotation"];
    assert_eq!((&rotation["rewrapped"], &rotation["left"]), (&json!(253), &json!(0)));
    api::is_time(api::text(rotation, "finishedAt"));
    for round in 0..2 {
        for (number, (id, value)) in secrets.iter().enumerate() {
            let wanted = if number == 0 { "second" } else { value.as_str() };
            assert_eq!(api::reveal(&admin, id), wanted);
        }
        // Check again without the old key.
        if round == 0 {
            admin.delete(&format!("{KEYS}/1")).expect(200);
            assert_eq!(listed(&keys(&admin)), [active(2, 253)]);
        }
    }
    let activate = format!("/api/secrets/{first}/versions/1/activate");
    admin.send("POST", &activate, None).expect(200);
    assert_eq!(api::reveal(&admin, first), secrets[0].1);
    // The token key and the audit key are unchanged, now wrapped under the new key.
    let found = admin.get("/api/audit-logs/verification").expect(200);
    assert_eq!(found["verification"]["intact"], true);

    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    let opened = open_stopped(&data_dir(dir.path()));
    assert!(opened.get::<Keys>(&KeyId(1)).unwrap().is_none(), "the salt must be deleted");
    drop(opened);
    let app = TestApp::start_in(dir, Default::default());
    assert_eq!(api::reveal(&app.admin(), first), secrets[0].1);
    assert_eq!(api::reveal(&app.admin(), &secrets[249].0), secrets[249].1);
}

/// Revealing every value would also work if each had been sealed again, so this test
/// compares the stored bytes, which must not change.
#[test]
fn a_rotation_writes_wrapped_keys_and_no_value() {
    let bench = TamperedDb::new();
    let mut before = None;
    bench.edit(|table| before = Some(table.dump()));
    let before = before.unwrap();
    let app = bench.restart();
    api::rotate(&app.admin());
    bench.stopped_again(app);
    bench.edit(|table| {
        let after = table.dump();
        // Ignore the rows that a rotation writes and the time when the admin was last seen.
        let written = [Keys::PREFIX, ServiceKeys::PREFIX, Rotation::PREFIX, Versions::PREFIX];
        let others = |rows: &BTreeMap<Vec<u8>, Vec<u8>>| {
            let mut rows = rows.clone();
            rows.retain(|key, _| key[0] != LastUses::PREFIX && !written.contains(&key[0]));
            rows
        };
        let chunks = others(&before).keys().filter(|key| key[0] == ValueChunks::PREFIX).count();
        assert!(chunks > bench.secrets.len() + 1, "some values are stored in pieces");
        assert_eq!(others(&after), others(&before));
        let mut versions = 0;
        for (key, old) in before.iter().filter(|(key, _)| key[0] == Versions::PREFIX) {
            let row = |bytes: &[u8]| postcard::from_bytes::<VersionRow>(&bytes[1..]).unwrap();
            let (old, new) = (row(old), row(&after[key]));
            assert_eq!((old.data_key.key, new.data_key.key), (KeyId(1), KeyId(2)));
            assert_ne!(old.data_key.nonce, new.data_key.nonce);
            assert_ne!(old.data_key.sealed, new.data_key.sealed);
            assert_ne!(old.data_key.tag, new.data_key.tag);
            assert_eq!(VersionRow { data_key: old.data_key.clone(), ..new }, old);
            versions += 1;
        }
        assert_eq!(
            versions,
            bench.secrets.len() + 1,
            "one version per secret, plus the old version of TWICE"
        );
        let services = [ServiceKeys::PREFIX];
        assert_ne!(before[&services[..]], after[&services[..]]);
    });
}

#[test]
fn what_never_reveals_never_reveals_after_a_rotation() {
    let app = TestApp::start();
    let admin = app.admin();
    let path = "/api/environments/development/secrets";
    let new = json!({ "key": "NEVER", "value": "never to be seen", "neverReveal": true });
    let id = admin.post(path, &new).expect(200)["secret"]["id"].as_str().unwrap().to_owned();
    api::rotate(&admin);
    let path = format!("/api/secrets/{id}");
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    let unlatch = admin.patch(&path, &json!({ "neverReveal": false }));
    unlatch.expect_error(422, "READONLY_FIELD");
    admin.send("POST", &format!("{path}/versions/1/activate"), None).expect(200);
    admin.get(&format!("{path}/value")).expect_error(403, "SECRET_WRITE_ONLY");
}

#[test]
fn a_key_is_retired_once_and_only_when_it_exists() {
    let app = TestApp::start();
    let admin = app.admin();
    let old = api::rotate(&admin);
    admin.delete(&format!("{KEYS}/2")).expect_error(409, "CONFLICT");
    admin.delete(&format!("{KEYS}/{old}")).expect(200);
    for missing in ["1", "3", "0", "x", "-1", "4294967296", "1%20", "+1", "01"] {
        admin.delete(&format!("{KEYS}/{missing}")).expect_error(404, "NOT_FOUND");
    }
    // A number is never reused.
    assert_eq!(api::rotate(&admin), 2);
    assert_eq!(api::rotate(&admin), 3);
    assert_eq!(listed(&keys(&admin)), [retiring(2, 0), retiring(3, 0), active(4, 2)]);
}

#[test]
fn one_rotation_at_a_time() {
    let app = TestApp::start();
    let admin = app.admin();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let admin = &admin;
            scope.spawn(move || {
                for number in 0..150 {
                    api::new_secret(admin, "development", &format!("K_{part}_{number}"), "v");
                }
            });
        }
    });
    let replies: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..6).map(|_| scope.spawn(|| admin.send("POST", ROTATE, None))).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let done = replies.iter().filter(|reply| reply.status == 200).count();
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.expect_error(409, "CONFLICT");
    }
    let status = api::rotated(&admin);
    assert_eq!(status["keys"].as_array().unwrap().len(), done + 1);
    assert_eq!(listed(&status).last().unwrap(), &active(done as u64 + 1, 602));
}

#[test]
fn the_log_says_who_rotated_what_came_of_it_and_who_retired() {
    let app = TestApp::start();
    let admin = app.admin();
    api::new_secret(&admin, "development", "A", "v");
    api::rotate(&admin.with("X-Request-Id", "rotated"));
    let retired = admin.with("X-Request-Id", "retired");
    retired.delete(&format!("{KEYS}/1")).expect(200);
    let root = keys(&admin)["rootKey"]["fingerprint"].as_str().unwrap().to_owned();
    let rows = audit_rows(app.stop().path());
    let row = |action: Action| {
        let mut found = rows.iter().filter(|row| row.draft.action == action);
        let row = found.next().unwrap_or_else(|| panic!("{action:?}")).draft.clone();
        assert!(found.next().is_none(), "duplicate {action:?}");
        row
    };
    let details =
        |text: &Option<String>| serde_json::from_str::<Value>(text.as_ref().unwrap()).unwrap();
    let rotate = row(Action::KeyRotate);
    assert_eq!(rotate.request_id.as_deref(), Some("rotated"));
    assert_eq!(rotate.resource.id.as_deref(), Some("2"));
    assert_eq!(details(&rotate.details), json!({ "previous": 1, "rootFingerprint": root }));
    let rewrap = row(Action::KeyRewrap);
    assert_eq!((rewrap.actor.name.as_str(), rewrap.request_id), ("coffer", None));
    assert_eq!(details(&rewrap.details), json!({ "rewrapped": 3, "unopened": 0 }));
    let retire = row(Action::KeyRetire);
    assert_eq!(retire.resource.id.as_deref(), Some("1"));
    assert_eq!(retire.request_id.as_deref(), Some("retired"));
    assert_eq!(details(&retire.details), json!({ "rootFingerprint": root }));
}

/// Values that are set, changed, made write-only and activated while keys change.
#[test]
fn whatever_is_written_during_rotations_opens_after_them() {
    let app = TestApp::start();
    let admin = app.admin();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let admin = &admin;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for number in 0..60 {
                        let key = format!("K_{worker}_{number}");
                        let made = api::new_secret(admin, "development", &key, "first");
                        let id = api::text(&made, "id").to_owned();
                        let path = format!("/api/secrets/{id}");
                        admin.patch(&path, &json!({ "value": "second" })).expect(200);
                        if number % 3 == 0 {
                            let activate = format!("{path}/versions/1/activate");
                            admin.send("POST", &activate, None).expect(200);
                        }
                        if number % 5 == 0 {
                            admin.patch(&path, &json!({ "neverReveal": true })).expect(200);
                        } else {
                            let value = if number % 3 == 0 { "first" } else { "second" };
                            assert_eq!(api::reveal(admin, &id), value);
                            kept.push((id, value));
                        }
                    }
                    kept
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            let old = api::rotate(&admin);
            admin.delete(&format!("{KEYS}/{old}")).expect(200);
        }
        for (id, value) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
            assert_eq!(api::reveal(&admin, &id), value);
        }
    });
    let status = keys(&admin);
    assert_eq!(status["keys"].as_array().unwrap().len(), 1, "{status}");
    let dir = app.stop();
    rows_fit(&data_dir(dir.path()));
    audit_rows(dir.path());
}

#[test]
fn a_deleted_environment_keeps_no_key() {
    let app = TestApp::start();
    let admin = app.admin();
    api::new_environment(&admin, "going");
    for number in 0..300 {
        api::new_secret(&admin, "going", &format!("K_{number}"), "v");
    }
    std::thread::scope(|scope| {
        let deleted = scope.spawn(|| admin.delete("/api/environments/going?force=true"));
        api::rotate(&admin);
        deleted.join().unwrap().expect(200);
    });
    // The deletion was answered when the environment was empty.
    assert_eq!(listed(&keys(&admin))[0], retiring(1, 0));
    admin.delete(&format!("{KEYS}/1")).expect(200);
}

/// A rotation of a database that was edited by an attacker who has no key.
fn rotate_edited(
    edit: impl FnOnce(&TamperedDb, &tampered_db::Table),
) -> (TamperedDb, TestApp, Value) {
    expect_log("cannot rewrap the data key of");
    expect_log("stay under their old wrapping key");
    expect_log("SECRET_UNREADABLE");
    expect_log("was cleared in the database");
    let bench = TamperedDb::new();
    bench.edit(|table| edit(&bench, table));
    let app = bench.restart();
    api::rotate(&app.admin());
    let status = keys(&app.admin());
    (bench, app, status)
}

fn unopened(status: &Value) -> Vec<(String, u64)> {
    let rows = status["unopened"].as_array().unwrap().iter();
    let row = |row: &Value| {
        (row["secretId"].as_str().unwrap().to_owned(), row["version"].as_u64().unwrap())
    };
    let mut rows: Vec<_> = rows.map(row).collect();
    rows.sort();
    rows
}

#[test]
fn a_flag_that_was_cleared_is_not_covered_by_a_rotation() {
    let (bench, app, status) = rotate_edited(|bench, table| {
        let mut row = table.get::<Secrets>(&bench.secret_key("NEVER"));
        row.mode = RevealMode::Revealable;
        table.put::<Secrets>(&bench.secret_key("NEVER"), &row);
    });
    let id = bench.secret("NEVER").id.to_string();
    assert_eq!(unopened(&status), [(id.clone(), 1)]);
    assert_eq!(listed(&status)[0], retiring(1, 1));
    let admin = app.admin();
    admin.delete(&format!("{KEYS}/1")).expect_error(409, "CONFLICT");
    bench.reveal(&app, bench.secret("NEVER")).expect_error(500, "SECRET_UNREADABLE");
    // The data key under the old wrapping key still has the flag: the next write restores it.
    let path = format!("/api/secrets/{id}");
    let fixed = admin.patch(&path, &json!({ "value": "a new value" })).expect(200);
    assert_eq!(fixed["secret"]["neverReveal"], true);
    bench.reveal(&app, bench.secret("NEVER")).expect_error(403, "SECRET_WRITE_ONLY");
    // With the flag restored, the next rotation leaves nothing behind.
    api::rotate(&admin);
    assert_eq!(unopened(&keys(&admin)), []);
    for key in [1, 2] {
        admin.delete(&format!("{KEYS}/{key}")).expect(200);
    }
}

#[test]
fn a_data_key_that_was_moved_opens_nowhere_after_a_rotation() {
    let (bench, app, status) = rotate_edited(|bench, table| {
        let (from, to) = (bench.version_key("NEVER", 1), bench.version_key("FIRST", 1));
        let row = table.get::<Versions>(&from);
        table.put::<Versions>(&to, &row);
    });
    let first = bench.secret("FIRST").id.to_string();
    assert_eq!(unopened(&status), [(first.clone(), 1)]);
    bench.reveal(&app, bench.secret("FIRST")).expect_error(500, "SECRET_UNREADABLE");
    bench.reveal(&app, bench.secret("NEVER")).expect_error(403, "SECRET_WRITE_ONLY");
    for key in ["SECOND", "BYSTANDER", "TWICE", "LONG3"] {
        let secret = bench.secret(key);
        assert_eq!(bench.reveal(&app, secret).expect(200)["value"], secret.value.as_str());
    }
    // Once the secret is deleted, nothing needs the old key.
    let admin = app.admin();
    admin.delete(&format!("{KEYS}/1")).expect_error(409, "CONFLICT");
    admin.delete(&format!("/api/secrets/{first}")).expect(200);
    admin.delete(&format!("{KEYS}/1")).expect(200);
}

#[test]
fn a_damaged_row_is_named_and_keeps_the_key_until_its_secret_is_deleted() {
    let (bench, app, status) = rotate_edited(|bench, table| {
        let at = bench.version_key("SECOND", 1);
        table.put_bytes::<Versions>(&at, &[1, 2, 3]);
        // Flip a bit of another secret's wrapped key.
        let at = bench.version_key("TWICE", 1);
        let bytes = table.bytes::<Versions>(&at);
        table.put_bytes::<Versions>(&at, &flip(bytes, 20, 1));
    });
    let (second, twice) = (bench.secret("SECOND").id, bench.secret("TWICE").id);
    let mut wanted = [(second.to_string(), 1), (twice.to_string(), 1)];
    wanted.sort();
    assert_eq!(unopened(&status), wanted);
    assert_eq!(status["rotation"]["left"], 2);
    assert_eq!(
        bench.reveal(&app, bench.secret("TWICE")).expect(200)["value"],
        "the value of TWICE"
    );
    let admin = app.admin();
    for id in [second, twice] {
        let refused = admin.delete(&format!("{KEYS}/1")).expect_error(409, "CONFLICT");
        assert!(refused["hint"].as_str().unwrap().contains("deleted"), "{refused}");
        admin.delete(&format!("/api/secrets/{id}")).expect(200);
    }
    admin.delete(&format!("{KEYS}/1")).expect(200);
}

#[test]
fn a_version_number_that_was_turned_back_hides_no_version_from_a_rotation() {
    let (bench, app, status) = rotate_edited(|bench, table| {
        let mut row = table.get::<Secrets>(&bench.secret_key("TWICE"));
        row.version = Version::FIRST;
        table.put::<Secrets>(&bench.secret_key("TWICE"), &row);
    });
    assert_eq!(unopened(&status), []);
    app.admin().delete(&format!("{KEYS}/1")).expect(200);
    let value = bench.reveal(&app, bench.secret("TWICE")).expect(200)["value"].clone();
    assert_eq!(value, "the old value of TWICE");
}

#[test]
fn a_damaged_record_of_a_rotation_stops_nobody() {
    expect_log("cannot read the last rotation");
    let bench = TamperedDb::new();
    let app = bench.restart();
    api::rotate(&app.admin());
    bench.stopped_again(app);
    bench.edit(|table| table.put_bytes::<Rotation>(&(), &[9, 9]));
    let app = bench.restart();
    let admin = app.admin();
    assert_eq!(keys(&admin)["rotation"], Value::Null);
    assert_eq!(api::rotate(&admin), 2);
    for key in [1, 2] {
        admin.delete(&format!("{KEYS}/{key}")).expect(200);
    }
}

#[test]
fn a_rotation_that_is_asked_for_again_is_answered_again_and_not_begun_again() {
    let app = TestApp::start();
    let once = app.admin().with("Idempotency-Key", "just once");
    let first = once.send("POST", ROTATE, None);
    first.expect(200);
    api::rotated(&app.admin());
    let again = once.send("POST", ROTATE, None);
    assert_eq!(again.expect(200), first.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(keys(&app.admin())["keys"].as_array().unwrap().len(), 2);
}
