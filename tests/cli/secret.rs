//! `coffer secret`, against the real server: what it stores, what it prints, and where a value must
//! never appear.

use serde_json::{Value, json};
use support::cli::{Cli, TOKEN};
use support::fake_server::FakeServer;
use support::process::{Launch, Server, has_program};
use support::skip;
use tempfile::TempDir;

fn start() -> (TempDir, Server, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let cli = Cli::of(&server);
    (dir, server, cli)
}

/// A command in the environment `development`, set by a variable.
fn launch<const N: usize>(cli: &Cli, words: [&str; N]) -> Launch {
    cli.launch(words).variable("COFFER_ENV", "development")
}

#[track_caller]
fn set(cli: &Cli, key: &str, value: &str) -> Value {
    launch(cli, ["secret", "set", key, "--stdin"]).run(value).json()["secret"].clone()
}

#[track_caller]
fn revealed(cli: &Cli, key: &str) -> String {
    let ended = launch(cli, ["secret", "reveal", key]).run("");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:#?}");
    ended.stdout
}

#[test]
fn a_secret_is_set_set_again_listed_revealed_and_deleted() {
    let (_dir, server, cli) = start();
    let words = ["secret", "set", "DB", "--env", "development", "--stdin"];
    let made = cli.launch(words).arguments(["--description", "for the app"]).run("one").json();
    assert_eq!(
        (&made["secret"]["version"], &made["secret"]["description"]),
        (&json!(1), &json!("for the app"))
    );
    assert_eq!(revealed(&cli, "DB"), "one");
    // Only the value changes.
    let again = set(&cli, "DB", "two");
    assert_eq!((&again["version"], &again["description"]), (&json!(2), &json!("for the app")));
    assert_eq!((&again["id"], revealed(&cli, "DB").as_str()), (&made["secret"]["id"], "two"));
    // A longer key with the same beginning is a different key.
    set(&cli, "DB_URL", "three");
    set(&cli, "D", "four");
    let list = launch(&cli, ["secret", "list"]).run("").json();
    assert_eq!(support::api::keys(&list["secrets"]), ["D", "DB", "DB_URL"]);
    assert_eq!(list, server.admin().get("/api/environments/development/secrets").expect(200));
    let json = launch(&cli, ["secret", "reveal", "DB", "--json"]).run("").json();
    assert_eq!(json, json!({ "value": "two" }));
    launch(&cli, ["secret", "rm", "DB"]).run("").refuses(2, ["not a terminal", "--yes"]);
    assert_eq!(
        launch(&cli, ["secret", "rm", "DB", "--yes"]).run("").json(),
        json!({ "success": true })
    );
    let gone = launch(&cli, ["secret", "reveal", "DB"]).run("");
    gone.refuses(
        1,
        ["no secret named DB in development\n", "coffer secret list --env development"],
    );
    assert_eq!(revealed(&cli, "DB_URL"), "three");
    server.stop();
}

#[test]
fn versions_are_listed_and_an_old_one_comes_back() {
    let (_dir, server, cli) = start();
    set(&cli, "A", "one");
    set(&cli, "A", "two");
    let versions = launch(&cli, ["secret", "versions", "A"]).run("").json();
    assert_eq!(versions["versions"][0]["version"], 2);
    let back = launch(&cli, ["secret", "activate", "A", "1"]).run("").json();
    assert_eq!((&back["secret"]["version"], revealed(&cli, "A").as_str()), (&json!(3), "one"));
    launch(&cli, ["secret", "activate", "A", "9"]).run("").refuses(1, ["Version not found"]);
    launch(&cli, ["secret", "activate", "A", "0"]).run("").refuses(2, ["VERSION"]);
    server.stop();
}

#[test]
fn what_is_write_only_is_so_from_the_start_or_from_a_latch_on() {
    let (_dir, server, cli) = start();
    let words = ["secret", "set", "SHUT", "--stdin", "--never-reveal"];
    assert_eq!(launch(&cli, words).run("v").json()["secret"]["neverReveal"], true);
    launch(&cli, ["secret", "reveal", "SHUT"]).run("").refuses(1, ["The secret is write-only\n"]);
    // Setting it again does not make it revealable.
    assert_eq!(set(&cli, "SHUT", "w")["neverReveal"], true);
    set(&cli, "OPEN", "v");
    let latch = ["secret", "latch", "OPEN"];
    launch(&cli, latch).run("").refuses(2, ["not a terminal", "--yes"]);
    assert_eq!(revealed(&cli, "OPEN"), "v");
    let latched = launch(&cli, latch).argument("--yes").run("").json();
    assert_eq!(latched["secret"]["neverReveal"], true);
    launch(&cli, ["secret", "reveal", "OPEN"]).run("").refuses(1, ["write-only"]);
    // It is already write-only, so the command does not prompt.
    launch(&cli, latch).run("").json();
    server.stop();
}

