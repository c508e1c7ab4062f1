//! `coffer var` and `coffer copy`, against the real server.

use serde_json::{Value, json};
use support::cli::Cli;
use support::fake_server::FakeServer;
use support::process::{Launch, Server, has_program};
use support::{api, skip};
use tempfile::TempDir;

fn start() -> (TempDir, Server, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let cli = Cli::of(&server);
    (dir, server, cli)
}

fn launch<const N: usize>(cli: &Cli, words: [&str; N]) -> Launch {
    cli.launch(words).variable("COFFER_ENV", "development")
}

#[test]
fn a_var_is_set_set_again_shown_listed_and_deleted() {
    let (dir, server, cli) = start();
    let set =
        |value: &str| launch(&cli, ["var", "set", "LEVEL", value]).run("").json()["var"].clone();
    let made = set("info");
    assert_eq!((&made["value"], &made["version"]), (&json!("info"), &json!(1)));
    let get = || launch(&cli, ["var", "get", "LEVEL"]).run("").stdout;
    assert_eq!(get(), "info");
    assert_eq!(set("debug")["id"], made["id"]);
    assert_eq!(get(), "debug");
    launch(&cli, ["var", "set", "LEVEL", "--stdin", "--description", "how much"])
        .run("warn\n")
        .json();
    assert_eq!(get(), "warn");
    std::fs::write(dir.path().join("value"), "a\nb\n").unwrap();
    launch(&cli, ["var", "set", "LEVEL", "--file"])
        .argument(dir.path().join("value"))
        .run("")
        .json();
    assert_eq!(get(), "a\nb\n");
    let row = launch(&cli, ["var", "get", "LEVEL", "--json"]).run("").json();
    assert_eq!((&row["var"]["id"], &row["var"]["description"]), (&made["id"], &json!("how much")));
    let list = launch(&cli, ["var", "list"]).run("").json();
    assert_eq!(list, server.admin().get("/api/environments/development/vars").expect(200));
    launch(&cli, ["var", "rm", "LEVEL"]).run("").refuses(2, ["not a terminal", "--yes"]);
    launch(&cli, ["var", "rm", "LEVEL", "--yes"]).run("").json();
    launch(&cli, ["var", "get", "LEVEL"])
        .run("")
        .refuses(1, ["no var named LEVEL in development\n", "coffer var list --env development"]);
    server.stop();
}

#[test]
fn a_var_is_given_one_value_from_one_place() {
    let scripted = FakeServer::answering([(
        "GET /api/environments/development/vars?prefix=A&limit=1",
        200,
        json!({ "vars": [] }),
    )]);
    let cli = Cli::on(scripted.address);
    launch(&cli, ["var", "set", "A"]).run("x").refuses(2, ["no value given", "--stdin or --file"]);
    launch(&cli, ["var", "set", "A", "v", "--stdin"]).run("x").refuses(2, ["cannot be used with"]);
    launch(&cli, ["var", "set", "a", "v"]).run("").refuses(2, ["a key must be 1 to 256"]);
    launch(&cli, ["var", "set", "A", "v", "w"]).run("").refuses(2, ["unexpected argument"]);
    assert!(scripted.lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn a_person_sees_vars_in_a_table_with_their_values() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = start();
    api::new_var(&server.admin(), "development", "MOTTO", "two\nlines");
    let screen = |words: &[&str]| {
        let launch = words.iter().fold(launch(&cli, ["var"]), Launch::argument);
        let (text, code) = launch.in_terminal().ends();
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let list = screen(&["list"]);
    assert!(list.starts_with("KEY    VALUE") && list.contains("MOTTO  two\\nlines"), "{list}");
    assert_eq!(screen(&["get", "MOTTO"]), "two\nlines\n");
    assert!(screen(&["set", "LEVEL", "info"]).contains("LEVEL  info"));
    let mut terminal = launch(&cli, ["var", "rm", "MOTTO"]).in_terminal();
    terminal.shows("Permanently delete MOTTO from development? [y/N]");
    terminal.types("y\n");
    let (text, code) = terminal.ends();
    assert!(code == Some(0) && text.contains("deleted MOTTO"), "{text}");
    server.stop();
}

#[test]
fn secrets_are_copied_inside_the_server() {
    let (_dir, server, cli) = start();
    let admin = server.admin();
    api::new_environment(&admin, "prod");
    api::new_secret(&admin, "development", "A", "the value of A");
    let sealed = json!({ "key": "B", "value": "the value of B", "neverReveal": true });
    admin.post("/api/environments/development/secrets", &sealed).expect(200);
    let copy = |words: &[&str]| {
        let launch = cli.launch(["copy", "--from", "development", "--to", "prod"]);
        words.iter().fold(launch, Launch::argument).run("")
    };
    let ended = copy(&["A", "B"]);
    let answer = ended.json();
    let copied: Vec<_> = answer["copied"].as_array().unwrap().iter().collect();
    let said = |one: &Value| (one["outcome"].clone(), one["secret"]["neverReveal"].clone());
    assert_eq!(said(copied[0]), (json!("created"), json!(false)));
    assert_eq!(said(copied[1]), (json!("created"), json!(true)));
    ended.keeps_quiet_about("the value of A");
    assert_eq!(api::reveal(&admin, copied[0]["secret"]["id"].as_str().unwrap()), "the value of A");
    copy(&["A"])
        .refuses(1, ["coffer: A already exists in the target\n", "--on-conflict skip or replace"]);
    assert_eq!(copy(&["A", "--on-conflict", "skip"]).json()["copied"][0]["outcome"], "skipped");
    assert_eq!(copy(&["A", "--on-conflict", "replace"]).json()["copied"][0]["outcome"], "replaced");
    let gone = copy(&["GONE", "A", "LOST"]);
    gone.refuses(1, ["GONE does not exist in the source", "  LOST: LOST does not exist"]);
    copy(&[]).refuses(2, ["<KEY>"]);
    copy(&["a"]).refuses(2, ["a key must be"]);
    copy(&["A", "--on-conflict", "merge"]).refuses(2, ["fail, skip, replace"]);
    if has_program("script") {
        let words =
            ["copy", "--from", "development", "--to", "prod", "--on-conflict", "skip", "A", "B"];
        let table = cli.screen(words);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "KEY  OUTCOME  VERSION  REVEAL");
        assert_eq!(
            lines[1..],
            ["A    skipped  2        by admins", "B    skipped  1        never"]
        );
    } else {
        skip("there is no script(1)");
    }
    server.stop();
}
