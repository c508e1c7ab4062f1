//! `coffer backup`, as the operator runs it.

use std::path::Path;
use std::process::Command;

use coffer::store::{AuditRows, SecretPlaces, ValueChunks, VarChunks, Versions};
use serde_json::Value;
use support::api::{new_secret, new_var};
use support::cli::Cli;
use support::doctor::Checkup;
use support::process::{Launch, has_program};
use support::tampered_db::{Table, TamperedDb, flip};
use support::{await_release, skip};
use tempfile::TempDir;

struct Place {
    dir: TempDir,
}

impl Place {
    /// A directory with the data of a server that holds something.
    fn new() -> (Self, support::process::Server) {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::on(&dir.path().join("data")).start();
        new_secret(&server.admin(), "development", "A", "a value");
        new_var(&server.admin(), "development", "V", "a var in the clear");
        (Self { dir }, server)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A command in this directory, where `data` is the default.
    fn offline(&self, words: &[&str]) -> Launch {
        words.iter().fold(Launch::bare(self.dir.path()), Launch::argument)
    }
}

#[track_caller]
fn private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn from_a_running_server_to_another_directory() {
    let (place, server) = Place::new();
    let cli = Cli::of(&server);
    let file = place.path("a.backup");
    let made = cli.launch(["backup", "create"]).argument(&file).run("").json();
    private(&file);
    assert_eq!(made["backup"]["bytes"], std::fs::metadata(&file).unwrap().len());
    let again = cli.launch(["backup", "create"]).argument(&file).run("");
    again.refuses(2, ["already exists", "never overwritten"]);

    let verified = place.offline(&["backup", "verify", "a.backup"]).run("").json();
    let backup = &verified["backup"];
    assert_eq!((&backup["counts"]["secrets"], &backup["versionsOpened"]), (&1.into(), &1.into()));
    assert_eq!((&backup["findings"], &backup["revealable"]), (&Value::Array(vec![]), &1.into()));

    let restore = ["backup", "restore", "a.backup", "--data-dir", "new"];
    let key = place.path("data/root.key");
    // The root key is looked for in the new directory; it is not in the backup.
    let refused = place.offline(&restore).run("");
    refused.refuses(2, ["root.key is missing, and the backup is sealed", "does not include"]);
    let with_key = |words: &[&str]| place.offline(words).variable("COFFER_ROOT_KEY_FILE", &key);
    let told = with_key(&[&restore[..], &["--dry-run"]].concat()).run("").json();
    assert_eq!(told["backup"]["counts"], backup["counts"]);
    assert_eq!(
        (&told["backup"]["dataDir"], &told["backup"]["dryRun"]),
        (&"new".into(), &true.into())
    );
    assert!(!place.path("new").exists(), "a dry run must not create files");
    let restored = with_key(&restore).run("").json();
    assert_eq!(restored["backup"]["counts"], backup["counts"]);
    assert_eq!(restored["backup"]["dryRun"], false);
    with_key(&restore).run("").refuses(2, ["is not empty"]);

    let token = server.token();
    server.stop();
    let second = Launch::on(&place.path("new")).variable("COFFER_ROOT_KEY_FILE", &key).start();
    let admin = support::Client::new(second.address, Some(token));
    let vars = admin.get("/api/environments/development/vars").expect(200);
    assert_eq!(vars["vars"][0]["value"], "a var in the clear");
    second.stop();
}

#[test]
fn a_stopped_servers_directory_is_backed_up_and_noted() {
    let (place, server) = Place::new();
    let running = place.offline(&["backup", "create", "a.backup", "--offline"]).run("");
    running.refuses(1, ["in use", "Stop the server first"]);
    server.stop();
    await_release(&place.path("data"));
    let made = place.offline(&["backup", "create", "a.backup", "--offline"]).run("").json();
    assert_eq!(made["backup"]["counts"]["vars"], 1);
    private(&place.path("a.backup"));
    let noted = std::fs::read_to_string(place.path("data/last-backup")).unwrap();
    let noted: Value = serde_json::from_str(&noted).unwrap();
    let path = place.path("a.backup").canonicalize().unwrap();
    assert_eq!(noted["path"], path.to_str().unwrap());
    assert_eq!(noted["bytes"], made["backup"]["bytes"]);
    place.offline(&["backup", "verify", "a.backup"]).run("").json();
    support::rows_fit(&place.path("data"));
}

#[test]
fn a_person_at_a_terminal_reads_lines() {
    if !has_program("script") {
        return skip("there is no script");
    }
    let (place, server) = Place::new();
    let cli = Cli::of(&server);
    let file = place.path("a.backup");
    let (text, code) = cli
        .launch(["backup", "create"])
        .argument(&file)
        .variable("TERM", "xterm")
        .in_terminal()
        .ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a.backup ("), "{text}");
    // A progress bar with the amount done and the total. It is cleared at the end.
    let bar = |text: &str, what: &str, of: &str| {
        let drawn = text.split(['\r', '\n']).any(|line| {
            line.contains(&format!("{what} [")) && line.contains(of) && line.contains(" left")
        });
        assert!(drawn, "{text:?}");
    };
    bar(&text, "backup", " of about ");
    let (text, code) = place
        .offline(&["backup", "verify", "a.backup"])
        .variable("TERM", "xterm")
        .in_terminal()
        .ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("the backup is valid") && text.contains("1 of 1 decrypted"), "{text}");
    assert!(text.contains("1 of 1 read"), "{text}");
    bar(&text, "verify", " of ");
    server.stop();
    await_release(&place.path("data"));
    let offline = place.offline(&["backup", "create", "b.backup", "--offline"]);
    let (text, code) = offline.variable("TERM", "xterm").in_terminal().ends();
    assert_eq!(code, Some(0), "{text}");
    bar(&text, "backup", " of about ");
    let restore = |words: &[&str]| {
        let words = [&["backup", "restore", "a.backup", "--data-dir", "new"], words].concat();
        let launch = place.offline(&words);
        launch
            .variable("COFFER_ROOT_KEY_FILE", place.path("data/root.key"))
            .variable("TERM", "xterm")
            .in_terminal()
            .ends()
    };
    let (text, code) = restore(&["--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("would restore into new; nothing was written"), "{text}");
    assert!(text.contains("all sessions end"), "{text}");
    assert!(!place.path("new").exists());
    let (text, code) = restore(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("restored into new") && text.contains("all sessions have ended"),
        "{text}"
    );
    bar(&text, "restore", " of ");
}

/// The dry run reported success, and the restore then failed.
#[test]
fn a_dry_run_is_refused_what_the_restore_would_be_refused() {
    let (place, server) = Place::new();
    server.stop();
    await_release(&place.path("data"));
    place.offline(&["backup", "create", "a.backup", "--offline"]).run("").json();
    let refused = |to: &Path, words: [&str; 2]| {
        let launch = || {
            let launch = place.offline(&["backup", "restore", "a.backup", "--data-dir"]);
            launch.argument(to).variable("COFFER_ROOT_KEY_FILE", place.path("data/root.key"))
        };
        launch().argument("--dry-run").run("").refuses(1, words);
        launch().run("").refuses(1, words);
    };
    std::fs::write(place.path("file"), "x").unwrap();
    refused(&place.path("file/new"), ["Not a directory", "Nothing was restored"]);
    if cfg!(target_os = "linux") {
        // Nobody can write there, and no free space is reported.
        refused(Path::new("/proc/nowhere/new"), ["/proc", "."]);
    }
    #[cfg(target_os = "linux")]
    match support::small_disk::SmallDisk::mount(32 * support::small_disk::MIB) {
        Ok(small) => refused(&small.at.join("new"), ["MiB left", "on another disk"]),
        Err(reason) => skip(&reason),
    }
}

/// A backup includes damaged rows; `verify` reports each kind.
#[test]
fn verify_and_restore_report_a_backup_of_what_does_not_open() {
    type Edit = fn(&TamperedDb, &Table);
    let cases: [(&str, Edit); 5] = [
        ("version 1 of sec_", |bench, table| {
            let key = bench.chunk_key("FIRST", 1, 0);
            let bytes = table.bytes::<ValueChunks>(&key);
            table.put_bytes::<ValueChunks>(&key, &flip(bytes, 9, 1));
        }),
        ("a row of table 'D' is damaged", |bench, table| {
            let key = bench.version_key("FIRST", 1);
            let bytes = table.bytes::<Versions>(&key);
            table.put_bytes::<Versions>(&key, &bytes[..bytes.len() - 1]);
        }),
        ("the value of var_", |_, table| {
            let key = table.keys::<VarChunks>()[0];
            let bytes = table.bytes::<VarChunks>(&key);
            table.put_bytes::<VarChunks>(&key, &bytes[..bytes.len() - 1]);
        }),
        ("cannot be found by its id", |bench, table| {
            table.remove::<SecretPlaces>(&bench.secret("FIRST").id);
        }),
        ("the audit log does not verify", |_, table| {
            let bytes = table.bytes::<AuditRows>(&3);
            table.put_bytes::<AuditRows>(&3, &flip(bytes, 40, 1));
        }),
    ];
    for (finding, edit) in cases {
        let bench = TamperedDb::new();
        let checkup = Checkup::new(&bench.data_dir());
        bench.edit(|table| edit(&bench, table));
        let file = checkup.outside().join("a.backup");
        let made = checkup.launch(["backup", "create", "--offline"]).argument(&file).run("");
        made.json();
        let verified = checkup.launch(["backup", "verify"]).argument(&file).run("");
        assert_eq!(verified.code, Some(1), "{verified:#?}");
        for text in [finding, " damaged or inconsistent", "The file is complete"] {
            assert!(verified.stderr.contains(text), "{text}: {verified:#?}");
        }
        let told: Value = serde_json::from_str(&verified.stdout).unwrap();
        let findings = told["backup"]["findings"].as_array().unwrap();
        let found = findings.iter().filter(|one| one.as_str().unwrap().contains(finding));
        assert_eq!(found.count(), 1, "{told}");
        let to = checkup.outside().join("new");
        let words = ["backup", "restore", "--data-dir"];
        let launch = Launch::bare(checkup.outside()).arguments(words).argument(&to);
        let launch = launch.argument(&file).variable("COFFER_ROOT_KEY_FILE", &checkup.key);
        let restored = launch.run("");
        assert_eq!(restored.code, Some(0), "{restored:#?}");
        assert!(restored.stderr.contains(finding), "{restored:#?}");
        for secret in &bench.secrets {
            verified.keeps_quiet_about(&secret.value);
            restored.keeps_quiet_about(&secret.value);
        }
        await_release(&to);
        let launch = Launch::bare(checkup.outside()).arguments(["doctor", "--data-dir"]);
        let launch = launch.argument(&to).variable("COFFER_ROOT_KEY_FILE", &checkup.key);
        let doctor = launch.run("");
        assert_eq!(doctor.code, Some(2), "{doctor:#?}");
        assert!(doctor.stdout.contains(finding), "{doctor:#?}");
    }
}

#[test]
fn the_public_age_program_opens_what_is_sealed_to_a_recipient() {
    if !has_program("age") || !has_program("age-keygen") {
        return skip("there is no age");
    }
    let (place, server) = Place::new();
    let identity = place.path("identity.txt");
    let made = Command::new("age-keygen").arg("-o").arg(&identity).output().unwrap();
    let text = String::from_utf8(made.stderr).unwrap();
    let recipient = text.trim().strip_prefix("Public key: ").unwrap().to_owned();
    let cli = Cli::of(&server);
    let online = place.path("online.age");
    let launch = cli.launch(["backup", "create", "--recipient", &recipient]).argument(&online);
    // A request cannot choose a recipient: the command needs the root key itself.
    launch.run("").refuses(2, ["root.key is missing"]);
    assert!(!online.exists());
    launch.variable("COFFER_ROOT_KEY_FILE", place.path("data/root.key")).run("").json();
    server.stop();
    await_release(&place.path("data"));
    let words = ["backup", "create", "offline.age", "--offline", "--recipient", &recipient];
    place.offline(&words).run("").json();
    for name in ["online.age", "offline.age"] {
        let file = place.path(name);
        private(&file);
        let opened = Command::new("age").arg("-d").arg("-i").arg(&identity).arg(&file).output();
        let opened = opened.unwrap();
        assert!(opened.status.success(), "{opened:?}");
        assert!(opened.stdout.starts_with(b"coffer rows v1\n"));
        place.offline(&["backup", "verify", name]).run("").refuses(1, ["--identity"]);
        let words = ["backup", "verify", name, "--identity", "identity.txt"];
        let verified = place.offline(&words).run("").json();
        assert_eq!(verified["backup"]["counts"]["secrets"], 1);
        let to = format!("from-{name}");
        let words = ["backup", "restore", name, "--identity", "identity.txt", "--data-dir", &to];
        let restore = place.offline(&words);
        restore.variable("COFFER_ROOT_KEY_FILE", place.path("data/root.key")).run("").json();
        support::rows_fit(&place.path(&to));
    }
}

#[test]
fn an_ssh_key_is_a_recipient_too() {
    if !has_program("ssh-keygen") {
        return skip("there is no ssh-keygen");
    }
    let (place, server) = Place::new();
    server.stop();
    await_release(&place.path("data"));
    let key = place.path("id");
    let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
    assert!(Command::new("ssh-keygen").args(words).arg(&key).status().unwrap().success());
    let recipient = std::fs::read_to_string(place.path("id.pub")).unwrap();
    let words = ["backup", "create", "a.age", "--offline", "--recipient", &recipient];
    place.offline(&words).run("").json();
    let words = ["backup", "verify", "a.age", "--identity", "id"];
    place.offline(&words).run("").json();
}

#[test]
fn wrong_words_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let run =
        |words: &[&str]| words.iter().fold(Launch::bare(dir.path()), Launch::argument).run("");
    let secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    run(&["backup", "create", "f", "--offline", "--recipient", "me@example.org"])
        .refuses(2, ["age1"]);
    run(&["backup", "create", "f", "--offline", "--recipient", secret]).refuses(2, ["age-keygen"]);
    run(&["backup", "create", "f", "--offline"]).refuses(1, ["no database"]);
    run(&["backup", "verify", "none"]).refuses(1, ["none", "No such file"]);
    run(&["backup", "restore", "f"]).refuses(2, ["--data-dir"]);
    std::fs::write(dir.path().join("text"), "hello").unwrap();
    run(&["backup", "verify", "text"]).refuses(1, ["not a coffer backup", "Pass a file"]);
    let bad = dir.path().join("config.toml");
    std::fs::write(&bad, "[backup]\nrecipients = [\"nobody\"]\ndirectory = \"b\"\n").unwrap();
    run(&["serve"]).refuses(2, ["[backup] recipients", "age1"]);
}

/// `verify` also said so, although it only reads the backup.
#[test]
fn only_a_restore_says_that_nothing_was_restored() {
    let (place, server) = Place::new();
    server.stop();
    await_release(&place.path("data"));
    place.offline(&["backup", "create", "a.backup", "--offline"]).run("").json();
    let whole = std::fs::read(place.path("a.backup")).unwrap();
    std::fs::write(place.path("half.backup"), &whole[..whole.len() / 2]).unwrap();
    let verified = place.offline(&["backup", "verify", "half.backup"]).run("");
    verified.refuses(1, ["half.backup", "Use another backup"]);
    assert!(!verified.stderr.contains("restored"), "{verified:#?}");
    let words = ["backup", "restore", "half.backup", "--data-dir", "new"];
    let restored =
        place.offline(&words).variable("COFFER_ROOT_KEY_FILE", place.path("data/root.key"));
    restored.run("").refuses(1, ["Nothing was restored. Use another backup"]);
}

/// A server that writes its backups to `backups`.
fn scheduled(dir: &Path, data: &str) -> Launch {
    Launch::on(&dir.join(data))
        .variable("COFFER_BACKUP__DIRECTORY", dir.join("backups"))
        .variable("COFFER_BACKUP__EVERY", "1h")
        .variable("COFFER_BACKUP__KEEP", "2")
}

fn backups(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("backups")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".backup"));
    names.sort();
    names
}