#[test]
fn what_the_server_makes_is_seen_by_nobody_who_does_not_ask() {
    let (_dir, server, cli) = start();
    let words = ["secret", "generate", "G", "--length", "40", "--alphabet", "hex"];
    let made = launch(&cli, words).run("");
    let value = revealed(&cli, "G");
    assert!(value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
    made.keeps_quiet_about(&value);
    assert_eq!(launch(&cli, words).run("").json()["secret"]["version"], 2);
    assert_ne!(revealed(&cli, "G"), value);
    let never = launch(&cli, ["secret", "generate", "N", "--never-reveal"]).run("").json();
    assert_eq!(never["secret"]["neverReveal"], true);
    for bad in [["--length", "0"], ["--length", "4097"], ["--alphabet", "greek"]] {
        launch(&cli, ["secret", "generate", "G"]).arguments(bad).run("").refuses(2, [bad[0]]);
    }
    server.stop();
}

#[test]
fn a_value_comes_through_byte_for_byte_but_for_the_line_break_of_a_single_line() {
    let (dir, server, cli) = start();
    let long = "x".repeat(60_000);
    for (given, kept) in [
        ("word\n", "word"),
        ("word", "word"),
        (" blanks \t\n", " blanks \t"),
        (
            "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
            "-----BEGIN KEY-----\nabc\n-----END KEY-----\n",
        ),
        ("nul\u{0}é\u{1F511}\"\\", "nul\u{0}é\u{1F511}\"\\"),
        (&long, &long),
    ] {
        set(&cli, "A", given);
        assert_eq!(revealed(&cli, "A"), kept);
        std::fs::write(dir.path().join("value"), given).unwrap();
        let words = ["secret", "set", "A", "--file"];
        launch(&cli, words).argument(dir.path().join("value")).run("").json();
        assert_eq!(revealed(&cli, "A"), kept);
    }
    launch(&cli, ["secret", "set", "A", "--stdin", "--exact"]).run("word\n").json();
    assert_eq!(revealed(&cli, "A"), "word\n");
    server.stop();
}

#[test]
fn what_is_no_value_is_not_sent() {
    let scripted = FakeServer::answering([(
        "GET /api/environments/development/secrets?prefix=A&limit=1",
        200,
        json!({ "secrets": [] }),
    )]);
    let cli = Cli::on(scripted.address);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("binary"), b"\xff\xfe").unwrap();
    std::fs::write(dir.path().join("long"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let file = |name: &str| {
        launch(&cli, ["secret", "set", "A", "--file"]).argument(dir.path().join(name)).run("")
    };
    file("binary").refuses(1, ["is not valid UTF-8", "base64"]);
    file("long").refuses(1, ["is too long", "1 MiB"]);
    file("missing").refuses(1, ["cannot read", "missing"]);
    launch(&cli, ["secret", "set", "A", "--stdin"]).run("").refuses(1, ["the value is empty"]);
    launch(&cli, ["secret", "set", "A", "--stdin"]).run("\n").refuses(1, ["the value is empty"]);
    launch(&cli, ["secret", "set", "A"])
        .run("piped")
        .refuses(2, ["cannot prompt for the value", "--stdin", "--file"]);
    launch(&cli, ["secret", "set", "A", "--stdin", "--file", "x"])
        .run("")
        .refuses(2, ["cannot be used with"]);
    assert!(scripted.lines().iter().all(|line| line.starts_with("GET")), "{:?}", scripted.lines());
}

/// Other users can list the arguments of processes, and shells store them. A value given
/// as an argument is refused, and is not repeated on the screen or in a log.
#[test]
fn a_value_in_the_arguments_is_refused_and_not_repeated() {
    let scripted = FakeServer::answering([]);
    let cli = Cli::on(scripted.address);
    let value = "hunter2hunter2";
    for words in [
        vec!["A", value],
        vec!["A", value, "--never-reveal"],
        vec!["A", "--env", "development", value],
        vec!["A=hunter2hunter2"],
        vec!["A", "--value", value],
        vec!["A", "--value=hunter2hunter2"],
        vec!["A", "--", value],
        vec!["A", "-xhunter2hunter2"],
        vec!["A", "--hunter2hunter2"],
    ] {
        let launch = words.iter().fold(launch(&cli, ["secret", "set"]), Launch::argument);
        let ended = launch.run("");
        ended.refuses(2, ["do not pass secret values as arguments", "--stdin or --file"]);
        ended.keeps_quiet_about(value);
    }
    // Also a value in place of the key.
    let ended = launch(&cli, ["secret", "set", value]).run("");
    ended.refuses(2, ["a key must be 1 to 256 characters", "DATABASE_URL"]);
    ended.keeps_quiet_about(value);
    assert_eq!(scripted.lines(), [""; 0]);
    // A command that is merely incomplete gets the usual message.
    cli.run(["secret", "set"]).refuses(2, ["<KEY>"]);
}

#[test]
fn an_environment_is_named_or_nothing_is_done() {
    let scripted = FakeServer::answering([(
        "GET /api/environments/prod/secrets",
        200,
        json!({ "secrets": [] }),
    )]);
    let cli = Cli::on(scripted.address);
    cli.run(["secret", "list"]).refuses(2, ["no environment given\n", "--env or COFFER_ENV"]);
    let with = |env: &str| cli.launch(["secret", "list"]).variable("COFFER_ENV", env);
    with("prod").run("").json();
    with("dev").arguments(["--env", "prod"]).run("").json();
    with("../users").run("").refuses(2, ["COFFER_ENV must be 1 to 50 characters"]);
    with("").run("").refuses(2, ["no environment given\n", "--env or COFFER_ENV"]);
    cli.run(["secret", "list", "--env", "a/b"]).refuses(2, ["must be 1 to 50 characters"]);
    assert_eq!(scripted.lines(), ["GET /api/environments/prod/secrets"; 2]);
}

/// An id from the server must not lead to another path.
#[test]
fn a_server_cannot_lead_a_deletion_astray() {
    let secret = json!({ "id": "../users/usr_1", "key": "A", "description": null,
        "neverReveal": false, "version": 1, "updatedAt": "2026-01-31T00:00:00.000Z" });
    let list = json!({ "secrets": [secret] });
    let line = "GET /api/environments/development/secrets?prefix=A&limit=1";
    let scripted = FakeServer::answering([(line, 200, list)]);
    let cli = Cli::on(scripted.address);
    let ended = launch(&cli, ["secret", "rm", "A", "--yes"]).run("");
    ended.refuses(1, ["unexpected response"]);
    assert_eq!(scripted.lines(), [line]);
}

#[test]
fn a_person_types_the_value_twice_unseen_and_is_shown_tables() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = start();
    let typed = |first: &str, second: &str| {
        let mut terminal = launch(&cli, ["secret", "set", "A"]).in_terminal();
        terminal.shows("New value: ");
        terminal.hides();
        terminal.types(&format!("{first}\n"));
        terminal.shows("Confirm value: ");
        terminal.hides();
        terminal.types(&format!("{second}\n"));
        terminal.ends()
    };
    let (text, code) = typed("typed value", "typed volue");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the values do not match, nothing was changed"), "{text}");
    let (text, code) = typed("typed value", "typed value");
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("typed value") && text.contains("KEY  VERSION  REVEAL"), "{text}");
    assert_eq!(revealed(&cli, "A"), "typed value");
    let screen = |words: &[&str]| {
        let launch = words.iter().fold(launch(&cli, ["secret"]), Launch::argument);
        let (text, code) = launch.in_terminal().ends();
        assert_eq!(code, Some(0), "{text}");
        text
    };
    // A terminal gets a line break; a pipe does not.
    assert_eq!(screen(&["reveal", "A"]), "typed value\n");
    let list = screen(&["list"]);
    assert!(list.contains("A    1        by admins  20"), "{list}");
    assert!(screen(&["versions", "A"]).starts_with("VERSION  CURRENT  CREATED"));
    assert_eq!(screen(&["list", "--json"]).lines().count(), 1);
    for (words, question, done) in [
        (["secret", "latch", "A"], "Make A in development write-only?", "never"),
        (
            ["secret", "rm", "A"],
            "Permanently delete A and all its versions from development?",
            "deleted A",
        ),
    ] {
        let mut terminal = launch(&cli, words).in_terminal();
        terminal.shows(question);
        terminal.types("n\n");
        let (text, code) = terminal.ends();
        assert!(code == Some(1) && text.contains("nothing was changed"), "{text}");
        let mut terminal = launch(&cli, words).in_terminal();
        terminal.shows(question);
        terminal.types("y\n");
        let (text, code) = terminal.ends();
        assert!(code == Some(0) && text.contains(done), "{text}");
    }
    server.stop();
}

