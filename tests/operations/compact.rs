//! Compaction: the log gets shorter and nothing else changes. After an interruption at any point,
//! the next start finds a complete database.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use coffer::audit::Action;
use serde_json::Value;
use support::kill_points;
use support::kill_points::copy;
use support::process::{Launch, strace};
use support::tampered_db::{Table, TamperedDb};
use support::tier;
use support::{Setup, TestApp, data_dir, expect_log, skip};

fn dump(data_dir: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let table = Table::open(data_dir);
    let rows = table.dump();
    table.close();
    rows
}

fn compact(data_dir: &Path) -> Launch {
    let launch = Launch::bare(data_dir.parent().unwrap());
    launch.arguments(["compact", "--data-dir"]).argument(data_dir)
}

/// Lists the database directories in a data directory.
fn databases(data_dir: &Path) -> Vec<String> {
    let names = data_dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("db")).collect();
    names.sort();
    names
}

#[test]
fn the_log_gets_shorter_and_every_row_is_there() {
    let tampered = TamperedDb::new();
    let data_dir = tampered.data_dir();
    tampered.edit(|table| churn(table, 30_000));
    let before = dump(&data_dir);
    support::await_release(&data_dir);
    let answer: Value = compact(&data_dir).run("").json();
    assert_eq!(dump(&data_dir), before);
    let number = |name: &str| answer[name].as_u64().unwrap();
    assert!(number("afterBytes") * 4 < number("beforeBytes"), "{answer}");
    assert!(number("rows") as usize > before.len(), "the count includes the audit log: {answer}");
    assert_eq!(databases(&data_dir), ["db"]);
    let app = tampered.restart();
    tampered.assert_others_work(&app, &[]);
    let dir = app.stop();
    support::rows_fit(&support::data_dir(dir.path()));
    let rows = support::audit_rows(dir.path());
    let about = rows.iter().find(|row| row.draft.action == Action::ServerCompact).unwrap();
    let details: Value = serde_json::from_str(about.draft.details.as_ref().unwrap()).unwrap();
    assert_eq!(details, answer);
}

/// Adds many rows and removes them again, which leaves a long log with little live data. How much
/// of the overwritten space sled reuses immediately depends on its threads.
fn churn(table: &Table, rows: u32) {
    let value = |n: u32| vec![n as u8; 1000];
    (0..rows).for_each(|n| table.put_raw::<coffer::store::LastUses>(&n.to_be_bytes(), &value(n)));
    (0..rows).for_each(|n| table.remove_raw::<coffer::store::LastUses>(&n.to_be_bytes()));
}

#[test]
fn only_a_stopped_database_with_its_own_key_is_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = data_dir(dir.path());
    compact(&data_dir).run("").refuses(1, ["no database in"]);
    assert!(!data_dir.exists());
    let server = Launch::on(&data_dir).start();
    compact(&data_dir).run("").refuses(1, ["in use by a running server", "Stop the server"]);
    server.stop();
    let before = dump(&data_dir);
    support::await_release(&data_dir);
    let wrong = compact(&data_dir).variable("COFFER_ROOT_KEY", "BwcH".repeat(10) + "Bwc=");
    wrong.run("").refuses(1, ["sealed under root key"]);
    assert_eq!(dump(&data_dir), before);
    support::await_release(&data_dir);
    let table = Launch::bare(dir.path()).arguments(["compact", "--json"]);
    assert!(table.run("").json()["rows"].as_u64().unwrap() > 0);
}

