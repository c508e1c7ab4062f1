//! First starts of the real binary: what it creates in an empty data directory, what it tells the
//! operator, and that a first start may be interrupted at any point.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use support::Client;
use support::process::{Ended, Launch, Lines, Server, binary, has_program, strace};
use support::skip;
use support::tier;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    (dir, data_dir)
}

fn names(admin: &Client) -> Vec<String> {
    let body = admin.get("/api/environments").expect(200);
    let names = body["environments"].as_array().unwrap().iter();
    names.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

/// Fails unless the token belongs to the admin and allows everything.
fn works(server: &Server, token: &str) {
    let admin = Client::new(server.address, Some(token.to_owned()));
    let name = names(&admin).remove(0);
    let body = json!({ "key": "WORKS", "value": "a value to see" });
    let body = admin.post(&format!("/api/environments/{name}/secrets"), &body).expect(200);
    let id = body["secret"]["id"].as_str().unwrap();
    let body = admin.get(&format!("/api/secrets/{id}/value")).expect(200);
    assert_eq!(body["value"], "a value to see");
}

/// Extracts the command from the announcement, as a user would copy it.
fn command(stdout: &str) -> String {
    let stdout = stdout.replace("\r\n", "\n");
    let lines = stdout.lines().skip_while(|line| !line.trim_start().starts_with("curl "));
    let mut command = Vec::new();
    for line in lines {
        command.push(line);
        if !line.ends_with('\\') {
            break;
        }
    }
    assert!(!command.is_empty(), "the announcement has no command: {stdout}");
    command.join("\n")
}

/// Runs the command from another directory and returns the API response that it prints.
fn run(command: &str, variables: &[(&str, &str)]) -> serde_json::Value {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}\n{output:?}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {command}\n{output:?}"))
}

/// Runs the command that a server has announced, while that server runs.
fn run_announced(server: &Server, variables: &[(&str, &str)]) {
    let last = |line: &str| line.contains("\"neverReveal\"");
    server.running.stdout.wait_for(last).expect("the announcement ends with the command");
    let stdout = server.running.stdout.so_far();
    let body = run(&command(&stdout), variables);
    assert!(body["secret"]["id"].is_string(), "{body}");
    assert_eq!(body["secret"]["neverReveal"], true, "{body}");
}

#[test]
fn it_makes_a_key_an_environment_and_a_token() {
    let (_dir, data_dir) = place();
    let server = Launch::on(&data_dir).start();
    let token = server.token();
    assert!(token.starts_with("cof_") && token.len() >= 36);
    assert_eq!(names(&server.admin()), ["development"]);
    works(&server, &token);
    let ended = server.stop();
    for name in ["root.key", "bootstrap-token"] {
        let path = data_dir.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(
            ended.stdout.contains(path.to_str().unwrap()),
            "the path of the token is not printed: {ended:#?}"
        );
    }
    assert!(ended.stdout.contains("development"), "{ended:#?}");
}

#[test]
fn the_first_environments_can_be_named_and_only_the_first_start_makes_them() {
    let (_dir, data_dir) = place();
    let launch = Launch::on(&data_dir);
    let first = launch.clone().variable("COFFER_BOOTSTRAP__ENVIRONMENTS", "staging,production");
    let server = first.start();
    assert_eq!(names(&server.admin()), ["production", "staging"]);
    server.admin().delete("/api/environments/staging").expect(200);
    server.stop();
    let server = launch.start();
    assert_eq!(names(&server.admin()), ["production"]);
    server.stop();
    let server = first.start();
    assert_eq!(names(&server.admin()), ["production"]);
    server.stop();
}

#[test]
fn files_are_for_their_owner_only_under_any_umask() {
    let (dir, data_dir) = place();
    let launch = Launch::on(&data_dir).under(["sh", "-c", "umask 000; exec \"$@\"", "sh"]);
    for round in 0..2 {
        let server = launch.start();
        let body = json!({ "key": format!("ROUND_{round}"), "value": "v".repeat(60_000) });
        server.admin().post("/api/environments/development/secrets", &body).expect(200);
        server.stop();
    }
    let mut seen = 0;
    let mut rest = vec![data_dir];
    while let Some(path) = rest.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        let mode = metadata.permissions().mode() & 0o7777;
        assert_eq!(mode, wanted, "{} has {mode:o}", path.display());
        if metadata.is_dir() {
            rest.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} files below {}", dir.path().display());
}

