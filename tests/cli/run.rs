//! `coffer run`: the real binary, a real server, real commands.
#![cfg(unix)]

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use support::process::{Launch, Lines, Server};
use support::{api, data_dir};
use tempfile::TempDir;

const VALUE: &str = "postgres://app:hunter2@db/app?a=$b `c` \"d\"\n";

/// A server after its first start, with a write-only secret.
struct Local {
    dir: TempDir,
    server: Server,
    id: String,
}

impl Local {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::on(&data_dir(dir.path())).start();
        let new = json!({ "key": "DATABASE_URL", "value": VALUE, "neverReveal": true });
        let made = server.admin().post("/api/environments/development/secrets", &new).expect(200);
        let id = api::text(&made["secret"], "id").to_owned();
        Self { dir, server, id }
    }

    /// `coffer run --env development …` in the directory of the server.
    fn run(&self, words: &[&str]) -> Launch {
        launch(self.dir.path(), &format!("http://{}", self.server.address), words)
    }

    fn change(&self, value: &str) {
        let path = format!("/api/secrets/{}", self.id);
        self.server.admin().patch(&path, &json!({ "value": value })).expect(200);
    }
}

fn launch(dir: &Path, url: &str, words: &[&str]) -> Launch {
    let launch = Launch::bare(dir).arguments(["run", "--env", "development"]);
    let launch = words.iter().fold(launch, |launch, word| launch.argument(word));
    launch.variable("COFFER_URL", url).variable("XDG_CACHE_HOME", dir.join("cache"))
}

#[test]
fn it_works_at_once_on_a_new_machine() {
    let local = Local::new();
    let ran = local.run(&["--", "sh", "-c", "printf '%s' \"$DATABASE_URL\""]).run("");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), VALUE, ""));
}

#[test]
fn the_command_takes_the_place_of_the_process() {
    let local = Local::new();
    // Its exit code is that of the command, and so are its signals.
    assert_eq!(local.run(&["--", "sh", "-c", "exit 42"]).run("").code, Some(42));
    let killed = local.run(&["--", "sh", "-c", "kill -TERM $$"]).run("");
    assert_eq!(killed.signal, Some(15), "{killed:#?}");
    let running = local.run(&["--", "sh", "-c", "echo $$; exec sleep 600"]).spawn();
    let pid = running.pid().to_string();
    let printed = running.stdout.wait_for(|text| text.contains('\n')).unwrap();
    assert_eq!(printed.trim(), pid, "the command must run in the same process");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().signal, Some(15));
    // The command gets back the limits that coffer drops for itself.
    let mask = "umask; ulimit -c";
    let plain = std::process::Command::new("sh").args(["-c", mask]).output().unwrap();
    let ran = local.run(&["--", "sh", "-c", mask]).run("");
    assert_eq!(ran.stdout, String::from_utf8(plain.stdout).unwrap());
}

#[test]
fn a_command_that_cannot_be_run_is_reported_as_a_shell_does() {
    let local = Local::new();
    local.run(&["--", "/nowhere/command"]).run("").refuses(127, ["cannot run /nowhere/command"]);
    local.run(&["--", "/"]).run("").refuses(126, ["cannot run /:"]);
    local.run(&[]).run("").refuses(2, ["required", "CMD"]);
}

#[test]
fn only_the_keys_that_are_asked_for_are_set_and_no_credential_of_ours() {
    let local = Local::new();
    api::new_var(&local.server.admin(), "development", "LOG_LEVEL", "debug");
    let ran = local
        .run(&["--only", "LOG_*", "--", "env"])
        .variable("COFFER_TOKEN", local.server.token())
        .run("");
    assert!(ran.stdout.contains("LOG_LEVEL=debug\n"), "{ran:#?}");
    assert!(!ran.stdout.contains("DATABASE_URL"), "{ran:#?}");
    ran.keeps_quiet_about(&local.server.token());
    local.run(&["--only", "log", "--", "env"]).run("").refuses(2, ["must be a key"]);
}

#[test]
fn a_value_is_in_no_argument_and_in_no_file() {
    let local = Local::new();
    let running = local.run(&["--watch", "--", "sh", "-c", "echo ready; exec sleep 600"]).spawn();
    running.stdout.wait_for(|text| text.contains("ready")).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) {
            seen += 1;
            assert!(!contains(&arguments, b"hunter2"), "{:?}", entry.path());
        }
    }
    assert!(seen > 0 || !cfg!(target_os = "linux"));
    for file in files(local.dir.path()) {
        assert!(!contains(&std::fs::read(&file).unwrap(), b"hunter2"), "{}", file.display());
    }
    // The cache has one file: encrypted, and readable by its owner only.
    let kept = files(&local.dir.path().join("cache"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&kept[0].metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read(&kept[0]).unwrap().starts_with(b"age-encryption.org/v1\n"));
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code, Some(128 + 15));
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_last_bundle_is_used_when_the_server_cannot_be_reached() {
    let local = Local::new();
    let print = ["--", "printenv", "DATABASE_URL"];
    let url = format!("http://{}", local.server.address);
    let printed = format!("{VALUE}\n");
    assert_eq!(local.run(&print).run("").stdout, printed);
    let Local { dir, server, .. } = local;
    let token = server.token();
    server.stop();
    let gone = |words: &[&str]| launch(dir.path(), &url, words).variable("COFFER_TOKEN", &token);
    let ran = gone(&print).run("");
    assert_eq!((ran.code, &ran.stdout), (Some(0), &printed), "{ran:#?}");
    assert!(ran.stderr.contains("warning") && ran.stderr.contains("cannot reach"), "{ran:#?}");
    assert!(!ran.stderr.contains("hunter2"), "{ran:#?}");
    let refuses = |words: &[&str]| {
        let ran = gone(&[words, &print].concat()).run("");
        ran.refuses(1, ["cannot reach"]);
    };
    refuses(&["--no-cache"]);
    // The file of another environment or workload is not used.
    let ran = Launch::bare(dir.path()).arguments(["run", "--env", "staging", "--", "env"]);
    let ran = ran.variable("COFFER_URL", &url).variable("COFFER_TOKEN", &token);
    ran.variable("XDG_CACHE_HOME", dir.path().join("cache")).run("").refuses(1, ["cannot reach"]);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 3600);
    let kept = files(&dir.path().join("cache")).remove(0);
    std::fs::File::options().write(true).open(&kept).unwrap().set_modified(old).unwrap();
    let ran = gone(&["--max-age", "2h", "--", "env"]).run("");
    ran.refuses(1, ["cannot reach", "3 hours old, which is more than --max-age"]);
    assert_eq!(gone(&["--max-age", "4h", "--", "true"]).run("").code, Some(0));
}