/// Creates each state listed in `src/store/sled/compact.rs`, and checks what the next start makes
/// of it.
#[test]
fn a_start_finishes_or_undoes_a_switch_wherever_it_was_cut_off() {
    let tampered = TamperedDb::new();
    let old = tampered.data_dir();
    support::await_release(&old);
    let apart = tempfile::tempdir().unwrap();
    let compacted = apart.path().join("compacted/data");
    copy(&old, &compacted);
    compact(&compacted).run("").json();
    let (old_db, new_db) = (old.join("db"), compacted.join("db"));
    let half = apart.path().join("half");
    fs::create_dir(&half).unwrap();
    let log = fs::read(new_db.join("db")).unwrap();
    fs::write(half.join("db"), &log[..log.len() / 2]).unwrap();
    let conf_only = apart.path().join("conf-only");
    fs::create_dir(&conf_only).unwrap();
    fs::copy(old_db.join("conf"), conf_only.join("conf")).unwrap();
    let empty = apart.path().join("empty");
    fs::create_dir(&empty).unwrap();

    type State<'a> = (&'a str, [(&'a str, &'a Path); 2], &'a Path);
    let states: [State; 8] = [
        ("1, nothing yet", [("db", &old_db), ("db.new", &empty)], &old_db),
        ("1, half a copy", [("db", &old_db), ("db.new", &half)], &old_db),
        ("2, a whole copy", [("db", &old_db), ("db.new", &new_db)], &old_db),
        ("3, nothing in place", [("db.old", &old_db), ("db.new", &new_db)], &new_db),
        ("4, in place", [("db", &new_db), ("db.old", &old_db)], &new_db),
        ("5, half removed", [("db", &new_db), ("db.old", &conf_only)], &new_db),
        ("5, nearly removed", [("db", &new_db), ("db.old", &empty)], &new_db),
        ("no state of ours", [("db.old", &old_db), ("other", &empty)], &old_db),
    ];
    for (name, parts, wanted) in states {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = data_dir(dir.path());
        copy(&old, &data_dir);
        fs::remove_dir_all(data_dir.join("db")).unwrap();
        for (place, from) in parts {
            copy(from, &data_dir.join(place));
        }
        let wanted_parent = wanted.parent().unwrap();
        let wanted = dump(wanted_parent);
        let server = Launch::on(&data_dir).start();
        assert_eq!(databases(&data_dir), ["db"], "{name}");
        for secret in tampered.secrets.iter().filter(|secret| !secret.never) {
            let value = support::api::reveal(&server.admin(), &secret.id.to_string());
            assert_eq!(value, secret.value, "{name}");
        }
        server.stop();
        support::rows_fit(&data_dir);
        support::audit_rows(dir.path());
        // The check itself updates when a token was last used.
        let mut found = dump(&data_dir);
        let mut wanted = wanted.clone();
        found.retain(|key, _| key[0] != b'L');
        wanted.retain(|key, _| key[0] != b'L');
        assert_eq!(found, wanted, "{name}");
    }
}

fn log_of(db: &Path) -> Vec<u8> {
    fs::read(db.join("db")).unwrap()
}

/// sled used to create an empty database next to the copy, and the next start removed the copy in
/// favor of the empty one.
#[test]
fn a_copy_that_is_alone_is_neither_overlooked_nor_removed() {
    let tampered = TamperedDb::new();
    let data_dir = tampered.data_dir();
    support::await_release(&data_dir);
    let (db, new) = (data_dir.join("db"), data_dir.join("db.new"));
    fs::rename(&db, &new).unwrap();
    let whole = log_of(&new);
    for _ in 0..2 {
        let ended = Launch::on(&data_dir).fails();
        ended.says(["db is missing", "db.new is a copy", "Restore"]);
        assert_eq!(databases(&data_dir), ["db.new"], "nothing is created next to it");
        assert_eq!(log_of(&new), whole);
    }
    // An older version could leave this state: an empty database next to the copy.
    let other = tempfile::tempdir().unwrap();
    coffer::store::Opened::open(other.path(), Default::default()).unwrap().close().unwrap();
    support::await_release(other.path());
    copy(&other.path().join("db"), &db);
    for _ in 0..2 {
        Launch::on(&data_dir).fails().says(["is empty, but it was not before"]);
        assert_eq!(log_of(&new), whole);
    }
    fs::remove_dir_all(&db).unwrap();
    fs::rename(&new, &db).unwrap();
    Launch::on(&data_dir).start().stop();
}

#[test]
fn where_the_log_is_gone_no_empty_one_is_made() {
    let tampered = TamperedDb::new();
    let data_dir = tampered.data_dir();
    support::await_release(&data_dir);
    fs::remove_dir_all(data_dir.join("db")).unwrap();
    Launch::on(&data_dir).fails().says(["is empty, but it was not before"]);
    assert_eq!(databases(&data_dir), [""; 0]);
}

