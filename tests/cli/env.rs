//! `coffer env`, against the real server.

use serde_json::{Value, json};
use support::cli::Cli;
use support::fake_server::FakeServer;
use support::process::{Launch, Server, has_program};
use support::skip;
use tempfile::TempDir;

fn server() -> (TempDir, Server, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let cli = Cli::of(&server);
    (dir, server, cli)
}

fn names(cli: &Cli) -> Vec<String> {
    let list = cli.run(["env", "list"]).json();
    let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
    list["environments"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_program_gets_the_apis_answers() {
    let (_dir, server, cli) = server();
    let created = cli.run(["env", "create", "prod", "--display-name", "Production"]).json();
    let admin = server.admin();
    assert_eq!(created, admin.get("/api/environments/prod").expect(200));
    assert_eq!(created["environment"]["displayName"], "Production");
    let listed = cli.run(["env", "list", "--json"]).json();
    assert_eq!(listed, admin.get("/api/environments").expect(200));
    assert_eq!(cli.run(["env", "delete", "prod", "--yes"]).json(), json!({ "success": true }));
    let id = listed["environments"][0]["id"].as_str().unwrap();
    assert_eq!(cli.run(["env", "delete", id, "--yes"]).json(), json!({ "success": true }));
    assert_eq!(names(&cli), [""; 0]);
    server.stop();
}

#[test]
fn what_the_api_refuses_is_said_with_its_hint_and_request_id() {
    let (_dir, server, cli) = server();
    let again = cli.run(["env", "create", "Development"]);
    again.refuses(1, ["coffer: Environment already exists\n", "another name", "(request req_"]);
    cli.run(["env", "delete", "nowhere", "--yes"]).refuses(1, ["coffer: Environment not found\n"]);
    server.stop();
}

#[test]
fn what_holds_secrets_goes_only_by_force() {
    let (_dir, server, cli) = server();
    support::api::new_secret(&server.admin(), "development", "KEY", "a value");
    let delete = ["env", "delete", "development", "--yes"];
    cli.run(delete).refuses(1, ["Environment holds 1 secret"]);
    assert_eq!(names(&cli), ["development"]);
    cli.run(["env", "delete", "development", "--yes", "--force"]).json();
    assert_eq!(names(&cli), [""; 0]);
    server.stop();
}

#[test]
fn nothing_is_deleted_when_nobody_can_be_asked() {
    let (_dir, server, cli) = server();
    cli.run(["env", "delete", "development"]).refuses(2, ["not a terminal", "--yes"]);
    // A "y" on a pipe does not count as an answer: it may be meant for another program.
    let piped = cli.launch(["env", "delete", "development"]).run("y\n");
    piped.refuses(2, ["not a terminal", "--yes"]);
    assert_eq!(names(&cli), ["development"]);
    server.stop();
}

#[test]
fn an_invalid_name_is_not_sent() {
    let scripted = FakeServer::answering([]);
    let cli = Cli::on(scripted.address);
    for name in ["", "a b", "../users", "a/../../x", ".hidden", "a?force=true"] {
        cli.run(["env", "delete", name, "--yes"]).refuses(2, ["must be 1 to 50 characters"]);
        cli.run(["env", "create", name]).refuses(2, ["must be 1 to 50 characters"]);
    }
    assert_eq!(scripted.lines(), [""; 0]);
}

#[test]
fn a_person_gets_a_table_and_is_asked() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = server();
    let made = cli.screen(["env", "create", "prod", "--display-name", "Ünïcode"]);
    assert!(made.starts_with("NAME  DISPLAY NAME  SECRETS"), "{made}");
    let list = cli.screen(["env", "list"]);
    let column = |line: &str, text: &str| {
        line.find(text).map_or_else(|| panic!("{list}"), |at| line[..at].chars().count())
    };
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 3, "{list}");
    assert_eq!(column(lines[0], "DISPLAY NAME"), column(lines[2], "Ünïcode"));
    assert_eq!(column(lines[0], "ID"), column(lines[1], "env_"));
    assert_eq!(column(lines[0], "ID"), column(lines[2], "env_"));
    assert_eq!(cli.screen(["env", "list", "--json"]).lines().count(), 1);

    for answer in ["n\n", "\n", "prod\n", "\u{4}"] {
        let mut terminal = cli.in_terminal(["env", "delete", "prod"]);
        terminal.shows("Permanently delete environment prod? [y/N]");
        terminal.types(answer);
        let (text, code) = terminal.ends();
        assert_eq!(code, Some(1), "{answer:?}: {text}");
        assert!(text.contains("nothing was changed"), "{text}");
        assert_eq!(names(&cli), ["development", "prod"]);
    }
    let mut terminal = cli.in_terminal(["env", "delete", "prod", "--force"]);
    terminal.shows("Permanently delete environment prod and everything in it? [y/N]");
    terminal.types("y\n");
    let (text, code) = terminal.ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("deleted prod"), "{text}");
    assert_eq!(names(&cli), ["development"]);
    server.stop();
}

/// Otherwise the terminal would execute an escape sequence in a name.
#[test]
fn nothing_that_others_have_named_steers_the_terminal() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let bad = "a\u{1b}]0;title\u{7}\u{9b}2Jb\r\nc";
    let environment = json!({ "id": "env_1", "name": "n", "displayName": bad, "createdAt": bad,
        "_count": { "secrets": 0, "vars": 0 } });
    let error = json!({ "code": "CONFLICT", "message": bad, "hint": bad, "requestId": bad });
    let scripted = FakeServer::answering([
        ("GET /api/environments", 200, json!({ "environments": [environment] })),
        ("POST /api/environments", 409, error),
    ]);
    let cli = Cli::on(scripted.address);
    let (refused, code) = cli.in_terminal(["env", "create", "n"]).ends();
    assert_eq!(code, Some(1));
    let shown = [cli.screen(["env", "list"]), cli.screen(["env", "list", "--json"]), refused];
    for text in shown {
        assert!(text.contains("title"), "{text:?}");
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(steers), "{text:?}");
    }
}

#[test]
fn the_help_names_every_command() {
    let cli = Cli::on(([127, 0, 0, 1], 9).into());
    let help = cli.run(["--help"]);
    assert_eq!(help.code, Some(0));
    let commands = ["serve", "env", "user", "service-account", "token", "audit", "recover"];
    for command in commands {
        let listed = |line: &str| line.trim_start().starts_with(&format!("{command} "));
        assert!(help.stdout.lines().any(listed), "{command}: {}", help.stdout);
    }
    for command in &commands[1..] {
        let bare = cli.run([command]);
        assert_eq!(bare.code, Some(2), "{bare:#?}");
        assert!(bare.stderr.contains("Commands:"), "{bare:#?}");
    }
}
