//! Backups of a running server: their content, and that each one shows a single moment while other
//! clients write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffer::domain::{Clock, SystemClock, Timestamp};
use coffer::server::backups::{Schedule, back_up};
use coffer::vault::backup::{Identities, Opening, Recipient};
use serde_json::{Value, json};
use support::api::{new_environment, new_secret, new_var, text};
use support::backups::{BACKUP, root_key, sound, take};
use support::process::Launch;
use support::search;
use support::{Setup, TestApp, await_release, data_dir};

#[test]
fn a_backup_opens_and_says_what_is_in_it() {
    let app = TestApp::start();
    let admin = app.admin();
    let id = text(&new_secret(&admin, "development", "A", "one"), "id").to_owned();
    admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": "two" })).expect(200);
    new_var(&admin, "development", "B", "three");
    let file = take(&admin);
    let root = root_key(&app.data_dir());
    let (summary, examined) = sound(&file, &root);
    assert_eq!(examined.opened, 2);
    assert!(examined.audit.broken.is_none());
    for (kind, count) in [("environments", 1), ("secrets", 1), ("versions", 2), ("vars", 1)] {
        assert_eq!(summary.counts.get(kind), Some(&count), "{kind}");
    }
    assert_eq!(summary.root_key, root.fingerprint().to_string());
    assert_eq!(summary.program, concat!("coffer ", env!("CARGO_PKG_VERSION")));
    support::api::is_time(&summary.created_at);
    // The audit row of the backup is part of it.
    assert_eq!(examined.audit.rows, summary.audit_head_seq);
    let rows = admin.get("/api/audit-logs?action=backup.create").expect(200);
    assert_eq!(rows["logs"][0]["seq"], summary.audit_head_seq);
    // The server does not know where a downloaded backup went, so it does not count as the host's
    // last backup.
    assert!(!app.data_dir().join("last-backup").exists());
    let noted = std::fs::read_to_string(app.data_dir().join("last-download")).unwrap();
    let noted: Value = serde_json::from_str(&noted).unwrap();
    assert_eq!(noted, json!({ "time": summary.created_at, "bytes": file.len() }));
}

/// Writers repeatedly create a secret and a var and delete the secret again. A backup of more than
/// one moment would contain index entries without rows, wrong counts and a broken chain.
#[test]
fn a_backup_is_of_one_moment_while_others_write() {
    // Minimum numbers. The loop takes more backups if no writer made progress during some of them.
    const BACKUPS: usize = 15;
    const WRITTEN_DURING: usize = 10;

    let app = TestApp::start();
    let admin = app.admin();
    for name in ["left", "right"] {
        new_environment(&admin, name);
    }
    for n in 0..200 {
        new_secret(&admin, "development", &format!("FILLER_{n}"), &"x".repeat(2000));
    }
    let (done, vars) = (AtomicBool::new(false), AtomicU64::new(0));
    let root = root_key(&app.data_dir());
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (admin, done, vars) = (admin.clone(), &done, &vars);
            scope.spawn(move || {
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let at = if round % 2 == 0 { "left" } else { "right" };
                    let key = format!("PASSING_{writer}");
                    let made = new_secret(&admin, at, &key, &"y".repeat(5000));
                    new_var(&admin, at, &format!("VAR_{writer}_{round}"), &"z".repeat(5000));
                    vars.fetch_add(1, Ordering::SeqCst);
                    admin.delete(&format!("/api/secrets/{}", text(&made, "id"))).expect(200);
                }
            });
        }
        // Ends the writers even if a check fails.
        let _over = Over(&done);
        let (mut taken, mut written_during) = (0, 0);
        let until = Instant::now() + Duration::from_secs(60);
        while taken < BACKUPS || written_during < WRITTEN_DURING {
            assert!(
                Instant::now() < until,
                "only {written_during} of {taken} backups during writes"
            );
            let file = take(&admin);
            let answered = vars.load(Ordering::SeqCst);
            // Indexes, counts and the chain agree only for a state that existed.
            let (summary, examined) = sound(&file, &root);
            assert_eq!(examined.audit.rows, summary.audit_head_seq);
            taken += 1;
            // A var that was acknowledged before the end of the copy and is not in it was written
            // after the moment of the backup, during the copy.
            let copied = summary.counts.get("vars").copied().unwrap_or(0);
            written_during += usize::from(answered > copied);
        }
        println!("{written_during} of {taken} backups were taken during writes");
    });
}