#[test]
fn a_given_token_is_taken_and_not_written_down() {
    let (_dir, data_dir) = place();
    let token = format!("cof_{}", "Given-by_the-0perator".repeat(2));
    let given = Launch::on(&data_dir).variable("COFFER_BOOTSTRAP_TOKEN", &token);
    let server = given.start();
    works(&server, &token);
    if has_program("curl") {
        run_announced(&server, &[("COFFER_BOOTSTRAP_TOKEN", &token)]);
    }
    let ended = server.stop();
    ended.keeps_quiet_about(&token);
    assert!(!data_dir.join("bootstrap-token").exists());
    for file in ["db/db", "root.key", "lock"] {
        let bytes = std::fs::read(data_dir.join(file)).unwrap();
        let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!found, "the token is in {file}");
    }
    // Later starts ignore the variable.
    given.start().stop().keeps_quiet_about(&token);
    let server = Launch::on(&data_dir).start();
    assert_eq!(names(&Client::new(server.address, Some(token))), ["development"]);
    server.stop();
}

#[test]
fn a_given_token_must_be_one() {
    let bad = [
        format!("cof_{}", "a".repeat(31)),
        "a".repeat(40),
        format!("COF_{}", "a".repeat(40)),
        format!("cof_{}.", "a".repeat(40)),
        format!("cof_{} ", "a".repeat(40)),
        format!(" cof_{}", "a".repeat(40)),
        format!("cof_{}\u{e9}", "a".repeat(40)),
    ];
    for token in &bad {
        let (_dir, data_dir) = place();
        let launch = Launch::on(&data_dir).variable("COFFER_BOOTSTRAP_TOKEN", token);
        let ended = launch.complains(["COFFER_BOOTSTRAP_TOKEN", "cof_", "32"]);
        ended.keeps_quiet_about(token);
        // The refused start creates no admin, so the next start is a first start.
        assert!(!data_dir.join("bootstrap-token").exists());
        let server = Launch::on(&data_dir).start();
        works(&server, &server.token());
        server.stop();
    }
    let (_dir, data_dir) = place();
    let shortest = format!("cof_{}", "a".repeat(32));
    let server = Launch::on(&data_dir).variable("COFFER_BOOTSTRAP_TOKEN", &shortest).start();
    works(&server, &shortest);
    server.stop();
}

#[test]
fn the_printed_command_works_unchanged() {
    if !has_program("curl") {
        return skip("curl is not installed");
    }
    for name in ["data", "it's a $HOME \"place\"; really"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::on(&dir.path().join(name)).start();
        run_announced(&server, &[]);
        let ended = server.stop();
        assert!(!ended.stderr.contains("WARN"), "{ended:#?}");
    }
    // The default directory is relative, and the command must work from any directory.
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::bare(dir.path()).arguments(["--listen", "127.0.0.1:0"]).start();
    run_announced(&server, &[]);
    server.stop();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::bare(dir.path()).arguments(["--listen", "[::1]:0"]).start();
        run_announced(&server, &[]);
        server.stop();
    }
}

#[test]
fn what_is_not_a_terminal_never_gets_the_token() {
    let (_dir, data_dir) = place();
    let server = Launch::on(&data_dir).variable("RUST_LOG", "trace").start();
    let token = server.token();
    let first = server.stop();
    assert!(first.stdout.contains("curl"), "{first:#?}");
    let second = Launch::on(&data_dir).start().stop();
    for ended in [&first, &second] {
        ended.keeps_quiet_about(&token);
        ended.keeps_quiet_about(&token["cof_".len()..]);
    }
    assert_eq!(second.stdout.lines().count(), 1, "a later start announces nothing: {second:#?}");
}

/// sled logs each batch that it applies, with bytes as decimal numbers.
#[test]
fn no_row_is_in_the_log_however_much_of_it_is_asked_for() {
    let (_dir, data_dir) = place();
    for filters in ["trace", "sled=trace", "sled::tree=trace,coffer=debug"] {
        let server = Launch::on(&data_dir).variable("RUST_LOG", filters).start();
        let value = format!("seen by nobody, {}", filters.len());
        let name = format!("VAR{}", filters.len());
        support::api::new_var(&server.admin(), "development", &name, &value);
        let ended = server.stop();
        ended.keeps_quiet_about(&value);
        let decimal: Vec<_> = value.bytes().map(|byte| byte.to_string()).collect();
        ended.keeps_quiet_about(&decimal.join(", "));
        assert!(!ended.stderr.contains("applying batch"), "{ended:#?}");
        support::await_release(&data_dir);
    }
}

