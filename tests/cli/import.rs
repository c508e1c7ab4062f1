//! `coffer import`, against the real server.

use std::fs;

use serde_json::{Value, json};
use support::api::{keys, new_secret, reveal, text};
use support::cli::Cli;
use support::paths::SECRETS;
use support::process::{Ended, Launch, Server, has_program};
use support::skip;
use tempfile::TempDir;

const CANARY: &str = "cAnArY-9d2c4e";

struct World {
    dir: TempDir,
    server: Server,
    cli: Cli,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::on(&dir.path().join("data")).start();
        let cli = Cli::of(&server);
        Self { dir, server, cli }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn import(&self, file: &str, more: &[&str]) -> Ended {
        let launch = self.cli.launch(["import", file, "--env", "development"]);
        more.iter().fold(launch, |launch, word| launch.argument(word)).run("")
    }

    /// Every secret that can be revealed, and the keys of the others.
    fn secrets(&self) -> Vec<String> {
        let admin = self.server.admin();
        let list = admin.get(SECRETS).expect(200)["secrets"].clone();
        let shown = |one: &Value| match one["neverReveal"] == true {
            true => format!("{} sealed", text(one, "key")),
            false => format!("{}={}", text(one, "key"), reveal(&admin, text(one, "id"))),
        };
        list.as_array().unwrap().iter().map(shown).collect()
    }
}

fn outcomes(answer: &Value) -> Vec<String> {
    let results = answer["import"]["results"].as_array().unwrap();
    results.iter().map(|one| format!("{} {}", text(one, "key"), text(one, "outcome"))).collect()
}