/// Ends the writers when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_shows_nothing_and_holds_no_session() {
    let app = support::accounts::start();
    let admin = app.admin();
    let (secret, var) = ("a value that nobody may see 5f1c", "a var that is sealed too 77ab");
    let path = "/api/environments/development/secrets";
    let new = json!({ "key": "NEVER", "value": secret, "neverReveal": true });
    admin.post(path, &new).expect(200);
    new_var(&admin, "development", "V", var);
    let user = json!({ "email": "ada@example.org", "password": "a long password" });
    admin.post("/api/auth/register", &user).expect(200);
    app.anonymous().post("/api/auth/login", &user).expect(200);
    let file = take(&admin);
    let mut needles = search::needles("secret", secret.as_bytes());
    needles.extend(search::needles("var", var.as_bytes()));
    needles.extend(search::needles("address", b"ada@example.org"));
    needles.extend(search::needles("token", app.admin_token().as_bytes()));
    search::Searcher::new(needles).assert_clean("the backup", &file);

    // The recipient of an age file can read the var in it, but not the secret.
    let identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    let identities = Identities::parse(identity).unwrap();
    let recipient = recipient_of(identity);
    let mut sealed = Vec::new();
    let root = root_key(&app.data_dir());
    coffer::vault::backup::reseal(&file[..], &root, &mut sealed, &[recipient]).unwrap();
    search::Searcher::new(search::needles("var", var.as_bytes())).assert_clean("age", &sealed);
    let opening = Opening { root: &root, previous: None, identities: Some(&identities) };
    let (summary, examined) = coffer::vault::backup::verify(&sealed[..], opening).unwrap();
    assert!(examined.findings.is_empty());
    assert_eq!(summary.counts.get("users"), Some(&1));
    let inner = opened_by_age(identity, &sealed);
    assert!(inner.windows(var.len()).any(|piece| piece == var.as_bytes()));
    let needles = search::needles("secret", secret.as_bytes());
    search::Searcher::new(needles).assert_clean("the rows", &inner);
}

/// Uses the age crate that the server uses; `tests/cli/backup.rs` uses the age program.
fn recipient_of(identity: &str) -> Recipient {
    let identity: age::x25519::Identity = identity.parse().unwrap();
    Recipient::parse(&identity.to_public().to_string()).unwrap()
}

fn opened_by_age(identity: &str, sealed: &[u8]) -> Vec<u8> {
    let identity: age::x25519::Identity = identity.parse().unwrap();
    age::decrypt(&identity, sealed).unwrap()
}

#[test]
fn one_backup_runs_at_a_time_and_one_that_nobody_reads_gives_way() {
    support::expect_log("Try again");
    support::expect_log("another backup is running");
    let app = TestApp::start();
    let admin = app.admin();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let held = runtime.block_on(app.state.vault.create_own_backup("held", &[])).unwrap();
    let refused = admin.get(BACKUP);
    refused.expect_error(503, "SERVICE_UNAVAILABLE");
    assert!(refused.text().contains("another backup is running"), "{}", refused.text());
    drop(held);
    take(&admin);
}