#[test]
fn a_value_does_not_steer_the_terminal_that_it_is_shown_on() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = start();
    let bad = "a\u{1b}]0;title\u{7}b\u{9b}2J\rc";
    set(&cli, "A", bad);
    let (text, code) = launch(&cli, ["secret", "reveal", "A"]).in_terminal().ends();
    assert_eq!(code, Some(0));
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(text.starts_with("a\\u{1b}]0;title\\u{7}b\\u{9b}2J\\u{d}c\n"), "{text:?}");
    assert!(text.contains("pipe the output to get the exact value"), "{text:?}");
    assert_eq!(revealed(&cli, "A"), bad);
    server.stop();
}

#[test]
fn color_is_for_terminals_and_for_who_wants_it() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = start();
    let list = |variables: &[(&str, &str)]| {
        let launch = launch(&cli, ["secret", "list"]);
        variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, value))
    };
    let colored = |variables: &[(&str, &str)]| {
        let (text, code) = list(variables).in_terminal().ends();
        assert_eq!(code, Some(0), "{text}");
        text.contains('\u{1b}')
    };
    assert!(colored(&[("TERM", "xterm-256color")]));
    assert!(colored(&[("TERM", "xterm"), ("NO_COLOR", "")]));
    assert!(!colored(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!colored(&[("TERM", "dumb")]));
    assert!(!colored(&[]));
    let gone = launch(&cli, ["secret", "reveal", "GONE"]).variable("TERM", "xterm").in_terminal();
    let (text, code) = gone.ends();
    assert_eq!(code, Some(1));
    assert!(text.starts_with("\u{1b}[1;31mcoffer:\u{1b}[0m no secret named"), "{text:?}");
    let piped = list(&[("TERM", "xterm")]).run("");
    assert!(!piped.stdout.contains('\u{1b}'), "{piped:#?}");
    let failed = launch(&cli, ["secret", "reveal", "GONE"]).variable("TERM", "xterm").run("");
    failed.refuses(1, ["coffer: no secret named"]);
    assert!(!failed.stderr.contains('\u{1b}'), "{failed:#?}");
    server.stop();
}

