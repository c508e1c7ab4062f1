//! `coffer doctor`: what it checks, what it reports, and its exit codes. `repair.rs` covers
//! `--repair`.

use coffer::domain::{Clock, SystemClock, Timestamp};
use coffer::store::SecretPlaces;
use serde_json::json;
use support::cli::Cli;
use support::doctor;
use support::doctor::{Checkup, Diagnosis, json};
use support::process::{Launch, strace};
use support::tampered_db::TamperedDb;
use support::tier;
use support::{Setup, TestApp, data_dir};

/// Writes settings that are intact but unknown to sled. Damaged settings would be recreated.
fn write_foreign_settings(data_dir: &std::path::Path) {
    let text = b"not what sled wrote";
    let whole = [&text[..], &crc32fast::hash(text).to_le_bytes()].concat();
    std::fs::write(data_dir.join("db/conf"), whole).unwrap();
}

#[test]
fn a_healthy_server_is_exit_code_0_and_every_line_says_ok() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let found = checkup.doctor();
    found.healthy();
    for text in [
        "configuration is valid",
        "files are accessible to their owner only",
        "the root key is not in the data directory",
        "last backup at",
        "no stray files",
        "12 secrets, 13 versions and 1 var: every record opens",
        "indexes are consistent",
        "audit log verified (",
        "the clock is not behind",
        "the database takes",
        "free on the disk",
    ] {
        found.says("ok", [text]);
    }
    for secret in &tampered.secrets {
        found.ended.keeps_quiet_about(&secret.value);
    }
    let key = std::fs::read_to_string(&checkup.key).unwrap();
    found.ended.keeps_quiet_about(key.trim());
    let token = std::fs::read_to_string(checkup.data_dir.join("bootstrap-token")).unwrap();
    found.ended.keeps_quiet_about(token.trim());
    // A check changes nothing.
    assert_eq!(checkup.copies().len(), 0);
    checkup.doctor().healthy();
}

#[test]
fn a_new_server_has_its_key_beside_its_data_and_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    Launch::on(&data_dir(dir.path())).start().stop();
    let launch = Launch::bare(dir.path()).argument("doctor");
    let found = Diagnosis::of(launch.run(""));
    found.is(1).says("warn", ["the root key is in the data directory", "separately"]);
    found.says("warn", ["no backup yet", "coffer backup create"]);
    assert_eq!((found.lines("warn").len(), found.lines("error").len()), (2, 0), "{found:#?}");
}

#[test]
fn json_is_one_object_on_one_line() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    std::fs::remove_file(checkup.data_dir.join("last-backup")).unwrap();
    let ended = checkup.launch(["doctor", "--json"]).run("");
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 1), "{ended:#?}");
    let report = json(&ended);
    assert_eq!(report["worst"], "warn");
    let findings = report["findings"].as_array().unwrap();
    let warned: Vec<_> = findings.iter().filter(|one| one["severity"] == "warn").collect();
    assert_eq!(
        warned,
        [&json!({
            "severity": "warn",
            "what": "no backup yet",
            "remedy": "Create one with: coffer backup create FILE",
        })]
    );
    assert!(findings.iter().all(|one| one["what"].is_string()), "{report}");
}

#[test]
fn an_old_or_unreadable_note_of_the_last_backup_is_a_warning() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let note = checkup.data_dir.join("last-backup");
    std::fs::write(&note, r#"{"time":"2020-01-02T03:04:05.000Z","path":"x","bytes":1}"#).unwrap();
    checkup.doctor().is(1).one("warn", ["days old (2020-01-02T03:04:05.000Z)"]);
    std::fs::write(&note, "garbage").unwrap();
    checkup.doctor().is(1).one("warn", ["last-backup is damaged"]);
}

/// The note about the last backup used to be trusted, whatever had happened to the file.
#[test]
fn a_backup_that_is_gone_cut_off_downloaded_or_of_the_future_is_a_warning() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let note = checkup.data_dir.join("last-backup");
    let file = checkup.outside().join("last.backup");
    let now = SystemClock.now();
    let say = |time: Timestamp, path: Option<&std::path::Path>| {
        let text = json!({ "time": time, "path": path, "bytes": 1 }).to_string();
        std::fs::write(&note, text).unwrap();
    };
    say(now, Some(&file));
    checkup.doctor().healthy();
    std::fs::write(&file, "xx").unwrap();
    checkup.doctor().is(1).one("warn", ["last.backup", "has 2 bytes, it had 1"]);
    std::fs::remove_file(&file).unwrap();
    checkup.doctor().is(1).one("warn", ["last.backup", "is missing"]);
    say(now, None);
    checkup.doctor().is(1).one("warn", ["was downloaded", "cannot tell"]);
    std::fs::write(&file, "x").unwrap();
    say(Timestamp::from_millis(now.millis() + 3 * 86_400_000), Some(&file));
    checkup.doctor().is(1).one("warn", ["in the future", "clock"]);
}

