//! `coffer user`: the requests it sends, and that no password is shown. The API is scripted here;
//! its shapes are those of the contract.

use serde_json::{Value, json};
use support::cli::Cli;
use support::fake_server::FakeServer;
use support::process::has_program;
use support::skip;

const PASSWORD: &str = "correct horse battery staple";

fn user(id: &str, email: &str, environments: &[&str]) -> Value {
    json!({ "id": id, "email": email, "name": null, "role": "viewer",
        "allEnvironments": environments.is_empty(), "environmentIds": environments,
        "disabled": false, "lastActiveAt": null,
        "createdAt": "2026-01-31T00:00:00.000Z", "updatedAt": "2026-01-31T00:00:00.000Z" })
}

fn environments() -> Value {
    let one = |id: &str, name: &str| {
        json!({ "id": id, "name": name, "displayName": null, "sshConfigured": false,
            "createdAt": "2026-01-31T00:00:00.000Z", "updatedAt": "2026-01-31T00:00:00.000Z",
            "_count": { "secrets": 0, "vars": 0 } })
    };
    json!({ "environments": [one("env_1", "production"), one("env_2", "staging")] })
}

/// An API with two users and two environments.
fn api() -> (FakeServer, Cli) {
    let ada = user("usr_1", "ada@example.com", &["env_1", "env_2"]);
    let bob = user("usr_2", "Bob@example.com", &[]);
    let success = json!({ "success": true });
    let scripted = FakeServer::answering([
        ("GET /api/environments", 200, environments()),
        ("GET /api/users", 200, json!({ "users": [ada, bob] })),
        ("POST /api/users", 200, json!({ "user": bob })),
        ("POST /api/users/usr_2/change-password", 200, success),
        ("PATCH /api/users/usr_1", 200, json!({ "user": ada })),
    ]);
    let cli = Cli::on(scripted.address);
    (scripted, cli)
}

/// Fails if the command has sent a request that changes something.
#[track_caller]
fn unchanged(scripted: &FakeServer) {
    let lines = scripted.lines();
    assert!(lines.iter().all(|line| line.starts_with("GET ")), "{lines:?}");
}