#[test]
fn a_request_is_sent_again_when_the_server_says_when_and_once_is_once() {
    let busy = json!({ "code": "SERVICE_UNAVAILABLE", "message": "Try again: overload." });
    let limited = json!({ "code": "RATE_LIMITED", "message": "Too many." });
    let list = "GET /api/environments/development/secrets?prefix=A&limit=1";
    let post = "POST /api/environments/development/secrets";
    let secret = json!({ "id": "sec_1", "key": "A", "description": null, "neverReveal": false,
        "version": 1, "updatedAt": "2026-01-31T00:00:00.000Z" });
    let scripted = FakeServer::waiting([
        (list, 429, 0, limited),
        (list, 200, 0, json!({ "secrets": [] })),
        (post, 503, 0, busy.clone()),
        (post, 503, 1, busy.clone()),
        (post, 200, 0, json!({ "secret": secret })),
    ]);
    let cli = Cli::on(scripted.address);
    let ended = launch(&cli, ["secret", "set", "A", "--stdin"]).run("value");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(ended.stderr.matches("server is busy, trying again in").count(), 3, "{ended:#?}");
    assert_eq!(scripted.lines(), [list, list, post, post, post]);
    // The key is the same, so that the server recognizes the request.
    let heard = scripted.heard();
    let keys: Vec<_> = heard.iter().map(|heard| heard.header("idempotency-key")).collect();
    assert_eq!((&keys[0], &keys[2], &keys[3]), (&None, &keys[4], &keys[4]));
    assert!(keys[4].as_ref().is_some_and(|key| key.len() > 32), "{keys:?}");
    let again = launch(&cli, ["secret", "set", "A", "--stdin"]).run("value");
    assert_eq!(again.code, Some(0));
    assert_ne!(scripted.heard().last().unwrap().header("idempotency-key"), keys[4]);

    // A change that may have been made is not sent again, and the wait is limited.
    let patch = "PATCH /api/secrets/sec_1";
    let secret = json!({ "id": "sec_1", "key": "A", "description": null, "neverReveal": false,
        "version": 1, "updatedAt": "2026-01-31T00:00:00.000Z" });
    let scripted = FakeServer::waiting([
        (list, 200, 0, json!({ "secrets": [secret] })),
        (patch, 503, 0, busy.clone()),
        ("GET /api/environments", 503, 0, busy),
    ]);
    let cli = Cli::on(scripted.address);
    let ended = launch(&cli, ["secret", "set", "A", "--stdin"]).run("value");
    ended.refuses(1, ["Try again: overload.\n", "Try again in 0 s."]);
    assert_eq!(scripted.lines(), [list, patch]);
    let ended = cli.run(["env", "list"]);
    assert_eq!((ended.code, scripted.lines().len()), (Some(1), 2 + 4), "{ended:#?}");
}