/// Only the first of the possible names of a key used to be checked.
#[test]
fn every_root_key_is_looked_for_and_those_outside_are_for_their_owner_only() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    for name in ["root.key.previous", "root.key.new"] {
        std::fs::copy(&checkup.key, checkup.data_dir.join(name)).unwrap();
    }
    doctor::owner_only(&checkup.data_dir);
    let found = checkup.doctor();
    for name in ["root.key.previous", "root.key.new"] {
        found.is(1).says("warn", ["the root key is in the data directory", name]);
        std::fs::remove_file(checkup.data_dir.join(name)).unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(&checkup.key, mode).unwrap();
    checkup
        .doctor()
        .is(1)
        .says("warn", ["root.key is accessible to other users (mode 640)", "chmod 600"]);
}

/// The doctor used to report that the files are not in this data directory, and checked nothing.
#[test]
fn a_stopped_server_is_examined_although_an_address_is_set() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let launch = checkup.launch(["doctor"]).variable("COFFER_TOKEN", "cof_x");
    let found = Diagnosis::of(launch.clone().variable("COFFER_URL", "http://127.0.0.1:1").run(""));
    found.is(1).one("warn", ["COFFER_URL is set", "not checked"]);
    found
        .says("ok", ["every record opens"])
        .says("ok", ["files are accessible to their owner only"]);
    // An empty variable names no server.
    let found = Diagnosis::of(launch.clone().variable("COFFER_URL", "").run(""));
    found.healthy().says("ok", ["every record opens"]);
    let verify = checkup.launch(["audit", "verify"]).variable("COFFER_URL", "").run("");
    assert_eq!(verify.json()["broken"], json!(null), "{verify:#?}");
    // A server that is named explicitly must answer.
    let found = Diagnosis::of(launch.arguments(["--url", "http://127.0.0.1:1"]).run(""));
    found.is(2).one("error", ["not checked"]).says("ok", ["every record opens"]);
}

/// An unreadable row used to be the only thing the doctor reported.
#[test]
fn a_row_that_cannot_be_read_is_named_and_everything_else_is_still_examined() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(why) => return support::skip(why),
    };
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    checkup.doctor().healthy();
    let data_dir = checkup.data_dir.display().to_string();
    let run = |when: &str| {
        // Each run starts from the same copy; how sled handles an error while it opens is not
        // tested here.
        let whole = checkup.outside().join("whole");
        let script = "test -d \"$1\" || cp -a \"$2\" \"$1\"; rm -rf \"$2\"; cp -a \"$1\" \"$2\"";
        let mut copy = std::process::Command::new("sh");
        copy.args(["-c", script, "sh"]).arg(whole).arg(&data_dir);
        assert!(copy.status().unwrap().success());
        let mut wrapper = words.clone();
        let inject = format!("inject=pread64:error=EIO:when={when}");
        let log = format!("{data_dir}/db/db");
        let trace = ["-f", "-o", "/dev/null", "-e", "trace=pread64", "-e", &inject, "-P", &log];
        wrapper.extend(trace.map(str::to_owned));
        Diagnosis::of(checkup.launch(["doctor"]).under(wrapper).run(""))
    };
    let parts = ["secrets", "vars", "indexes", "audit log", "clock", "disk space"];
    let to_the_end = |found: &Diagnosis, part: &str| {
        let part = format!("cannot finish checking the {part}:");
        !found.lines("error").iter().any(|line| line.contains(&part))
    };
    // Fails every read in turn; strace counts them per thread.
    let failed: Vec<_> = (1..60)
        .step_by(tier::rounds(1, 4))
        .filter(|when| {
            let found = run(&when.to_string());
            let cut = parts.iter().filter(|part| !to_the_end(&found, part)).count();
            if cut > 0 {
                assert_eq!(cut, 1, "the other checks continue: {found:#?}");
                found.is(2).says("error", ["copy the directory"]);
                found.says("ok", ["files are accessible to their owner only"]);
            }
            cut > 0
        })
        .collect();
    assert!(!failed.is_empty());
    // A permanent hole is reported with the table it is in.
    let found = run(&format!("{}+", failed[0]));
    found.is(2).says("error", ["table '", "in order"]);
}