/// Anyone can encrypt to a recipient.
#[test]
fn what_is_sealed_for_another_workload_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (identity, recipient) = coffer::vault::generate_identity();
    std::fs::write(dir.path().join("key.txt"), identity.as_bytes()).unwrap();
    let recipient: age::x25519::Recipient = recipient.to_string().parse().unwrap();
    for (document, why) in [
        (
            r#"{"environment":"development","workload":"other","values":{"A":"v"}}"#,
            "the wrong bundle",
        ),
        (r#"{"environment":"production","workload":"api","values":{"A":"v"}}"#, "the wrong bundle"),
        (
            r#"{"environment":"development","workload":"api","values":{"a=b":"v"}}"#,
            "does not contain a bundle",
        ),
        ("{}", "does not contain a bundle"),
    ] {
        let sealed = age::encrypt(&recipient, document.as_bytes()).unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/age-encryption\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            sealed.len()
        );
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(&[head.as_bytes(), &sealed].concat()).unwrap();
        });
        let words = ["--workload", "api", "--identity", "key.txt", "--", "true"];
        let ran = launch(dir.path(), &url, &words).variable("COFFER_TOKEN", support::cli::TOKEN);
        ran.run("").refuses(1, [why]);
        answers.join().unwrap();
        assert!(!dir.path().join("cache").exists(), "the bundle must not be cached either");
    }
}

/// A workload that lost its access must not continue with the values it has.
#[test]
fn a_refusal_is_no_server_that_cannot_be_reached() {
    let local = Local::new();
    assert_eq!(local.run(&["--", "true"]).run("").code, Some(0));
    std::fs::remove_file(data_dir(local.dir.path()).join("local-workload.toml")).unwrap();
    let log = Lines::clone(&local.server.running.stderr);
    local.server.running.signal(Signal::HUP);
    log.wait_for(|text| text.contains("reloaded: 0 workloads, 0 files")).unwrap();
    local
        .run(&["--", "true"])
        .run("")
        .refuses(1, ["workload \"local\" does not include development", "config.toml"]);
    assert_eq!(files(&local.dir.path().join("cache")).len(), 0);
}

#[test]
fn with_watch_the_command_is_started_again_when_a_value_changes() {
    let local = Local::new();
    local.change("first");
    let script =
        "trap 'echo asked; exit 0' TERM; echo \"$DATABASE_URL\"; while :; do sleep 0.05; done";
    let running = local.run(&["--watch", "--", "sh", "-c", script]).spawn();
    running.stdout.wait_for(|line| line == "first\n").unwrap();
    local.change("second");
    running.stdout.wait_for(|line| line == "second\n").unwrap();
    // A change that does not affect the bundle does not restart the command.
    running.signal(Signal::TERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stdout, "first\nasked\nsecond\nasked\n");
}

#[test]
fn with_watch_signals_and_exit_codes_pass_through() {
    let local = Local::new();
    let running = local
        .run(&[
            "--watch",
            "--",
            "sh",
            "-c",
            "trap 'echo got; exit 7' USR1; echo ready; while :; do sleep 0.05; done",
        ])
        .spawn();
    running.stdout.wait_for(|text| text.contains("ready")).unwrap();
    running.signal(Signal::USR1);
    let ended = running.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), "ready\ngot\n"), "{ended:#?}");
    assert_eq!(local.run(&["--watch", "--", "sh", "-c", "exit 3"]).run("").code, Some(3));
    let killed = local.run(&["--watch", "--", "sh", "-c", "kill -KILL $$"]).run("");
    assert_eq!(killed.code, Some(128 + 9));
    local.run(&["--watch", "--", "/nowhere"]).run("").refuses(127, ["cannot run"]);
}

#[test]
fn a_value_that_no_environment_can_hold_is_named() {
    let local = Local::new();
    local.change("a\0b");
    local.run(&["--", "true"]).run("").refuses(1, ["DATABASE_URL contains a NUL byte", "--only"]);
    assert_eq!(local.run(&["--only", "OTHER", "--", "true"]).run("").code, Some(0));
}

#[test]
fn an_identity_that_is_missing_or_wrong_is_reported() {
    let local = Local::new();
    let other = local.dir.path().join("other.txt");
    let (identity, _) = coffer::vault::generate_identity();
    std::fs::write(&other, identity.as_bytes()).unwrap();
    let with = |path: &str| local.run(&["--identity", path, "--", "true"]).run("");
    with(other.to_str().unwrap()).refuses(1, ["no identity matches its recipients"]);
    with("nowhere.txt").refuses(1, ["nowhere.txt", "--identity"]);
    local
        .run(&["--workload", "api", "--", "true"])
        .run("")
        .refuses(2, ["no identity given for workload \"api\"", "--identity FILE"]);
}