#[test]
fn a_new_user_has_what_was_said_and_nothing_more() {
    let (scripted, cli) = api();
    let words = ["user", "create", "bob@example.com", "--all-environments", "--password-stdin"];
    let made = cli.launch(words).run(&format!("{PASSWORD}\nnot this\n"));
    assert_eq!(made.json()["user"]["id"], "usr_2");
    made.keeps_quiet_about(PASSWORD);
    let sent = scripted.only("POST /api/users");
    let body = json!({ "email": "bob@example.com", "password": PASSWORD, "role": "viewer",
        "allEnvironments": true });
    assert_eq!(sent.json(), body);
    assert_eq!(sent.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(scripted.lines(), ["POST /api/users"], "the scope needs no list of names");
}

#[test]
fn environments_are_named_and_sent_as_ids() {
    let (scripted, cli) = api();
    let words = ["user", "create", "x@example.com", "--name", "X", "--role", "operator"];
    let launch = cli.launch(words).arguments(["--env", "Staging", "--env", "env_1"]);
    launch.argument("--password-stdin").run(PASSWORD).json();
    let body = json!({ "email": "x@example.com", "name": "X", "password": PASSWORD,
        "role": "operator", "allEnvironments": false, "environmentIds": ["env_2", "env_1"] });
    assert_eq!(scripted.only("POST /api/users").json(), body);
}

#[test]
fn an_environment_that_is_not_there_stops_it() {
    let (scripted, cli) = api();
    let words = ["user", "create", "x@example.com", "--env", "prodution", "--password-stdin"];
    cli.launch(words)
        .run(PASSWORD)
        .refuses(1, ["no environment named \"prodution\"", "coffer env list"]);
    unchanged(&scripted);
}

#[test]
fn the_scope_must_be_said_and_said_once() {
    let (scripted, cli) = api();
    let create = cli.launch(["user", "create", "x@example.com", "--password-stdin"]);
    create.run(PASSWORD).refuses(2, ["--all-environments"]);
    let both = create.arguments(["--all-environments", "--env", "staging"]);
    both.run(PASSWORD).refuses(2, ["cannot be used with"]);
    let role = cli.launch(["user", "create", "x@example.com", "--all-environments"]);
    role.arguments(["--role", "root"]).run(PASSWORD).refuses(2, ["viewer", "operator", "admin"]);
    assert_eq!(scripted.lines(), [""; 0]);
}

#[test]
fn a_password_comes_from_stdin_only_when_it_was_said() {
    let (scripted, cli) = api();
    let words = ["user", "create", "x@example.com", "--all-environments"];
    let create = cli.launch(words);
    create.run(PASSWORD).refuses(2, ["stdin is not a terminal", "--password-stdin"]);
    cli.launch(["user", "passwd", "bob@example.com"])
        .run(PASSWORD)
        .refuses(2, ["stdin is not a terminal", "--password-stdin"]);
    create.clone().argument("--password-stdin").run("").refuses(2, ["no password on stdin"]);
    create.argument("--password-stdin").run("\nsecond line\n").refuses(2, ["no password on stdin"]);
    unchanged(&scripted);
}

#[test]
fn no_argument_takes_a_password_or_a_token() {
    let (scripted, cli) = api();
    for (option, value) in [("--password", PASSWORD), ("--token", support::cli::TOKEN)] {
        let words = ["user", "create", "x@example.com", "--all-environments", option, value];
        cli.run(words).refuses(2, ["unexpected argument"]);
    }
    assert_eq!(scripted.lines(), [""; 0]);
}

#[test]
fn a_user_is_found_by_address_whatever_its_case() {
    let (scripted, cli) = api();
    let passwd = cli.launch(["user", "passwd", "BOB@example.com", "--password-stdin"]);
    assert_eq!(passwd.run(&format!("{PASSWORD}\r\n")).json(), json!({ "success": true }));
    let sent = scripted.only("POST /api/users/usr_2/change-password");
    assert_eq!(sent.json(), json!({ "newPassword": PASSWORD }));
    cli.run(["user", "disable", "ada@example.com"]).json();
    assert_eq!(scripted.only("PATCH /api/users/usr_1").json(), json!({ "disabled": true }));
    cli.run(["user", "enable", "ada@example.com"]).json();
    assert_eq!(scripted.heard().last().unwrap().json(), json!({ "disabled": false }));
    let nobody = cli.run(["user", "disable", "eve@example.com"]);
    nobody.refuses(1, ["no user with email \"eve@example.com\"", "coffer user list"]);
}

#[test]
fn every_problem_of_a_refusal_is_listed() {
    let error = json!({ "code": "VALIDATION_ERROR", "message": "email is no address",
        "field": "email", "requestId": "req_1", "details": [
            { "field": "email", "message": "is no address" },
            { "field": "password", "message": "must be 12 to 256 characters" },
        ] });
    let scripted = FakeServer::answering([("POST /api/users", 400, error)]);
    let words = ["user", "create", "x", "--all-environments", "--password-stdin"];
    let refused = Cli::on(scripted.address).launch(words).run("short");
    let lines = "coffer: email is no address\n  email: is no address\n  \
                 password: must be 12 to 256 characters\n(request req_1)\n";
    refused.refuses(1, [lines]);
}

/// Ids become part of paths: one from a malicious server must not lead elsewhere.
#[test]
fn an_invalid_id_goes_into_no_path() {
    for id in ["", "../environments/production", "usr_1?x", "usr 1", "usr_1/..", "%2e%2e"] {
        let users = json!({ "users": [user(id, "ada@example.com", &[])] });
        let scripted = FakeServer::answering([("GET /api/users", 200, users)]);
        let refused = Cli::on(scripted.address).run(["user", "disable", "ada@example.com"]);
        refused.refuses(1, ["unexpected response"]);
        assert_eq!(scripted.lines(), ["GET /api/users"]);
    }
}

#[test]
fn a_person_sees_environments_by_name() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (scripted, cli) = api();
    let list = cli.screen(["user", "list"]);
    let row = |email: &str| {
        let line =
            list.lines().find(|line| line.starts_with(email)).unwrap_or_else(|| panic!("{list}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(row("EMAIL"), ["EMAIL", "NAME", "ROLE", "ENVIRONMENTS", "STATE", "LAST ACTIVE"]);
    let ada = ["ada@example.com", "-", "viewer", "production, staging", "enabled", "-"];
    assert_eq!(row("ada@"), ada);
    assert_eq!(row("Bob@")[3], "all");
    assert_eq!(scripted.lines(), ["GET /api/users", "GET /api/environments"]);
}

#[test]
fn a_person_types_the_password_twice_and_unseen() {
    if !has_program("script") || !has_program("stty") {
        return skip("there is no script(1) or no stty(1)");
    }
    let (scripted, cli) = api();
    let type_both = |words: [&str; 3], first: &str, second: &str| {
        let mut terminal = cli.in_terminal(words);
        for (prompt, typed) in
            [("New password (at least 12 characters): ", first), ("Confirm password: ", second)]
        {
            terminal.shows(prompt);
            terminal.hides();
            terminal.types(&format!("{typed}\n"));
        }
        let (text, code) = terminal.ends();
        assert!(!text.contains(first) && !text.contains(second), "{text}");
        (text, code)
    };
    let passwd = ["user", "passwd", "bob@example.com"];
    let (text, code) = type_both(passwd, PASSWORD, "correct horse battery stable");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the passwords do not match"), "{text}");
    unchanged(&scripted);
    let (text, code) = type_both(passwd, PASSWORD, PASSWORD);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("changed the password of bob@example.com"), "{text}");
    let sent = scripted.only("POST /api/users/usr_2/change-password");
    assert_eq!(sent.json(), json!({ "newPassword": PASSWORD }));

    // It would be visible while it is typed.
    let words = ["user", "passwd", "bob@example.com", "--password-stdin"];
    let (text, code) = cli.in_terminal(words).ends();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("stdin is a terminal"), "{text}");
}

#[test]
fn a_prompt_can_be_left() {
    if !has_program("script") || !has_program("stty") {
        return skip("there is no script(1) or no stty(1)");
    }
    let (scripted, cli) = api();
    let mut terminal = cli.in_terminal(["user", "passwd", "bob@example.com"]);
    terminal.shows("New password (at least 12 characters): ");
    terminal.hides();
    terminal.types("half of it\u{3}");
    let (text, code) = terminal.ends();
    assert_ne!(code, Some(0), "{text}");
    assert!(!text.contains("half of it"), "{text}");
    unchanged(&scripted);
}
