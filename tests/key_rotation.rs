//! Rotation by the real binary: under load, and killed again and again at
//! whatever step it is, on one directory. Every secret opens before, during and
//! after; what was begun is gone on with.

mod harness;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer::audit::Action;
use coffer::store::{Keys, Rotation, RotationRow, View};
use harness::process::{Launch, Server};
use harness::{Client, acts, audit_rows, await_release, data_dir, open_stopped, rows_fit};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEYS: &str = "/api/admin/keys";
const ROTATE: &str = "/api/admin/keys/rotate";

fn launch(dir: &TempDir) -> Launch {
    Launch::on(&data_dir(dir.path())).variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
}

/// Values by id of what can be revealed, and the ids of what cannot.
struct Stock {
    values: BTreeMap<String, String>,
    never: Vec<String>,
}

impl Stock {
    /// So many secrets, each tenth of them never to be revealed, some of them with
    /// two versions.
    fn of(admin: &Client, count: usize) -> Self {
        let stock = Mutex::new(Self { values: BTreeMap::new(), never: Vec::new() });
        std::thread::scope(|scope| {
            for part in 0..4 {
                let stock = &stock;
                scope.spawn(move || {
                    for number in (part..count).step_by(4) {
                        let (id, value) = Self::put(admin, number);
                        let mut stock = stock.lock().unwrap();
                        match value {
                            Some(value) => drop(stock.values.insert(id, value)),
                            None => stock.never.push(id),
                        }
                    }
                });
            }
        });
        stock.into_inner().unwrap()
    }

    fn put(admin: &Client, number: usize) -> (String, Option<String>) {
        let value = format!("value {number}");
        let never = number.is_multiple_of(10);
        let body = json!({ "key": format!("K_{number}"), "value": value, "neverReveal": never });
        let made = admin.post("/api/environments/development/secrets", &body).expect(200);
        let id = made["secret"]["id"].as_str().unwrap().to_owned();
        if !number.is_multiple_of(7) || never {
            return (id, (!never).then_some(value));
        }
        let value = format!("second value {number}");
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        (id, Some(value))
    }

    #[track_caller]
    fn holds(&self, admin: &Client) {
        for (id, value) in &self.values {
            assert_eq!(&acts::reveal(admin, id), value);
        }
        for id in &self.never {
            let refused = admin.get(&format!("/api/secrets/{id}/value"));
            refused.expect_error(403, "SECRET_WRITE_ONLY");
        }
    }

    /// A few of them, for when there is no time for all.
    #[track_caller]
    fn holds_here_and_there(&self, admin: &Client) {
        for (id, value) in self.values.iter().step_by(self.values.len() / 8 + 1) {
            assert_eq!(&acts::reveal(admin, id), value);
        }
    }
}

/// How far the rotation of a stopped server is.
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
    let stock = Stock::of(&admin, 400);
    let over = AtomicBool::new(false);
    let (reveals, writes) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !over.load(Ordering::Relaxed) {
                        stock.holds_here_and_there(&admin);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let writer = scope.spawn(|| {
            let mut number = 1000;
            while !over.load(Ordering::Relaxed) {
                let (id, value) = Stock::put(&admin, number);
                if let Some(value) = value {
                    assert_eq!(acts::reveal(&admin, &id), value);
                }
                number += 1;
            }
            number - 1000
        });
        for _ in 0..12 {
            let old = acts::rotate(&admin);
            admin.delete(&format!("{KEYS}/{old}")).expect(200);
        }
        over.store(true, Ordering::Relaxed);
        let reveals: usize = readers.into_iter().map(|one| one.join().unwrap()).sum();
        (reveals, writer.join().unwrap())
    });
    assert!(reveals > 0 && writes > 0);
    stock.holds(&admin);
    let ended = server.stop();
    assert!(!ended.stderr.contains("WARN") && !ended.stderr.contains("ERROR"), "{ended:#?}");
    rows_fit(&data_dir(dir.path()));
    audit_rows(dir.path());
}