/// The value that was set is in the server and nowhere else: not in the arguments of any process,
/// the output, a file, or the audit log.
#[test]
fn the_value_that_is_set_is_nowhere_else() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (dir, server, _cli) = start();
    let canary = "Kq7f3-canary-of-the-command-line";
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let person = json!({ "email": "ada@example.org", "password": "correct horse battery",
        "role": "admin", "allEnvironments": true });
    server.admin().post("/api/users", &person).expect(200);
    let url = format!("http://{}", server.address);
    let of = |words: &[&str]| {
        let launch = words.iter().fold(Launch::bare(&home), Launch::argument);
        launch.variable("HOME", &home)
    };
    of(&["login", "--url", &url, "--email", "ada@example.org", "--password-stdin"])
        .run("correct horse battery\n")
        .json();

    // Typed at the prompt: while the command waits for the confirmation, the test examines it.
    let set = ["secret", "set", "TYPED", "--env", "development"];
    let mut terminal = of(&set).in_terminal();
    terminal.shows("New value: ");
    terminal.hides();
    terminal.types(&format!("{canary}\n"));
    terminal.shows("Confirm value: ");
    assert!(
        arguments_of_all().iter().any(|words| words.contains("TYPED")),
        "the arguments of the running command were not found"
    );
    assert!(!arguments_of_all().concat().contains(canary));
    terminal.hides();
    terminal.types(&format!("{canary}\n"));
    let (screen, code) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains(canary), "{screen}");
    for words in [
        &["secret", "set", "PIPED", "--env", "development", "--stdin"][..],
        &["secret", "set", "PIPED", "--env", "development", "--stdin", "--never-reveal"],
        &["secret", "set", "PIPED", "--env", "nowhere", "--stdin"],
    ] {
        let ended = of(words).variable("RUST_LOG", "trace").run(canary);
        ended.keeps_quiet_about(canary);
    }
    for words in [["secret", "list"], ["secret", "versions"]] {
        let launch = words.iter().fold(of(&[]), Launch::argument);
        let launch = if words[1] == "versions" { launch.argument("PIPED") } else { launch };
        let ended = launch.arguments(["--env", "development"]).run("");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        ended.keeps_quiet_about(canary);
    }
    let log = of(&["audit", "export"]).run("");
    assert!(log.stdout.contains("secret.create") && log.stdout.contains("PIPED"), "{log:#?}");
    log.keeps_quiet_about(canary);
    let reveal = of(&["secret", "reveal", "TYPED", "--env", "development"]).run("");
    assert_eq!(reveal.stdout, canary, "the server must have the value");
    let ended = server.stop();
    ended.keeps_quiet_about(canary);
    let found = files_with(dir.path(), canary.as_bytes());
    assert!(found.is_empty(), "{found:?}");
    assert!(!files_with(dir.path(), b"ada@example.org").is_empty(), "no files were searched");
}

/// The arguments of every process, one process per line.
fn arguments_of_all() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let read = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).ok();
    processes
        .filter_map(read)
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .collect()
}

fn files_with(directory: &std::path::Path, text: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|bytes| bytes == text) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_token_is_not_in_the_answers_either() {
    let scripted = FakeServer::answering([(
        "GET /api/environments/development/secrets",
        200,
        json!({ "secrets": [] }),
    )]);
    let cli = Cli::on(scripted.address);
    let ended = launch(&cli, ["secret", "list"]).run("");
    ended.json();
    ended.keeps_quiet_about(TOKEN);
}