#[test]
fn a_file_of_each_format_is_recognized_by_its_content() {
    let forms = [
        ("dotenv", "# c\nexport A='it is $x' # c\nB=\"two\\nlines\"\n"),
        ("json", r#"{"A":"it is $x","B":"two\nlines"}"#),
        ("yaml", "A: it is $x\nB: |-\n  two\n  lines\n"),
        (
            "k8s-secret",
            "kind: Secret\nmetadata: {name: x}\ndata:\n  A: aXQgaXMgJHg=\n  B: dHdvCmxpbmVz\n",
        ),
        (
            "doppler",
            r#"{"A":{"computed":"it is $x","raw":"it is $x"},"B":{"computed":"two\nlines"}}"#,
        ),
        ("infisical", r#"[{"key":"A","value":"it is $x"},{"key":"B","value":"two\nlines"}]"#),
        (
            "vault",
            r#"{"data":{"data":{"A":"it is $x","B":"two\nlines"},"metadata":{"version":1}}}"#,
        ),
    ];
    for (format, content) in forms {
        let world = World::new();
        let file = world.file("a file", content);
        let answer = world.import(&file, &[]).json();
        assert_eq!(outcomes(&answer), ["A created", "B created"], "{format}");
        assert_eq!(world.secrets(), ["A=it is $x", "B=two\nlines"], "{format}");
        let again = world.import(&file, &["--format", format, "--on-conflict", "replace"]).json();
        assert_eq!(outcomes(&again), ["A replaced", "B replaced"], "{format}");
        world.server.stop();
    }
}

#[test]
fn stdin_is_a_file_too() {
    let world = World::new();
    let launch = world.cli.launch(["import", "-", "--env", "development"]);
    assert_eq!(outcomes(&launch.run("A=1\n").json()), ["A created"]);
    launch.run("A=2\nrubbish").refuses(1, ["coffer: stdin: line 2: expected KEY=value\n"]);
    world.server.stop();
}

#[test]
fn conflicts_are_shown_and_nothing_is_imported() {
    let world = World::new();
    new_secret(&world.server.admin(), "development", "OLD", "first");
    let file = world.file("f", "NEW=n\nOLD=second\n");
    for more in [&[][..], &["--on-conflict", "fail"], &["--dry-run"]] {
        let ended = world.import(&file, more);
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(outcomes(&answer), ["NEW created", "OLD conflict"]);
        let said = "coffer: 1 key already exists, nothing was imported\n";
        assert!(
            ended.stderr.starts_with(said) && ended.stderr.contains("--on-conflict"),
            "{ended:#?}"
        );
    }
    let dry = world.import(&file, &["--on-conflict", "replace", "--dry-run"]).json();
    assert_eq!(outcomes(&dry), ["NEW created", "OLD replaced"]);
    assert_eq!(world.secrets(), ["OLD=first"]);
    let skipped = world.import(&file, &["--on-conflict", "skip"]).json();
    assert_eq!(outcomes(&skipped), ["NEW created", "OLD skipped"]);
    assert_eq!(world.secrets(), ["NEW=n", "OLD=first"]);
    let replaced = world.import(&file, &["--on-conflict", "replace"]).json();
    assert_eq!(outcomes(&replaced), ["NEW replaced", "OLD replaced"]);
    assert_eq!(world.secrets(), ["NEW=n", "OLD=second"]);
    world.server.stop();
}

#[test]
fn they_can_be_sealed_or_be_vars() {
    let world = World::new();
    let file = world.file("f", "A=1\n");
    world.import(&file, &["--never-reveal"]).json();
    assert_eq!(world.secrets(), ["A sealed"]);
    world.import(&file, &["--vars"]).json();
    let vars = world.server.admin().get("/api/environments/development/vars").expect(200);
    assert_eq!(keys(&vars["vars"]), ["A"]);
    world.import(&file, &["--vars", "--never-reveal"]).refuses(2, ["cannot be used with"]);
    world.server.stop();
}

#[test]
fn keys_without_a_value_are_left_out_only_if_that_is_said() {
    let world = World::new();
    let file = world.file("f", "A=\nB=x\nC=''\n");
    world.import(&file, &[]).refuses(1, ["no value for A, C\n", "--skip-empty"]);
    assert_eq!(world.secrets(), [""; 0]);
    world.import(&file, &["--skip-empty"]).json();
    assert_eq!(world.secrets(), ["B=x"]);
    for nothing in ["# nothing\n", "{}", "A="] {
        let file = world.file("f", nothing);
        let ended = world.import(
            &file,
            &["--skip-empty", "--format", if nothing == "{}" { "json" } else { "dotenv" }],
        );
        ended.refuses(1, ["nothing to import"]);
    }
    world.server.stop();
}

/// Nothing in a file is repeated, whatever is wrong with it. A valid value appears in no output,
/// argument or audit row.
#[test]
fn no_value_is_said() {
    let world = World::new();
    let bad = [
        ("dotenv", format!("A=1\n{CANARY}"), "f: line 2: expected KEY=value"),
        ("dotenv", format!("{CANARY}=1"), "f: line 1: the key must be"),
        ("dotenv", format!("A='{CANARY}"), "f: line 1: unclosed single quote"),
        ("dotenv", format!("A=${{{CANARY}}}"), "f: line 1: references such as ${NAME}"),
        ("json", format!(r#"{{"A":["{CANARY}"]}}"#), "f: A: must be a string"),
        ("json", format!(r#"{{"A":{CANARY}}}"#), "f: line 1: invalid JSON"),
        ("yaml", format!("A: [{CANARY}]"), "f: line 1: must be a string"),
        ("yaml", format!("A: \"{CANARY}"), "invalid YAML"),
        ("vault", format!(r#"{{"{CANARY}":1}}"#), "f: must have the member \"data\""),
        ("infisical", format!(r#"["{CANARY}"]"#), "f: member 1: must have a key and a value"),
    ];
    for (format, content, said) in bad {
        let file = world.file("f", &content);
        let ended = world.import(&file, &["--format", format]);
        ended.refuses(1, [said, "Nothing was imported."]);
        ended.keeps_quiet_about(CANARY);
    }
    let unknown = world.file("f", &format!("{CANARY} {CANARY}"));
    let ended = world.import(&unknown, &[]);
    ended.refuses(1, ["unknown format", "--format"]);
    ended.keeps_quiet_about(CANARY);
    assert_eq!(world.secrets(), [""; 0]);

    let good = world.file("f", &format!("A={CANARY}\n"));
    let ends = [
        world.import(&good, &[]),
        world.import(&good, &[]),
        world.import(&good, &["--on-conflict", "replace"]),
    ];
    for ended in ends {
        ended.keeps_quiet_about(CANARY);
    }
    assert_eq!(world.secrets(), [format!("A={CANARY}")]);
    let rows = world.server.admin().get("/api/audit-logs?limit=1000").text();
    assert!(rows.contains("secret.import") && !rows.contains(CANARY), "{rows}");
    let ended = world.server.stop();
    ended.keeps_quiet_about(CANARY);
}

#[test]
fn what_cannot_be_read_or_sent_is_said() {
    let world = World::new();
    world.import("/nonexistent/file", &[]).refuses(1, ["cannot read /nonexistent/file"]);
    let file = world.dir.path().join("bytes");
    fs::write(&file, b"A=\xff").unwrap();
    world.import(file.to_str().unwrap(), &[]).refuses(1, ["is not valid UTF-8"]);
    let long = world.file("long", &format!("A={}", "x".repeat(5 << 20)));
    world.import(&long, &[]).refuses(1, ["longer than 4 MiB"]);
    let large = world.file("large", &format!("A={}\nB=x\n", "x".repeat(70_000)));
    world.import(&large, &[]).refuses(1, ["secrets.0.value must be 1 to 65536 bytes"]);
    let file = world.file("f", "A=1");
    let body = json!({ "name": "v", "role": "viewer", "allEnvironments": true });
    let made = world.server.admin().post("/api/admin/tokens", &body).expect(200);
    let launch = world.cli.launch(["import", &file, "--env", "development"]);
    let viewer = launch.variable("COFFER_TOKEN", text(&made, "token"));
    viewer.run("").refuses(1, ["This requires the role operator."]);
    world
        .cli
        .run(["import", &file, "--env", "nowhere"])
        .refuses(1, ["no environment named \"nowhere\"", "coffer env list"]);
    world.import(&file, &["--format", "shell"]).refuses(2, ["must be dotenv, json"]);
    assert_eq!(world.secrets(), [""; 0]);
    world.server.stop();
}

#[test]
fn a_person_gets_a_table() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let world = World::new();
    let file = world.file("f", &format!("A={CANARY}\nLONG_KEY=2\n"));
    let import = ["import", &file, "--env", "development"];
    let screen = world.cli.screen(["import", &file, "--env", "development", "--dry-run"]);
    let expected = "KEY       RESULT            VERSION\n\
                    A         would be created  1\n\
                    LONG_KEY  would be created  1\n\
                    2 created, 0 replaced, 0 skipped; nothing was written\n";
    assert_eq!(screen, expected);
    let screen = world.cli.screen(import);
    let expected = "KEY       RESULT   VERSION\n\
                    A         created  1\n\
                    LONG_KEY  created  1\n\
                    2 created, 0 replaced, 0 skipped\n";
    assert_eq!(screen, expected);
    let (screen, code) = world.cli.in_terminal(import).ends();
    assert_eq!(code, Some(1));
    assert!(screen.contains("A         conflict  1\n"), "{screen}");
    assert!(screen.contains("coffer: 2 keys already exist, nothing was imported"), "{screen}");
    world.server.stop();
}