/// Kills the server once the rotation has come so far, or as soon as it is over.
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
    let stock = Stock::of(&server.admin(), 2500);
    let mut server = Some(server);
    let mut cut_off = 0;
    for round in 0..24_u64 {
        let running = server.take().unwrap();
        let admin = running.admin();
        let status = acts::rotated(&admin);
        for key in status["keys"].as_array().unwrap() {
            if key["state"] == "retiring" {
                assert_eq!(key["wrapped"], 0, "{status}");
                admin.delete(&format!("{KEYS}/{}", key["id"])).expect(200);
            }
        }
        let begun = admin.send("POST", ROTATE, None).expect(200);
        let key = begun["rotation"]["key"].clone();
        if round % 6 == 0 {
            // At once, whatever it is doing.
            running.kill();
        } else {
            kill_at(running, round * 97);
        }
        let row = rotation(&dir).expect("it was begun");
        assert_eq!(json!(row.to.0), key);
        cut_off += usize::from(row.finished_at.is_none());
        if round % 8 == 0 {
            rows_fit(&data_dir(dir.path()));
            await_release(&data_dir(dir.path()));
        }
        let again = launch(&dir).start();
        let admin = again.admin();
        // Right away, while it goes on.
        stock.holds_here_and_there(&admin);
        let after = acts::rotated(&admin);
        assert_eq!(after["rotation"]["key"], key);
        assert_eq!(after["rotation"]["left"], 0, "{after}");
        assert_eq!(after["unopened"], json!([]));
        server = Some(again);
    }
    println!("{cut_off} of 24 rotations were cut off by the kill");
    assert!(cut_off >= 8, "most kills came too late: {cut_off}");
    let server = server.unwrap();
    let admin = server.admin();
    stock.holds(&admin);
    let first = stock.values.keys().next().unwrap();
    admin.send("POST", &format!("/api/secrets/{first}/versions/1/activate"), None).expect(200);
    let never = format!("/api/secrets/{}", stock.never[0]);
    admin.send("POST", &format!("{never}/versions/1/activate"), None).expect(200);
    admin.get(&format!("{never}/value")).expect_error(403, "SECRET_WRITE_ONLY");
    server.stop();
    rows_fit(&data_dir(dir.path()));
    await_release(&data_dir(dir.path()));
    // Each rotation is in the log once, and so is its end.
    let rows = audit_rows(dir.path());
    let keys = |action: Action| -> Vec<_> {
        let of = rows.iter().filter(|row| row.draft.action == action);
        of.map(|row| row.draft.resource.id.clone().unwrap()).collect()
    };
    let wanted: Vec<_> = (2..=25).map(|key| key.to_string()).collect();
    assert_eq!(keys(Action::KeyRotate), wanted);
    assert_eq!(keys(Action::KeyRewrap), wanted);
}

/// Retiring is one write: the key is there or it is not.
#[test]
fn a_kill_at_a_retirement_leaves_the_key_or_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = launch(&dir).start();
    let stock = Stock::of(&server.admin(), 60);
    let mut server = Some(server);
    for round in 0..6 {
        let running = server.take().unwrap();
        let admin = running.admin();
        let old = acts::rotate(&admin);
        let token = running.token();
        let path = format!("{KEYS}/{old}");
        let text =
            harness::process::request(&token, &format!("retire-{round}"), "DELETE", &path, "");
        let answered = std::thread::scope(|scope| {
            let sent = scope.spawn(|| admin.try_raw("DELETE", text.as_bytes()));
            (0..round * 20_000).for_each(|_| std::hint::spin_loop());
            running.kill();
            sent.join().unwrap().is_ok_and(|reply| reply.status == 200)
        });
        let opened = open_stopped(&data_dir(dir.path()));
        let key = coffer::store::KeyId(u32::try_from(old).unwrap());
        let gone = opened.get::<Keys>(&key).unwrap().is_none();
        assert!(gone || !answered, "an answered retirement did not last");
        drop(opened);
        rows_fit(&data_dir(dir.path()));
        await_release(&data_dir(dir.path()));
        let again = launch(&dir).start();
        stock.holds(&again.admin());
        server = Some(again);
    }
    server.unwrap().stop();
    audit_rows(dir.path());
}

/// Nobody can wrap under the old key behind the change that made the new one.
#[test]
fn a_client_that_goes_away_does_not_stop_a_rotation() {
    use std::io::Write;

    let dir = tempfile::tempdir().unwrap();
    let server = launch(&dir).start();
    let admin = server.admin();
    Stock::of(&admin, 500);
    let text = harness::process::request(&server.token(), "gone", "POST", ROTATE, "");
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    // The request is under way when its row is there.
    loop {
        let logs = admin.get("/api/audit-logs?action=key.rotate").expect(200);
        if logs["total"] != json!(0) {
            break;
        }
    }
    drop(stream);
    let status = acts::rotated(&admin);
    assert_eq!(status["rotation"]["left"], 0, "{status}");
    assert_ne!(status["rotation"]["finishedAt"], Value::Null);
    server.stop();
}
