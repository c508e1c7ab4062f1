//! A disk that fills up: the real binary runs on a small tmpfs while another process takes the
//! remaining space. Mounting the tmpfs requires root.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use serde_json::json;
use support::paths::SECRETS;
use support::process::{Launch, Server};
use support::small_disk::{MIB, SmallDisk};
use support::tier;
use support::{audit_rows, rows_fit, skip};

/// With less free space than this, the server refuses writes (`store::Options::min_free_bytes`).
const FLOOR: u64 = 64 * MIB;

/// The number of writes that must be acknowledged before another process takes the space.
const WELL: usize = 12;

/// Acknowledged values by secret ID.
type Acknowledged = BTreeMap<String, String>;

/// Creates secrets until one is refused because of low disk space (`true`), or until the server has
/// exited or is about to exit because the disk is full (`false`).
fn put_until_refused(
    server: &Server,
    name: &str,
    values: &mut Acknowledged,
    acknowledged: &Sender<()>,
) -> bool {
    let admin = server.admin();
    for number in 0..10_000 {
        let value = format!("value {number} of {name} {}", "~".repeat(40_000));
        let body = json!({ "key": format!("{name}_{number}"), "value": value }).to_string();
        let text = support::process::request(&server.token(), name, "POST", SECRETS, &body);
        let Ok(reply) = admin.try_raw("POST", text.as_bytes()) else { return false };
        if reply.status != 200 {
            let error = reply.expect_error(503, "SERVICE_UNAVAILABLE");
            assert!(reply.header("retry-after").is_some());
            return error["message"].as_str().unwrap().contains("too little free space");
        }
        let id = reply.json()["secret"]["id"].as_str().unwrap().to_owned();
        values.insert(id, value);
        // Not every caller receives these.
        let _ = acknowledged.send(());
    }
    panic!("the disk never filled up");
}

/// Fails unless every acknowledged secret is listed and can be revealed.
fn holds(server: &Server, values: &Acknowledged) {
    let admin = server.admin();
    let list = admin.get(SECRETS).expect(200);
    assert!(list["secrets"].as_array().unwrap().len() >= values.len());
    for (id, value) in values {
        let body = admin.get(&format!("/api/secrets/{id}/value")).expect(200);
        assert_eq!(body["value"], *value);
    }
}

/// Fails unless reads that write no audit row still work.
fn reads_go_on(server: &Server, values: &Acknowledged) {
    let admin = server.admin();
    let list = admin.get(SECRETS).expect(200);
    assert!(list["secrets"].as_array().unwrap().len() >= values.len());
    let id = values.keys().next().unwrap();
    admin.get(&format!("/api/secrets/{id}")).expect(200);
    admin.get(&format!("/api/secrets/{id}/versions")).expect(200);
    let health = admin.get("/health").expect(503);
    assert_eq!(health["status"], "unavailable");
}

fn is_sound(at: &Path) {
    rows_fit(&at.join("data"));
    audit_rows(at);
}

macro_rules! small_or_skip {
    ($bytes:expr) => {
        match SmallDisk::mount($bytes) {
            Ok(small) => small,
            Err(reason) => return skip(reason),
        }
    };
}

#[test]
fn at_the_floor_writes_are_refused_until_there_is_space_again() {
    let small = small_or_skip!(FLOOR + 24 * MIB);
    let launch = Launch::on(&small.at.join("data"));
    let launch = launch.variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let server = launch.start();
    let mut values = Acknowledged::new();
    small.leave(FLOOR + 4 * MIB);
    let (acknowledged, _) = channel();
    assert!(
        put_until_refused(&server, "FIRST", &mut values, &acknowledged),
        "the server has exited"
    );
    assert!(values.len() >= 10, "refused with {} bytes free", small.free());
    // The floor is well above what one group commit may write.
    assert!(small.free() > FLOOR / 2);
    reads_go_on(&server, &values);
    // Deletes free space, so they still work.
    let (id, _) = values.pop_first().unwrap();
    server.admin().delete(&format!("/api/secrets/{id}")).expect(200);
    // Another process takes even the reserve: the server writes nothing more.
    small.leave(0);
    reads_go_on(&server, &values);
    let id = values.keys().next().unwrap();
    let admin = server.admin();
    admin.get(&format!("/api/secrets/{id}/value")).expect_error(503, "SERVICE_UNAVAILABLE");
    admin.delete(&format!("/api/secrets/{id}")).expect_error(503, "SERVICE_UNAVAILABLE");
    let new = json!({ "key": "NONE", "value": "v" });
    admin.post(SECRETS, &new).expect_error(503, "SERVICE_UNAVAILABLE");
    let patch = json!({ "value": "another" });
    admin.patch(&format!("/api/secrets/{id}"), &patch).expect_error(503, "SERVICE_UNAVAILABLE");
    // The same process recovers as soon as there is space.
    small.make_room();
    admin.post(SECRETS, &json!({ "key": "AGAIN", "value": "v" })).expect(200);
    assert_eq!(admin.get("/health").expect(200)["status"], "ok");
    holds(&server, &values);
    server.stop();
    is_sound(&small.at);
}

