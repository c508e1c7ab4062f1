//! Starts after a crash, on a full disk, or with a damaged cache.

use coffer::domain::Role;
use coffer::store::{Environments, PendingDeletions, Table, View};
use serde_json::json;
use support::paths::SECRETS;
use support::process::Launch;
use support::{Setup, TestApp, data_dir, expect_log, open_stopped, rows_fit};

/// sled reports a damaged snapshot as a damaged database, but a snapshot is only a cache.
#[test]
fn a_damaged_snapshot_is_set_aside_and_nothing_is_lost() {
    let (_dir, data) = stopped_with_a_secret();
    // Every start writes a snapshot.
    Launch::on(&data).start().stop();
    assert!(!snapshots(&data).is_empty());
    for damage in [0, 5] {
        for snapshot in snapshots(&data) {
            let file = std::fs::OpenOptions::new().write(true).open(snapshot).unwrap();
            file.set_len(damage).unwrap();
        }
        let server = Launch::on(&data).start();
        let listed = server.admin().get(SECRETS).expect(200);
        assert_eq!(listed["secrets"][0]["key"], "KEPT");
        let ended = server.stop();
        assert!(ended.stderr.contains("snapshot is damaged"), "{}", ended.stderr);
    }
    // The damaged files are kept, once per occurrence.
    assert!(data.join("db.damaged.1").is_dir() && data.join("db.damaged.2").is_dir());
    assert!(!data.join("db.trial").exists());
    rows_fit(&data);
}

/// The state that a power cut leaves if the zeros of an opening reached the disk before the name of
/// its snapshot. sled syncs the snapshot, but not its rename. With an older snapshot, or without
/// one, overwritten data is missing from the log.
#[test]
fn a_snapshot_whose_name_was_lost_gets_it_after_an_opening_that_was_cut_off() {
    expect_log("snapshot");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Launch::on(&data).start();
    let admin = server.admin();
    let kept = admin.post(SECRETS, &json!({ "key": "KEPT", "value": "kept" })).expect(200);
    let path = format!("/api/secrets/{}", kept["secret"]["id"].as_str().unwrap());
    // Fills several segments, most of which are unused at the end.
    for number in 0..60 {
        let value = format!("{number} {}", "~".repeat(60_000));
        admin.patch(&path, &json!({ "value": value })).expect(200);
    }
    admin.patch(&path, &json!({ "value": "newest" })).expect(200);
    server.stop();
    drop(open_stopped(&data));
    support::await_release(&data);
    let newest = snapshots(&data).into_iter().max().expect("an opening leaves one");
    let nameless = std::path::PathBuf::from(format!("{}.generating", newest.display()));
    let lose_the_name = || {
        for other in snapshots(&data).iter().filter(|path| **path != newest) {
            std::fs::remove_file(other).unwrap();
        }
        std::fs::rename(&newest, &nameless).unwrap();
        std::fs::write(data.join("opening"), "").unwrap();
        // A further opening was interrupted as well; its partial snapshot must not prevent the
        // start.
        std::fs::write(data.join("db/again.generating"), "half").unwrap();
    };
    lose_the_name();
    let server = Launch::on(&data).start();
    let value = server.admin().get(&format!("{path}/value")).expect(200);
    assert_eq!(value["value"], "newest");
    let ended = server.stop();
    assert!(ended.stderr.contains("whose name was lost"), "{}", ended.stderr);
    assert!(!nameless.exists() && !data.join("opening").exists());
    assert!(!data.join("db/again.generating").exists());
    rows_fit(&data);
}

/// sled does not sync its settings, so an interrupted first start left half of them, and every
/// later start refused. Found by cutting the power at each step of a start.
#[test]
fn settings_that_are_not_whole_are_made_anew() {
    let (_dir, data) = stopped_with_a_secret();
    let settings = data.join("db/conf");
    let whole = std::fs::read(&settings).unwrap();
    let half = [&whole[..whole.len() / 2], &vec![0; whole.len().div_ceil(2)][..]].concat();
    let mut flipped = whole.clone();
    flipped[3] ^= 1;
    for damaged in [&half[..], &flipped, &whole[..20], &whole[..3], b""] {
        std::fs::write(&settings, damaged).unwrap();
        let server = Launch::on(&data).start();
        assert_eq!(server.admin().get(SECRETS).expect(200)["secrets"][0]["key"], "KEPT");
        server.stop();
        assert_eq!(std::fs::read(&settings).unwrap(), whole);
    }
    rows_fit(&data);
}