#[test]
fn scheduled_backups_are_kept_in_number_and_noted() {
    let app = TestApp::start_with(Setup::default().with_test_clock());
    let clock = app.clock.clone().unwrap();
    let directory = app.data_dir().join("../backups");
    let schedule = Schedule {
        directory: directory.clone(),
        every: Duration::from_secs(3600),
        keep: 2,
        recipients: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    std::fs::create_dir(&directory).unwrap();
    let id = app.state.vault.database().to_string();
    let half = format!("coffer-{id}-20200101T000000Z.backup.1-0.part");
    std::fs::write(directory.join(half), "half").unwrap();
    // A backup of another database, one from a wrong clock, and a file that is not a backup.
    let others = [
        "coffer-00000000-20200101T000000Z.backup".to_owned(),
        "coffer-00000000-20200101T000000Z.backup.1-0.part".to_owned(),
        format!("coffer-{id}-20990101T000000Z.backup"),
        "notes.txt".to_owned(),
    ];
    for other in &others {
        std::fs::write(directory.join(other), "of another").unwrap();
    }
    support::expect_log("dated in the future");
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(runtime.block_on(back_up(&app.state, &schedule)).unwrap());
        clock.advance_millis(3_600_000);
    }
    let mut names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut kept = [&others[..], &[name(&made[2]), name(&made[3])]].concat();
    kept.sort();
    assert_eq!(names, kept);
    let noted = std::fs::read_to_string(app.data_dir().join("last-backup")).unwrap();
    let noted: Value = serde_json::from_str(&noted).unwrap();
    assert_eq!(noted["path"], made[3].to_str().unwrap());
    let file = std::fs::read(&made[3]).unwrap();
    assert_eq!(noted["bytes"], file.len());
    sound(&file, &root_key(&app.data_dir()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        let mode = std::fs::metadata(&made[3]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let rows = app.admin().get("/api/audit-logs?action=backup.create").expect(200);
    assert_eq!(rows["total"], 4);
}

/// Lists a directory of backups without its lock file.
fn names(directory: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

/// The time of the last backup comes from its name alone, not from the file's timestamps.
#[test]
fn a_running_server_makes_a_backup_whenever_one_is_due_and_keeps_the_set_number() {
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("backups");
    let launch = Launch::on(&data_dir(dir.path()))
        .variable("COFFER_BACKUP__DIRECTORY", &directory)
        .variable("COFFER_BACKUP__EVERY", "1m")
        .variable("COFFER_BACKUP__KEEP", "2");
    let makes_one = || {
        await_release(&data_dir(dir.path()));
        let server = launch.start();
        let said = server.running.stderr.wait_for(|line| line.contains("created backup ")).unwrap();
        let stderr = server.stop().stderr;
        assert_eq!(stderr.matches("created backup ").count(), 1, "{stderr}");
        let path = PathBuf::from(said.trim_end().rsplit_once("created backup ").unwrap().1);
        sound(&std::fs::read(&path).unwrap(), &root_key(&data_dir(dir.path())));
        path.file_name().unwrap().to_str().unwrap().to_owned()
    };
    let first = makes_one();
    let (id, _) = first.rsplit_once('-').unwrap();
    let ago = |seconds: i64| {
        let at = Timestamp::from_millis(SystemClock.now().millis() - seconds * 1000).to_string();
        format!("{id}-{}Z.backup", at.split_once('.').unwrap().0.replace(['-', ':'], ""))
    };
    let date = |name: &str, to: &str| {
        std::fs::rename(directory.join(name), directory.join(to)).unwrap();
    };
    let foreign = [
        "coffer-00000000-20200101T000000Z.backup".to_owned(),
        format!("{id}-20200101T000000Z.backup.old"),
        format!("{id}-20200101.backup"),
        "notes.txt".to_owned(),
    ];
    for name in &foreign {
        std::fs::write(directory.join(name), "of somebody else").unwrap();
    }
    let there = |own: [&str; 2]| {
        let wanted = foreign.iter().map(String::as_str).chain(own).map(str::to_owned);
        assert_eq!(names(&directory), wanted.collect());
    };

    // The next backup is due in a few seconds; the running server waits for it.
    let (last, due) = (ago(57), ago(57 - 60));
    date(&first, &last);
    let second = makes_one();
    assert!(second >= due, "{second} came before {due}");
    there([&last, &second]);

    // The next backup is due immediately, and there is one backup too many.
    date(&last, &ago(300));
    let last = ago(61);
    date(&second, &last);
    let third = makes_one();
    there([&last, &third]);
}