#[test]
fn a_damaged_snapshot_is_named_before_opening_sets_it_aside() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    checkup.doctor().healthy();
    let entries = checkup.data_dir.join("db").read_dir().unwrap().map(|one| one.unwrap().path());
    let is_snapshot = |path: &std::path::PathBuf| path.file_stem().unwrap() == "snap";
    let snapshot = entries.filter(is_snapshot).max().unwrap();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let found = checkup.doctor();
    found.is(1).says("warn", ["is a damaged snapshot", "Check the disk"]);
    found.says("ok", ["every record opens"]);
}

/// Opening rewrites the log and removes the marker, so the warning must come before that.
#[test]
fn word_of_a_failed_sync_is_a_warning_once() {
    for words in [&["doctor"][..], &["doctor", "--repair"]] {
        let tampered = TamperedDb::new();
        let checkup = Checkup::new(&tampered.data_dir());
        std::fs::write(checkup.data_dir.join("unsynced"), "").unwrap();
        doctor::owner_only(&checkup.data_dir);
        let launch =
            words[1..].iter().fold(checkup.launch(["doctor"]), |all, word| all.argument(word));
        let found = Diagnosis::of(launch.run(""));
        found.is(1).one("warn", ["a write or sync has failed", "check the disk"]);
        checkup.doctor().healthy();
    }
}

#[test]
fn a_database_that_does_not_open_after_a_compaction_names_the_one_before() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let dir = &checkup.data_dir;
    std::process::Command::new("cp")
        .arg("-a")
        .arg(dir.join("db"))
        .arg(dir.join("db.old"))
        .status()
        .unwrap();
    write_foreign_settings(dir);
    let found = checkup.doctor();
    found.is(2).says("error", ["before a compaction", "mv ", "db.broken && mv ", "db.old"]);
    found
        .says("warn", ["db.old is the database as it was before a compaction", "No action needed"]);
    std::fs::rename(dir.join("db"), dir.join("db.broken")).unwrap();
    std::fs::rename(dir.join("db.old"), dir.join("db")).unwrap();
    checkup.doctor().healthy();
}

#[test]
fn settings_that_are_risky_or_do_nothing_are_warnings() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let file = checkup.outside().join("other.toml");
    std::fs::write(&file, "[server]\nlisten = \"0.0.0.0:1\"\n[metrics]\nx = 1\n").unwrap();
    let launch = checkup.launch(["doctor"]).argument("--config").argument(&file);
    let found = Diagnosis::of(launch.run(""));
    found.is(1).says("warn", ["0.0.0.0:1 accepts connections", "TLS proxy"]);
    found.says("warn", ["[metrics]", "has no effect"]);
}

#[test]
fn a_clock_behind_the_audit_log_is_a_warning() {
    let setup = Setup::default().with_test_clock();
    setup.clock.as_ref().unwrap().advance_millis(50 * 365 * 86_400_000);
    let app = TestApp::start_with(setup);
    let dir = app.stop();
    let checkup = Checkup::new(&data_dir(dir.path()));
    checkup.doctor().is(1).one("warn", ["the newest audit row is from 20", "Set the host's clock"]);
}

#[test]
fn unfinished_snapshots_and_compactions_are_named_and_opening_settles_them() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    std::fs::write(checkup.data_dir.join("db/snap.00AB.generating"), "half").unwrap();
    std::fs::create_dir(checkup.data_dir.join("db.new")).unwrap();
    doctor::owner_only(&checkup.data_dir);
    let found = checkup.doctor();
    found.is(1).says("warn", ["generating is an unfinished snapshot"]);
    found.says("warn", ["db.new is an unfinished compaction"]);
    checkup.doctor().healthy();
}

#[test]
fn rows_in_files_that_are_not_synced_are_an_error() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let blobs = checkup.data_dir.join("db/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("1"), "x").unwrap();
    doctor::owner_only(&checkup.data_dir);
    checkup.doctor().is(2).one("error", ["rows in files that are never synced", "backup"]);
}

#[test]
fn another_root_key_or_none_is_an_error_and_everything_else_is_still_said() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let wrong = checkup.launch(["doctor"]).variable("COFFER_ROOT_KEY", "BwcH".repeat(10) + "Bwc=");
    let found = Diagnosis::of(wrong.run(""));
    found
        .is(2)
        .one("error", ["sealed under root key"])
        .says("ok", ["files are accessible to their owner only"]);
    std::fs::remove_file(&checkup.key).unwrap();
    checkup.doctor().is(2).one("error", ["root.key", "Provide the root key"]);
}

#[test]
fn a_database_that_does_not_open_is_an_error_that_names_the_manual() {
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    write_foreign_settings(&checkup.data_dir);
    let found = checkup.doctor();
    found.is(2).one("error", ["does not open", "docs/operations.md", "Disaster"]);
}