#[test]
fn a_terminal_gets_the_token_once() {
    if !has_program("script") {
        return skip("script(1) is not installed");
    }
    let (dir, data_dir) = place();
    let (first, code) = in_terminal(dir.path(), &data_dir, "\"neverReveal\"");
    assert_eq!(code, Some(0), "the server did not exit with code 0 after Ctrl-C: {first}");
    let token = std::fs::read_to_string(data_dir.join("bootstrap-token")).unwrap();
    assert!(first.contains(token.trim()), "{first}");
    assert!(!command(&first).contains(token.trim()), "the token would stay in the shell's history");
    let (second, code) = in_terminal(dir.path(), &data_dir, "listening on");
    assert_eq!(code, Some(0), "{second}");
    assert!(!second.contains(token.trim()) && !second.contains("curl"), "{second}");
}

/// Runs a server in a terminal until it has printed `last`, then types Ctrl-C.
fn in_terminal(dir: &Path, data_dir: &Path, last: &str) -> (String, Option<i32>) {
    let line =
        format!("exec '{}' --listen 127.0.0.1:0 --data-dir '{}'", binary(), data_dir.display());
    let mut script = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = Lines::read(script.stdout.take().unwrap());
    let mut keyboard = script.stdin.take().unwrap();
    assert!(output.wait_for(|line| line.contains(last)).is_some(), "{}", output.all());
    keyboard.write_all(b"\x03").unwrap();
    let text = output.all();
    (text, script.wait().unwrap().code())
}

#[test]
fn a_key_without_a_database_is_used() {
    let (_dir, data_dir) = place();
    Launch::on(&data_dir).start().stop();
    let key = std::fs::read_to_string(data_dir.join("root.key")).unwrap();
    let old_token = std::fs::read_to_string(data_dir.join("bootstrap-token")).unwrap();
    // Simulates a first start that was interrupted before its first row.
    std::fs::remove_dir_all(data_dir.join("db")).unwrap();
    std::fs::remove_file(data_dir.join("in-use")).unwrap();

    let server = Launch::on(&data_dir).start();
    let token = server.token();
    assert_ne!(token, old_token.trim(), "the token of another database was kept");
    works(&server, &token);
    let ended = server.stop();
    is_first(&ended);
    assert_eq!(std::fs::read_to_string(data_dir.join("root.key")).unwrap(), key);
}

fn is_first(ended: &Ended) {
    assert!(ended.stdout.contains("curl"), "no announcement: {ended:#?}");
}

#[test]
fn a_token_file_without_a_database_is_replaced() {
    let (_dir, data_dir) = place();
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::write(data_dir.join("bootstrap-token"), "cof_half").unwrap();
    let server = Launch::on(&data_dir).start();
    works(&server, &server.token());
    let mode = data_dir.join("bootstrap-token").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    is_first(&server.stop());
}

/// Otherwise the file would hold a token that the server does not know.
#[test]
fn a_token_file_without_a_database_goes_when_a_token_is_given() {
    let (_dir, data_dir) = place();
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::write(data_dir.join("bootstrap-token"), "cof_left-over-of-a-first-start").unwrap();
    let token = format!("cof_{}", "t".repeat(40));
    let server = Launch::on(&data_dir).variable("COFFER_BOOTSTRAP_TOKEN", &token).start();
    works(&server, &token);
    server.stop();
    assert!(!data_dir.join("bootstrap-token").exists());
}

/// Kills a first start at each of its writes, syncs and renames in turn. The next start must always
/// succeed.
#[test]
fn a_first_start_may_be_cut_off_anywhere() {
    let words = match strace::words() {
        Ok(words) => words,
        Err(reason) => return skip(reason),
    };
    // strace counts calls per thread, so each kind of call has its own series.
    let (mut cuts, mut lost) = (0, Vec::new());
    for step in ["mkdir", "fsync", "fdatasync", "rename", "pwrite64", "write"] {
        for at in (1..).step_by(tier::rounds(1, 3)) {
            let (_dir, data_dir) = place();
            if !cut_off(&data_dir, &words, &format!("inject={step}:signal=KILL:when={at}")) {
                break;
            }
            cuts += 1;
            match Launch::on(&data_dir).try_start() {
                Ok(server) => {
                    works(&server, &server.token());
                    server.stop();
                    support::rows_fit(&data_dir);
                }
                Err(ended) => lost.push(format!("after {step} {at}: {}", ended.stderr)),
            }
        }
    }
    assert!(lost.is_empty(), "these no longer start: {lost:#?}");
    assert!(cuts >= tier::rounds(12, 5), "only {cuts} kills");
}

/// Returns whether the first start was killed at this call.
fn cut_off(data_dir: &Path, words: &[String], cut: &str) -> bool {
    let (running, _trace) = strace::spawn(&Launch::on(data_dir), words, &["-e", cut]);
    match running.listening(data_dir) {
        Err(ended) => {
            assert_eq!(ended.signal, Some(9), "{ended:#?}");
            true
        }
        Ok(_server) => false,
    }
}