/// Only a complete snapshot gets its name, and only after an interrupted opening: sled considers
/// the newest name to be the newest state.
#[test]
fn a_snapshot_without_a_name_is_removed_otherwise() {
    let (_dir, data) = stopped_with_a_secret();
    Launch::on(&data).start().stop();
    let whole = std::fs::read(snapshots(&data).into_iter().max().unwrap()).unwrap();
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    let empty = [0; 12].to_vec();
    let nameless = data.join("db/snap.7FFFFFFFFFFFFF00.generating");
    for (bytes, was_cut_off) in
        [(&whole, false), (&damaged, true), (&empty, true), (&Vec::new(), true)]
    {
        std::fs::write(&nameless, bytes).unwrap();
        if was_cut_off {
            std::fs::write(data.join("opening"), "").unwrap();
        }
        let server = Launch::on(&data).start();
        assert_eq!(server.admin().get(SECRETS).expect(200)["secrets"][0]["key"], "KEPT");
        server.stop();
        assert!(!nameless.exists() && !nameless.with_extension("").exists());
    }
}

/// Creates the data directory of a stopped server with the secret KEPT.
fn stopped_with_a_secret() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Launch::on(&data).start();
    server.admin().post(SECRETS, &json!({ "key": "KEPT", "value": "kept" })).expect(200);
    server.stop();
    (dir, data)
}

/// Lists sled's snapshots.
fn snapshots(data: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(data.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &std::path::PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with("snap.")
    };
    entries.filter(is_snapshot).collect()
}

/// Without its snapshot sled opens as much of a damaged log as it can read. That is an older state,
/// where deleted secrets are back and latched secrets are not latched.
#[test]
fn a_damaged_log_is_not_opened_in_an_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Launch::on(&data).start();
    for n in 0..40 {
        server.admin().post(SECRETS, &json!({ "key": format!("K{n}"), "value": "v" })).expect(200);
    }
    server.stop();
    Launch::on(&data).start().stop();
    let token = std::fs::read(data.join("bootstrap-token")).unwrap();
    let whole = std::fs::read(data.join("db/db")).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [0, 20, 100, 600, 1500, 3000, end / 2, end * 3 / 4] {
        let mut damaged = whole.clone();
        damaged[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        check_refused(&data, &damaged, &format!("64 bytes at {at}"));
    }
    check_refused(&data, &[], "nothing left");
    check_refused(&data, &whole[..end / 2], "half of it left");
    assert_eq!(std::fs::read(data.join("bootstrap-token")).unwrap(), token);
    std::fs::write(data.join("db/db"), &whole).unwrap();
    let server = Launch::on(&data).start();
    assert_eq!(server.admin().get(SECRETS).expect(200)["secrets"].as_array().unwrap().len(), 40);
    server.stop();
    rows_fit(&data);
}

/// Starts twice, because the first refusal must not make the second start succeed.
#[track_caller]
fn check_refused(data: &std::path::Path, log: &[u8], what: &str) {
    for _ in 0..2 {
        std::fs::write(data.join("db/db"), log).unwrap();
        let ended = Launch::on(data).fails();
        assert!(ended.stderr.contains("backup"), "{what}: {}", ended.stderr);
        assert!(!ended.stdout.contains("new database"), "{what}");
    }
}

/// For example, a volume that is not mounted, or a directory that was removed.
#[test]
fn an_empty_directory_where_there_was_a_database_is_not_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Launch::on(&data).start().stop();
    let token = std::fs::read(data.join("bootstrap-token")).unwrap();
    std::fs::remove_dir_all(data.join("db")).unwrap();
    let ended = Launch::on(&data).fails();
    assert!(ended.stderr.contains("but it was not before"), "{}", ended.stderr);
    assert_eq!(std::fs::read(data.join("bootstrap-token")).unwrap(), token);
    std::fs::remove_file(data.join("in-use")).unwrap();
    Launch::on(&data).start().stop();
    assert_ne!(std::fs::read(data.join("bootstrap-token")).unwrap(), token);
}