#[test]
fn another_process_may_take_the_space_while_writes_are_under_way() {
    let small = small_or_skip!(FLOOR + 40 * MIB);
    let launch = Launch::on(&small.at.join("data"));
    let launch = launch.variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let mut values = Acknowledged::new();
    let mut server = launch.start();
    for round in 0..tier::rounds(5, 2) {
        let is_there = AtomicBool::new(true);
        let (acknowledged, come) = channel();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (server, is_there, acknowledged) =
                        (&server, &is_there, acknowledged.clone());
                    scope.spawn(move || {
                        let mut own = Acknowledged::new();
                        let name = format!("R{round}_C{client}");
                        if !put_until_refused(server, &name, &mut own, &acknowledged) {
                            is_there.store(false, Ordering::SeqCst);
                        }
                        own
                    })
                })
                .collect();
            // Acknowledged writes exist, and more are in flight.
            drop(acknowledged);
            assert_eq!(
                come.iter().take(WELL).count(),
                WELL,
                "a write was refused although space was left"
            );
            small.leave(0);
            clients.into_iter().for_each(|client| values.extend(client.join().unwrap()));
        });
        assert!(values.len() >= WELL);
        if is_there.load(Ordering::SeqCst) {
            reads_go_on(&server, &values);
            small.make_room();
            holds(&server, &values);
            let body = json!({ "key": format!("AFTER_{round}"), "value": "v" });
            server.admin().post(SECRETS, &body).expect(200);
        } else {
            // The server hit the end of the disk in spite of the floor.
            let ended = server.running.wait();
            assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
            small.make_room();
            server = launch.start();
            holds(&server, &values);
        }
        // Frees space for the next round.
        for id in std::mem::take(&mut values).into_keys() {
            server.admin().delete(&format!("/api/secrets/{id}")).expect(200);
        }
    }
    server.stop();
    is_sound(&small.at);
}

/// On a full disk a server cannot even open its database. It reports that, loses nothing, and
/// starts when there is space again.
#[test]
fn a_start_on_a_full_disk_loses_nothing() {
    let small = small_or_skip!(FLOOR + 24 * MIB);
    let launch = Launch::on(&small.at.join("data"));
    let server = launch.start();
    let body = json!({ "key": "KEPT", "value": "kept" });
    let made = server.admin().post(SECRETS, &body).expect(200);
    let id = made["secret"]["id"].as_str().unwrap().to_owned();
    let values = Acknowledged::from([(id, "kept".to_owned())]);
    server.kill();
    small.leave(0);
    match launch.try_start() {
        Ok(server) => {
            reads_go_on(&server, &values);
            server.stop();
        }
        Err(ended) => {
            assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
            assert!(ended.stderr.contains("coffer: "), "{ended:#?}");
            assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
        }
    }
    small.make_room();
    let server = launch.start();
    holds(&server, &values);
    server.stop();
    is_sound(&small.at);
}

/// Creates secrets of about `mib` MiB in total.
fn put_mib(server: &Server, name: &str, mib: u64) {
    for number in 0..mib * MIB / 50_000 {
        let value = format!("value {number} of {name} {}", "~".repeat(50_000));
        let body = json!({ "key": format!("{name}_{number}"), "value": value });
        server.admin().post(SECRETS, &body).expect(200);
    }
}

/// The backup used to continue until the disk was full, past the floor and the reserve, so the
/// database hit a full disk.
#[test]
fn a_scheduled_backup_leaves_the_space_that_the_database_needs() {
    let small = small_or_skip!(FLOOR + 72 * MIB);
    let launch = Launch::on(&small.at.join("data"));
    let launch = launch.variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
    let server = launch.start();
    put_mib(&server, "BIG", 12);
    server.stop();
    small.leave(FLOOR + 6 * MIB);
    let backups = small.at.join("backups");
    let scheduled = launch.variable("COFFER_BACKUP__DIRECTORY", &backups);
    let server = scheduled.start();
    let said = server.running.stderr.wait_for(|line| line.contains("scheduled backup failed"));
    let said = said.expect("the log reports the failed backup");
    assert!(said.contains("ERROR") && said.contains("Free up disk space"), "{said}");
    assert!(small.free() >= FLOOR, "only {} bytes are left", small.free());
    let left: Vec<_> =
        std::fs::read_dir(&backups).unwrap().map(|one| one.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().unwrap() == "lock"), "{left:?}");
    server.admin().post(SECRETS, &json!({ "key": "AFTER", "value": "v" })).expect(200);
    // The audit row is written before the log line.
    let rows = server.admin().get("/api/audit-logs?action=backup.create").expect(200);
    assert_eq!(rows["total"], 1, "{rows}");
    assert_eq!(rows["logs"][0]["success"], false, "{rows}");

    // The same applies when the CLI writes a backup to that disk.
    let file = small.at.join("a.backup");
    let words = ["backup", "create"];
    let made = support::cli::Cli::of(&server)
        .launch(words)
        .argument(&file)
        .argument("--data-dir")
        .argument(&server.data_dir)
        .run("");
    made.refuses(1, ["the database itself needs", "Free up disk space"]);
    assert!(small.free() >= FLOOR && !file.exists());
    small.make_room();
    server.stop();
    is_sound(&small.at);
}

/// The backup used to be refused, and the message named the backup file.
#[test]
fn a_full_data_disk_does_not_keep_an_offline_backup_from_another_disk() {
    let small = small_or_skip!(FLOOR + 40 * MIB);
    let server = Launch::on(&small.at.join("data")).start();
    put_mib(&server, "S", 1);
    server.stop();
    small.leave(FLOOR / 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        let words = ["backup", "create", "--offline", name, "--data-dir"];
        Launch::bare(elsewhere.path()).arguments(words).argument(small.at.join("data")).run("")
    };
    let made = create("a.backup");
    assert_eq!(made.code, Some(0), "{made:#?}");
    assert!(elsewhere.path().join("a.backup").exists());
    small.leave(FLOOR / 8);
    let refused = create("b.backup");
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let data = small.at.join("data");
    for word in [data.to_str().unwrap(), "too little free space", "Free up some disk space"] {
        assert!(refused.stderr.contains(word), "no {word:?} in {refused:#?}");
    }
    small.make_room();
    is_sound(&small.at);
}