/// The link would be renamed, and the rows would move to its disk.
#[test]
fn a_database_behind_a_link_is_not_compacted() {
    let tampered = TamperedDb::new();
    let data_dir = tampered.data_dir();
    support::await_release(&data_dir);
    let elsewhere = tempfile::tempdir().unwrap();
    let db = elsewhere.path().join("db");
    copy(&data_dir.join("db"), &db);
    fs::remove_dir_all(data_dir.join("db")).unwrap();
    std::os::unix::fs::symlink(&db, data_dir.join("db")).unwrap();
    compact(&data_dir).run("").refuses(1, ["db is a link", "The database is unchanged"]);
    assert!(data_dir.join("db").is_symlink());
    assert_eq!(databases(&data_dir), ["db"]);
    Launch::on(&data_dir).start().stop();
}

/// A rename that was refused used to keep the server from starting, every time.
#[test]
fn a_directory_that_cannot_be_renamed_is_not_compacted_and_still_opens() {
    const MOUNT: &str = "mount --bind \"$1\" \"$1\" && shift && \"$@\"";
    let tampered = TamperedDb::new();
    let data_dir = tampered.data_dir();
    support::await_release(&data_dir);
    let wrapper = ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh"];
    let db = data_dir.join("db");
    let wrapper = wrapper.iter().map(Path::new).chain([db.as_path()]);
    let ended = compact(&data_dir).under(wrapper).run("");
    if ended.stderr.contains("unshare:") || ended.stderr.contains("mount:") {
        return skip(format!("nothing can be mounted here: {}", ended.stderr.trim()));
    }
    ended.refuses(1, ["The database is unchanged"]);
    assert_eq!(databases(&data_dir), ["db"]);
    Launch::on(&data_dir).start().stop();
}

/// Sends SIGKILL at every rename, sync and removal of a compaction in turn, until a run completes
/// without a kill.
#[test]
fn a_kill_at_any_step_loses_nothing() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return skip(why),
    };
    let tampered = TamperedDb::new();
    let old = tampered.data_dir();
    support::await_release(&old);
    let wanted = dump(&old);
    support::await_release(&old);
    let mut killed = 0;
    for call in ["rename", "fsync", "fdatasync", "unlink", "rmdir", "mkdir", "ftruncate"] {
        killed += kill_points::at_each(call, |cut| {
            let dir = tempfile::tempdir().unwrap();
            let data_dir = data_dir(dir.path());
            copy(&old, &data_dir);
            let hit = cut.hit(&cut.run(&words, &compact(&data_dir)));
            if hit {
                support::await_release(&data_dir);
                Launch::on(&data_dir).start().stop();
                support::audit_rows(dir.path());
            }
            assert_eq!(databases(&data_dir), ["db"], "{cut}");
            assert_eq!(dump(&data_dir), wanted, "{cut}");
            hit
        });
    }
    assert!(killed >= tier::rounds(12, 4), "only {killed} kills");
}

/// A database that once held much more than it does now.
#[test]
fn a_wasteful_log_is_compacted_at_the_start() {
    expect_log("nothing else");
    let app = TestApp::start();
    let secret = support::api::new_secret(&app.admin(), "development", "KEY", "the value");
    let dir = app.stop();
    let data_dir = data_dir(dir.path());
    let table = Table::open(&data_dir);
    // Keeps enough live rows between the others that sled cannot shrink the log by itself.
    const ROWS: u32 = 150_000;
    for n in 0..ROWS {
        let kept = n % 40 == 0;
        let value = vec![n as u8; if kept { 8 } else { 900 }];
        table.put_raw::<coffer::store::IdempotencyRecords>(&n.to_be_bytes(), &value);
    }
    table.flush();
    for n in (0..ROWS).filter(|n| n % 40 != 0) {
        table.remove_raw::<coffer::store::IdempotencyRecords>(&n.to_be_bytes());
    }
    let length = |data_dir: &PathBuf| fs::metadata(data_dir.join("db/db")).unwrap().len();
    table.close();
    support::await_release(&data_dir);
    let usage = support::open_stopped(&data_dir).usage().unwrap();
    assert!(usage.is_wasteful(), "{usage:?}");
    let before = length(&data_dir);
    let app = TestApp::start_in(dir, Setup::default());
    let id = secret["id"].as_str().unwrap();
    assert_eq!(support::api::reveal(&app.admin(), id), "the value");
    let dir = app.stop();
    assert!(length(&data_dir) * 10 < before, "{before} bytes before, {} now", length(&data_dir));
    assert_eq!(databases(&data_dir), ["db"]);
    let rows = support::audit_rows(dir.path());
    let about = rows.iter().filter(|row| row.draft.action == Action::ServerCompact);
    assert_eq!(about.count(), 1);
}