#[test]
fn where_there_is_no_database_nothing_is_made() {
    let empty = tempfile::tempdir().unwrap();
    let launch = Launch::bare(empty.path()).argument("doctor");
    Diagnosis::of(launch.run("")).is(2).one("error", ["no database in", "--data-dir"]);
    assert_eq!(empty.path().read_dir().unwrap().count(), 0);
    launch.argument("--repair").run("").refuses(2, ["no database in"]);
    assert_eq!(empty.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_running_server_is_asked_for_what_needs_the_open_database() {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&data_dir(dir.path())).start();
    support::api::new_secret(&server.admin(), "development", "KEY", "the value of KEY");
    support::api::new_var(&server.admin(), "development", "VAR", "v");
    // Checks the server at its address, together with the files on this host.
    let cli = Cli::of(&server);
    let launch = cli.launch(["doctor", "--data-dir"]).argument(data_dir(dir.path()));
    let found = Diagnosis::of(launch.run(""));
    found.is(1).says("ok", ["1 secret, 1 version and 1 var: every record opens"]);
    found
        .says("ok", ["files are accessible to their owner only"])
        .says("ok", ["audit log verified"]);
    found.ended.keeps_quiet_about("the value of KEY");
    found.ended.keeps_quiet_about(&server.token());
    // From another host the server's files cannot be reached, and the doctor says so.
    let found = Diagnosis::of(cli.run(["doctor"]));
    found.is(1).one("warn", ["files were not checked"]).says("ok", ["indexes are consistent"]);
    // On the server's host, without an address and without an answer from the server.
    let words = ["doctor", "--data-dir"];
    let launch = Launch::bare(dir.path()).arguments(words).argument(data_dir(dir.path()));
    let launch = launch.variable("COFFER_SERVER__LISTEN", "127.0.0.1:1");
    let found = Diagnosis::of(launch.run(""));
    found.is(2).one("error", ["the server was not checked", "refused", "coffer serve"]);
    server.stop();
}

#[test]
fn a_running_server_finds_what_does_not_fit_and_leaves_no_row_about_it() {
    support::expect_log("damaged");
    let tampered = TamperedDb::new();
    tampered.edit(|table| {
        // Damages a row that a start does not repair.
        let mut bytes = table.bytes::<coffer::store::Secrets>(&tampered.secret_key("FIRST"));
        bytes.pop();
        table.put_bytes::<coffer::store::Secrets>(&tampered.secret_key("FIRST"), &bytes);
        assert!(!table.bytes::<SecretPlaces>(&tampered.secret("FIRST").id).is_empty());
    });
    let app = tampered.restart();
    let answer = app.admin().with("X-Request-Id", "asked").get("/api/admin/doctor").expect(200);
    let findings = answer["findings"].as_array().unwrap();
    let errors: Vec<_> = findings.iter().filter(|one| one["severity"] == "error").collect();
    let damaged = "a row of table 'S' is damaged";
    assert!(errors.iter().any(|one| one["what"] == damaged), "{answer}");
    assert!(errors.iter().all(|one| one["remedy"].is_string()), "{answer}");
    let dir = app.stop();
    let rows = support::audit_rows(dir.path());
    assert!(rows.iter().all(|row| row.draft.request_id.as_deref() != Some("asked")));
}

/// A change in progress must not look like damage.
#[test]
fn a_busy_server_finds_nothing_wrong_with_itself() {
    let app = TestApp::start();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (app, stop) = (&app, &stop);
            scope.spawn(move || {
                let admin = app.admin();
                let path = "/api/environments/development";
                for n in 0.. {
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    let key = format!("K{thread}_{n}");
                    let made = support::api::new_secret(&admin, "development", &key, "v");
                    let id = made["id"].as_str().unwrap().to_owned();
                    let at = format!("/api/secrets/{id}");
                    admin.patch(&at, &json!({ "value": "w", "neverReveal": true })).expect(200);
                    let body = json!({ "key": key, "value": "v" });
                    let var = admin.post(&format!("{path}/vars"), &body).expect(200);
                    let var = format!("/api/vars/{}", var["var"]["id"].as_str().unwrap());
                    admin.patch(&var, &json!({ "value": "w" })).expect(200);
                    admin.delete(&var).expect(200);
                    admin.delete(&at).expect(200);
                }
            });
        }
        for _ in 0..60 {
            let answer = app.admin().get("/api/admin/doctor").expect(200);
            let findings = answer["findings"].as_array().unwrap();
            let wrong: Vec<_> = findings.iter().filter(|one| one["severity"] == "error").collect();
            if !wrong.is_empty() {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{wrong:#?}");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
