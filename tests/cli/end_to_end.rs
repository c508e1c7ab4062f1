//! The operator's commands run in sequence against the real server: each finds what the one before
//! created, and revoked credentials no longer work.

use serde_json::{Value, json};
use support::Client;
use support::cli::Cli;
use support::process::{Launch, Server};

const PASSWORD: &str = "correct horse battery";

fn start() -> (tempfile::TempDir, Server, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data"))
        .variable("COFFER_AUTH__ARGON2_MEMORY_KIB", "8192")
        .variable("COFFER_AUTH__ARGON2_PASSES", "1")
        .start();
    let cli = Cli::of(&server);
    (dir, server, cli)
}

fn with_password<const N: usize>(cli: &Cli, words: [&str; N], password: &str) -> Value {
    cli.launch(words).argument("--password-stdin").run(&format!("{password}\n")).json()
}

fn login(server: &Server, password: &str) -> u16 {
    let body = json!({ "email": "ada@example.org", "password": password });
    Client::new(server.address, None).post("/api/auth/login", &body).status
}

fn names(list: &Value, member: &str, name: &str) -> Vec<String> {
    let items = list[member].as_array().unwrap().iter();
    items.map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_user_is_made_listed_given_a_password_and_disabled() {
    let (_dir, server, cli) = start();
    let new = ["user", "create", "ada@example.org", "--role", "operator", "--env", "development"];
    let made = with_password(&cli, new, PASSWORD);
    assert_eq!(
        (&made["user"]["role"], &made["user"]["disabled"]),
        (&json!("operator"), &json!(false))
    );
    assert_eq!(names(&cli.run(["user", "list"]).json(), "users", "email"), ["ada@example.org"]);
    assert_eq!(login(&server, PASSWORD), 200);
    with_password(&cli, ["user", "passwd", "ADA@example.org"], "another password");
    assert_eq!((login(&server, PASSWORD), login(&server, "another password")), (401, 200));
    cli.run(["user", "disable", "ada@example.org"]).json();
    assert_eq!(login(&server, "another password"), 401);
    cli.run(["user", "enable", "ada@example.org"]).json();
    assert_eq!(login(&server, "another password"), 200);
    let taken = cli.launch(new).argument("--password-stdin").run("correct horse battery\n");
    taken.refuses(1, ["Email already in use"]);
    server.stop();
}

#[test]
fn a_token_of_a_service_account_works_until_it_is_revoked() {
    let (_dir, server, cli) = start();
    cli.run(["env", "create", "staging"]).json();
    let new = ["service-account", "create", "deploy", "--role", "operator", "--env", "staging"];
    cli.run(new).json();
    let made = cli
        .launch(["token", "create", "ci", "--role", "operator", "--env", "staging"])
        .arguments(["--service-account", "deploy", "--expires-in-days", "30"])
        .run("")
        .json();
    let token = made["token"].as_str().unwrap().to_owned();
    let machine = Client::new(server.address, Some(token));
    machine.get("/api/environments/staging/secrets").expect(200);
    machine.get("/api/environments/development/secrets").expect_error(403, "FORBIDDEN_SCOPE");
    let tokens = cli.run(["token", "list"]).json();
    assert_eq!(names(&tokens, "tokens", "name"), ["ci", "bootstrap"]);
    cli.run(["token", "revoke", "ci"]).json();
    machine.get("/api/environments/staging/secrets").expect_error(401, "UNAUTHORIZED");
    // The role is above its owner's: the API's own message is printed.
    let above = ["token", "create", "x", "--role", "admin", "--env", "staging"];
    let above = cli.launch(above).arguments(["--service-account", "deploy"]).run("");
    above.refuses(1, ["role must not be above the owner's role, operator"]);
    cli.run(["service-account", "delete", "deploy"]).json();
    let left = cli.run(["service-account", "list"]).json();
    assert_eq!(left, json!({ "serviceAccounts": [] }));
    server.stop();
}

#[test]
fn the_whole_audit_log_is_exported_the_same_online_and_offline() {
    let (dir, server, cli) = start();
    let new = ["user", "create", "ada@example.org", "--all-environments"];
    with_password(&cli, new, PASSWORD);
    let online = cli.run(["audit", "export"]);
    assert_eq!((online.code, online.stderr.as_str()), (Some(0), ""), "{online:#?}");
    assert!(!online.stdout.contains(PASSWORD));
    let rows: Vec<Value> =
        online.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=rows.len() as u64).collect::<Vec<_>>());
    assert!(rows.iter().any(|row| row["action"] == "user.create"));
    server.stop();
    let data = dir.path().join("data");
    support::await_release(&data);
    let offline = Launch::bare(dir.path())
        .arguments(["audit", "export", "--offline", "--data-dir"])
        .argument(&data)
        .run("");
    // The log now includes the stop.
    assert!(offline.stdout.starts_with(&online.stdout), "{offline:#?}");
    assert_eq!(offline.stdout.lines().count(), rows.len() + 1);
}

#[test]
fn a_scoped_admin_gets_the_servers_refusals() {
    let (dir, server, cli) = start();
    let made = cli
        .launch(["token", "create", "scoped", "--role", "admin", "--env", "development"])
        .run("")
        .json();
    let scoped = made["token"].as_str().unwrap();
    let run = |words: [&str; 2]| {
        Launch::bare(dir.path())
            .arguments(words)
            .variable("COFFER_URL", format!("http://{}", server.address))
            .variable("COFFER_TOKEN", scoped)
            .run("")
    };
    for words in [["user", "list"], ["token", "list"], ["audit", "verify"], ["audit", "export"]] {
        run(words).refuses(1, ["The credential's scope does not cover this."]);
    }
    run(["env", "list"]).json();
    server.stop();
}
