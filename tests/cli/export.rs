//! `coffer export`, against the real server.

use std::fs;
use std::path::PathBuf;

use coffer::formats::{Format, InputFormat};
use serde_json::json;
use support::api::{new_secret, new_var, text};
use support::cli::Cli;
use support::process::{Launch, Server, has_program};
use support::skip;
use tempfile::TempDir;

const CANARY: &str = "cAnArY-5b0e17";

/// A server with a secret, a write-only secret, and vars with different and equal keys.
fn server() -> (TempDir, Server, Cli) {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let admin = server.admin();
    let value = format!("{CANARY} it's $x");
    new_secret(&admin, "development", "API_KEY", &value);
    let sealed =
        json!({ "key": "SEALED", "value": format!("{CANARY} sealed"), "neverReveal": true });
    admin.post("/api/environments/development/secrets", &sealed).expect(200);
    new_var(&admin, "development", "LOG_LEVEL", "debug");
    new_var(&admin, "development", "API_KEY", "hidden by the secret");
    new_var(&admin, "development", "SEALED", "hidden by the sealed one");
    let cli = Cli::of(&server);
    (dir, server, cli)
}

fn path(dir: &TempDir, name: &str) -> (PathBuf, String) {
    let path = dir.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

fn read(text: &str, source: InputFormat) -> Vec<(String, String)> {
    let entries = source.read(text).unwrap_or_else(|bad| panic!("{bad}: {text}")).into_list();
    entries.into_iter().map(|one| (one.key.to_string(), one.value.to_string())).collect()
}

#[test]
fn a_pipe_gets_the_text_and_sealed_keys_are_named() {
    let (_dir, server, cli) = server();
    for format in Format::ALL {
        let ended = cli.run(["export", "--env", "development", "--format", format.as_str()]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        let out = &ended.stdout;
        let k8s = format == Format::K8sSecret;
        assert!(k8s || out.contains(CANARY) && out.contains("debug"), "{ended:#?}");
        assert!(!out.contains("hidden") && !out.contains(&format!("{CANARY} sealed")), "{out}");
        let notice = "SEALED is write-only (neverReveal): its value cannot be exported";
        if format == Format::Json {
            assert_eq!(ended.stderr, format!("coffer: {notice}\n"));
        } else {
            assert!(out.starts_with(&format!("# {notice}\n")), "{out}");
            assert_eq!(ended.stderr, "");
        }
        let source = match format {
            Format::Json => InputFormat::Json,
            Format::Yaml => InputFormat::Yaml,
            Format::K8sSecret => InputFormat::K8sSecret,
            Format::Dotenv => InputFormat::Dotenv,
            _ => continue,
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let value = format!("{CANARY} it's $x");
        assert_eq!(read(out, source), [pair("API_KEY", &value), pair("LOG_LEVEL", "debug")]);
    }
    let k8s = ["export", "--env", "development", "--format", "k8s-secret", "--name", "my.app"];
    assert!(cli.run(k8s).stdout.contains("  name: \"my.app\"\n"));
    let reveals = server.admin().get("/api/audit-logs?action=secret.reveal").expect(200);
    assert_eq!(reveals["total"], 8, "one row for each exported value");
    server.stop();
}

#[test]
fn only_what_was_asked_for_is_revealed() {
    let (_dir, server, cli) = server();
    let export = ["export", "--env", "development", "--format", "shell"];
    let run =
        |more: &[&str]| more.iter().fold(cli.launch(export), |l, word| l.argument(word)).run("");
    assert_eq!(run(&["--only", "LOG_LEVEL"]).stdout, "export LOG_LEVEL='debug'\n");
    let both = run(&["--only", "LOG_LEVEL,SEALED"]);
    assert_eq!(both.stdout.lines().count(), 2, "{both:#?}");
    assert!(both.stdout.contains("# SEALED is write-only"), "{both:#?}");
    run(&["--only", "NOWHERE,LOG_LEVEL,LOG"])
        .refuses(1, ["coffer: not found in development: NOWHERE, LOG\n", "--only"]);
    run(&["--only", "lower"]).refuses(2, ["uppercase"]);
    run(&["--no-vars", "--only", "LOG_LEVEL"]).refuses(1, ["not found in development: LOG_LEVEL"]);
    let reveals = server.admin().get("/api/audit-logs?action=secret.reveal").expect(200);
    assert_eq!(reveals["total"], 0);
    let secrets = run(&["--no-vars"]).stdout;
    assert!(secrets.contains("API_KEY=") && !secrets.contains("LOG_LEVEL"), "{secrets}");
    server.stop();
}

#[cfg(unix)]
#[test]
fn a_file_is_its_owners_and_is_not_written_over_unasked() {
    use std::os::unix::fs::PermissionsExt;

    let (dir, server, cli) = server();
    let (file, name) = path(&dir, "out.env");
    let export = ["export", "--env", "development", "--format", "dotenv", "--output", &name];
    let done = cli.run(export);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "", ""));
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&file), 0o600);
    let first = fs::read_to_string(&file).unwrap();
    assert!(first.contains(CANARY));

    fs::write(&file, "mine").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    cli.run(export).refuses(1, ["out.env already exists\n", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let forced = cli.launch(export).argument("--force").run("");
    assert_eq!(forced.code, Some(0), "{forced:#?}");
    assert_eq!((fs::read_to_string(&file).unwrap(), mode(&file)), (first, 0o600));

    // A link counts as an existing file, wherever it points; --force replaces the link and leaves
    // its target unchanged.
    let (target, _) = path(&dir, "target");
    let (link, name) = path(&dir, "link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let export = ["export", "--env", "development", "--format", "json", "--output", &name];
    cli.run(export).refuses(1, ["already exists"]);
    fs::write(&target, "elsewhere").unwrap();
    assert_eq!(cli.launch(export).argument("--force").run("").code, Some(0));
    assert_eq!(fs::read_to_string(&target).unwrap(), "elsewhere");
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    server.stop();
}

#[test]
fn what_does_not_fit_is_named_and_nothing_is_written() {
    let (dir, server, cli) = server();
    let (file, name) = path(&dir, "out");
    let broken = format!("{CANARY}\nsecond line");
    new_secret(&server.admin(), "development", "PEM", &broken);
    let export = ["export", "--env", "development", "--format", "docker-env"];
    let to_file = cli.launch(export).argument("--output").argument(&name).run("");
    for ended in [to_file, cli.run(export)] {
        ended.refuses(
            1,
            [
                "coffer: format docker-env cannot represent this: PEM contains a line break",
                "--only",
            ],
        );
        ended.keeps_quiet_about(CANARY);
    }
    assert!(!file.exists());
    let missing = dir.path().join("no/such/dir");
    let into = cli.launch(export).argument("--output").argument(missing).argument("--only=API_KEY");
    into.run("").refuses(1, ["cannot write"]);
    server.stop();
}

#[test]
fn who_may_not_reveal_exports_nothing() {
    let (dir, server, cli) = server();
    let (file, name) = path(&dir, "out");
    let body = json!({ "name": "o", "role": "operator", "allEnvironments": true });
    let made = server.admin().post("/api/admin/tokens", &body).expect(200);
    let export = ["export", "--env", "development", "--format", "json", "--output", &name];
    let operator = cli.launch(export).variable("COFFER_TOKEN", text(&made, "token"));
    operator.run("").refuses(1, ["This requires the role admin."]);
    let settings = "/api/environments/development/settings/configuration";
    server.admin().patch(settings, &json!({ "allowSecretReveal": false })).expect(200);
    cli.run(export).refuses(1, ["Revealing secrets is disabled", "allowSecretReveal"]);
    cli.run(["export", "--env", "nowhere", "--format", "json"])
        .refuses(1, ["no environment named \"nowhere\"", "coffer env list"]);
    assert!(!file.exists());
    server.stop();
}

#[test]
fn wrong_arguments_reach_no_server() {
    let cli = Cli::on(([127, 0, 0, 1], 9).into());
    cli.run(["export", "--env", "e", "--format", "env"]).refuses(2, ["must be dotenv, docker-env"]);
    cli.run(["export", "--env", "a/b", "--format", "json"]).refuses(2, ["1 to 50 characters"]);
    cli.run(["export", "--env", "e", "--format", "json", "--force"]).refuses(2, ["--output"]);
    cli.run(["export", "--env", "e", "--format", "k8s-secret", "--name", "My_App"])
        .refuses(2, ["lower-case"]);
}

#[test]
fn a_terminal_shows_values_only_when_that_is_asked_for() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let (_dir, server, cli) = server();
    let export = ["export", "--env", "development", "--format", "dotenv"];
    let (screen, code) = cli.in_terminal(export).ends();
    assert_eq!(code, Some(2), "{screen}");
    assert!(screen.contains("--stdout") && !screen.contains(CANARY), "{screen}");
    let reveals = server.admin().get("/api/audit-logs?action=secret.reveal").expect(200);
    assert_eq!(reveals["total"], 0);
    let shown = cli.screen(["export", "--env", "development", "--format", "dotenv", "--stdout"]);
    assert!(shown.contains(CANARY), "{shown}");
    server.stop();
}