/// A deletion empties its environment in batches, and a crash may come in between.
#[test]
fn a_deletion_that_was_cut_off_is_finished_by_the_next_start() {
    let app = TestApp::start();
    for n in 0..250 {
        app.admin().post(SECRETS, &json!({ "key": format!("K{n}"), "value": "v" })).expect(200);
    }
    let vars = "/api/environments/development/vars";
    app.admin().post(vars, &json!({ "key": "V", "value": "v" })).expect(200);
    let listed = app.admin().get(SECRETS).expect(200);
    let one = listed["secrets"][0]["id"].as_str().unwrap().to_owned();
    let dir = app.stop();
    // Applies only the first batch of a deletion.
    {
        let opened = open_stopped(&data_dir(dir.path()));
        let (id, row) = opened.scan::<Environments>(&[], None).next().unwrap().unwrap();
        drop(opened);
        support::await_release(&data_dir(dir.path()));
        let db = sled::open(data_dir(dir.path()).join("db")).unwrap();
        let key = |prefix: u8, rest: &[u8]| [&[prefix], rest].concat();
        db.insert(key(PendingDeletions::PREFIX, &id.to_bytes()), vec![PendingDeletions::FORMAT])
            .unwrap();
        db.remove(key(Environments::PREFIX, &id.to_bytes())).unwrap();
        db.remove(key(b'e', row.name.folded().as_bytes())).unwrap();
        db.remove(key(b'N', &id.to_bytes())).unwrap();
        db.flush().unwrap();
    }
    let app = TestApp::start_in(dir, Setup::default());
    app.admin().get(&format!("/api/secrets/{one}")).expect_error(404, "NOT_FOUND");
    app.admin().post("/api/environments", &json!({ "name": "development" })).expect(200);
    assert_eq!(app.admin().get(SECRETS).expect(200)["secrets"], json!([]));
    let mut dir = app.stop();
    // The deletion continues in the background, over as many starts as it takes.
    for _ in 0..100 {
        rows_fit(&data_dir(dir.path()));
        let opened = open_stopped(&data_dir(dir.path()));
        let left: usize =
            b"SsDCVvWX".iter().map(|table| opened.scan_bytes(&[*table], None).count()).sum();
        drop(opened);
        if left == 0 {
            return;
        }
        dir = TestApp::start_in(dir, Setup::default()).stop();
    }
    panic!("the rest of the environment is never removed");
}

/// With less free space than the floor, the server runs but refuses writes.
#[test]
fn on_a_nearly_full_disk_the_server_starts_and_reads() {
    expect_log("in the audit log: the disk has too little free space");
    expect_log("Try again: the disk");
    expect_log("the disk has too little free space");
    let app = TestApp::start();
    app.admin().post(SECRETS, &json!({ "key": "KEPT", "value": "kept" })).expect(200);
    let dir = app.stop();
    let mut setup = Setup::default();
    setup.parts.store.min_free_bytes = u64::MAX;
    let app = TestApp::start_in(dir, setup);
    let listed = app.admin().get(SECRETS).expect(200);
    assert_eq!(listed["secrets"][0]["key"], "KEPT");
    let write = app.admin().post(SECRETS, &json!({ "key": "NEW", "value": "new" }));
    write.expect_error(503, "SERVICE_UNAVAILABLE");
    assert!(write.header("retry-after").is_some());
    assert_eq!(app.anonymous().get("/health").expect(503)["status"], "unavailable");
    // A read that cannot be recorded in the audit log is refused.
    let id = listed["secrets"][0]["id"].as_str().unwrap();
    app.admin().get(&format!("/api/secrets/{id}/value")).expect_error(503, "SERVICE_UNAVAILABLE");
    let dir = app.stop();
    let app = TestApp::start_in(dir, Setup::default());
    app.admin().post(SECRETS, &json!({ "key": "NEW", "value": "new" })).expect(200);
    assert_eq!(app.anonymous().get("/health").expect(200)["status"], "ok");
}

/// Operations that free space must work a little longer than those that use it.
#[test]
fn deletes_go_on_below_the_floor() {
    expect_log("the disk has too little free space");
    let app = TestApp::start();
    let created = app.admin().post(SECRETS, &json!({ "key": "OLD", "value": "old" })).expect(200);
    let id = created["secret"]["id"].as_str().unwrap().to_owned();
    let operator = app.token(Role::Operator, coffer::domain::Scope::All, None);
    let free = rustix::fs::statvfs(app.data_dir()).unwrap();
    let free = free.f_bavail * free.f_frsize;
    let dir = app.stop();
    let mut setup = Setup::default();
    // Twice the free space: it is now below the floor, but above a quarter of it.
    setup.parts.store.min_free_bytes = free * 2;
    let app = TestApp::start_in(dir, setup);
    let refused = app.bearer(&operator).post(SECRETS, &json!({ "key": "NEW", "value": "new" }));
    refused.expect_error(503, "SERVICE_UNAVAILABLE");
    app.bearer(&operator).delete(&format!("/api/secrets/{id}")).expect(200);
}