fn made(server: &support::process::Server) -> bool {
    server.running.stderr.wait_for(|line| line.contains("created backup ")).is_some()
}

/// The server made backups in a tight loop and removed all good ones.
#[test]
fn a_backup_dated_in_the_future_does_not_make_a_server_make_hundreds() {
    let dir = tempfile::tempdir().unwrap();
    let server = scheduled(dir.path(), "data").start();
    assert!(made(&server));
    server.stop();
    let first = backups(dir.path()).remove(0);
    let future = format!("{}20990101T000000Z.backup", &first[..first.len() - 23]);
    let path = |name: &str| dir.path().join("backups").join(name);
    std::fs::copy(path(&first), path(&future)).unwrap();
    std::fs::rename(path(&first), path("kept-elsewhere")).unwrap();
    await_release(&dir.path().join("data"));
    let server = scheduled(dir.path(), "data").start();
    assert!(made(&server));
    // These requests take far longer than the unwanted backups took.
    for _ in 0..200 {
        server.admin().get("/health").expect(200);
    }
    let rows = server.admin().get("/api/audit-logs?action=backup.create").expect(200);
    assert_eq!(rows["total"], 2, "{rows}");
    server.stop();
    assert_eq!(backups(dir.path()).len(), 2, "{:?}", backups(dir.path()));
}

