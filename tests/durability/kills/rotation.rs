//! Key rotation with the real binary, under load and with repeated kills at any step on one
//! directory. Every secret opens before, during and after. An interrupted rotation is resumed.

use std::sync::atomic::{AtomicBool, Ordering};

use coffer::audit::Action;
use coffer::store::{Rotation, RotationRow, View};
use serde_json::{Value, json};
use support::paths::{KEYS, ROTATE};
use support::process::{Launch, Server};
use support::sample_secrets::SampleSecrets;
use support::tier;
use support::{api, audit_rows, await_release, data_dir, open_stopped, rows_fit};
use tempfile::TempDir;

fn launch(dir: &TempDir) -> Launch {
    Launch::on(&data_dir(dir.path())).variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
}

/// Reads the state of the rotation of a stopped server.
fn rotation(dir: &TempDir) -> Option<RotationRow> {
    let opened = open_stopped(&data_dir(dir.path()));
    let row = opened.get::<Rotation>(&()).unwrap();
    drop(opened);
    await_release(&data_dir(dir.path()));
    row
}

#[test]
fn secrets_are_revealed_and_written_while_keys_change() {
    let dir = tempfile::tempdir().unwrap();
    let server = launch(&dir).start();
    let admin = server.admin();
    let samples = SampleSecrets::of(&admin, 400);
    let over = AtomicBool::new(false);
    let (reveals, writes) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !over.load(Ordering::Relaxed) {
                        samples.holds_here_and_there(&admin);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let writer = scope.spawn(|| {
            let mut number = 1000;
            while !over.load(Ordering::Relaxed) {
                let (id, value) = SampleSecrets::put(&admin, number);
                if let Some(value) = value {
                    assert_eq!(api::reveal(&admin, &id), value);
                }
                number += 1;
            }
            number - 1000
        });
        for _ in 0..tier::rounds(12, 4) {
            let old = api::rotate(&admin);
            admin.delete(&format!("{KEYS}/{old}")).expect(200);
        }
        over.store(true, Ordering::Relaxed);
        let reveals: usize = readers.into_iter().map(|one| one.join().unwrap()).sum();
        (reveals, writer.join().unwrap())
    });
    assert!(reveals > 0 && writes > 0);
    samples.holds(&admin);
    let ended = server.stop();
    assert!(!ended.stderr.contains("WARN") && !ended.stderr.contains("ERROR"), "{ended:#?}");
    rows_fit(&data_dir(dir.path()));
    audit_rows(dir.path());
}

/// Kills the server once it has rewrapped this many keys, or as soon as the rotation is complete.
fn kill_at(server: Server, rewrapped: u64) {
    let admin = server.admin();
    loop {
        let status = admin.get(KEYS).expect(200);
        let rotation = &status["rotation"];
        if rotation["rewrapped"].as_u64() >= Some(rewrapped) || !rotation["finishedAt"].is_null() {
            break;
        }
    }
    server.kill();
}

#[test]
fn a_rotation_goes_on_after_a_kill_at_any_step() {
    let dir = tempfile::tempdir().unwrap();
    let server = launch(&dir).start();
    let (secrets, rounds) = tier::rounds((2500, 24), (1250, 7));
    let samples = SampleSecrets::of(&server.admin(), secrets);
    let mut server = Some(server);
    let mut cut_off = 0;
    for round in 0..rounds {
        let running = server.take().unwrap();
        let admin = running.admin();
        let status = api::rotated(&admin);
        for key in status["keys"].as_array().unwrap() {
            if key["state"] == "retiring" {
                assert_eq!(key["wrapped"], 0, "{status}");
                admin.delete(&format!("{KEYS}/{}", key["id"])).expect(200);
            }
        }
        let begun = admin.send("POST", ROTATE, None).expect(200);
        let key = begun["rotation"]["key"].clone();
        if round % 6 == 0 {
            // Kills it immediately, whatever it is doing.
            running.kill();
        } else {
            kill_at(running, round * 97);
        }
        let row = rotation(&dir).expect("the rotation has begun");
        assert_eq!(json!(row.to.0), key);
        cut_off += usize::from(row.finished_at.is_none());
        if round % 8 == 0 {
            rows_fit(&data_dir(dir.path()));
            await_release(&data_dir(dir.path()));
        }
        let again = launch(&dir).start();
        let admin = again.admin();
        // Secrets open right away, while the rotation continues.
        samples.holds_here_and_there(&admin);
        let after = api::rotated(&admin);
        assert_eq!(after["rotation"]["key"], key);
        assert_eq!(after["rotation"]["left"], 0, "{after}");
        assert_eq!(after["unopened"], json!([]));
        server = Some(again);
    }
    println!("{cut_off} of {rounds} rotations were interrupted by the kill");
    assert!(
        cut_off as u64 >= rounds / 3,
        "most kills came too late: only {cut_off} of {rounds} interrupted a rotation"
    );
    let server = server.unwrap();
    let admin = server.admin();
    samples.holds(&admin);
    let first = samples.values.keys().next().unwrap();
    admin.send("POST", &format!("/api/secrets/{first}/versions/1/activate"), None).expect(200);
    let never = format!("/api/secrets/{}", samples.never[0]);
    admin.send("POST", &format!("{never}/versions/1/activate"), None).expect(200);
    admin.get(&format!("{never}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    server.stop();
    rows_fit(&data_dir(dir.path()));
    await_release(&data_dir(dir.path()));
    // Each rotation is in the audit log exactly once, and so is its completion.
    let rows = audit_rows(dir.path());
    let keys = |action: Action| -> Vec<_> {
        let of = rows.iter().filter(|row| row.draft.action == action);
        of.map(|row| row.draft.resource.id.clone().unwrap()).collect()
    };
    let wanted: Vec<_> = (2..=rounds + 1).map(|key| key.to_string()).collect();
    assert_eq!(keys(Action::KeyRotate), wanted);
    assert_eq!(keys(Action::KeyRewrap), wanted);
}

/// No client can wrap under the old key after the change that created the new one.
#[test]
fn a_client_that_goes_away_does_not_stop_a_rotation() {
    use std::io::Write;

    let dir = tempfile::tempdir().unwrap();
    let server = launch(&dir).start();
    let admin = server.admin();
    SampleSecrets::of(&admin, 500);
    let text = support::process::request(&server.token(), "gone", "POST", ROTATE, "");
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    // The request is in progress once its audit row exists.
    loop {
        let logs = admin.get("/api/audit-logs?action=key.rotate").expect(200);
        if logs["total"] != json!(0) {
            break;
        }
    }
    drop(stream);
    let status = api::rotated(&admin);
    assert_eq!(status["rotation"]["left"], 0, "{status}");
    assert_ne!(status["rotation"]["finishedAt"], Value::Null);
    server.stop();
}