/// One server made no backups, and each removed the other's.
#[test]
fn two_servers_share_a_directory_and_a_running_copy_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let first = scheduled(dir.path(), "data").start();
    assert!(made(&first));
    let second = scheduled(dir.path(), "other").start();
    assert!(made(&second));
    assert_eq!(backups(dir.path()).len(), 2);
    let opens = |name: &String| {
        let words = ["backup", "verify", "--data-dir", "data"];
        let path = dir.path().join("backups").join(name);
        Launch::bare(dir.path()).arguments(words).argument(path).run("").code == Some(0)
    };
    let of_first =
        backups(dir.path()).into_iter().find(opens).expect("one backup is from the first server");
    let file = dir.path().join("backups").join(of_first);
    let words = ["backup", "restore", "--data-dir", "copy"];
    let restored = Launch::bare(dir.path())
        .arguments(words)
        .argument(&file)
        .variable("COFFER_ROOT_KEY_FILE", dir.path().join("data/root.key"))
        .run("");
    assert_eq!(restored.code, Some(0), "{restored:#?}");
    std::fs::copy(dir.path().join("data/root.key"), dir.path().join("copy/root.key")).unwrap();
    let copy = scheduled(dir.path(), "copy").start();
    let said =
        copy.running.stderr.wait_for(|line| line.contains("scheduled backup failed")).unwrap();
    assert!(said.contains("a copy of this database"), "{said}");
    assert_eq!(backups(dir.path()).len(), 2);
    for server in [first, second, copy] {
        server.stop();
    }
}
