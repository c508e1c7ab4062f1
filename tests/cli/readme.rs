//! What README.md shows is what happens: its commands are run, in one shell,
//! against the real binary, and their output is compared with the page.

use std::process::Command;

use serde_json::Value;
use support::process::{Launch, has_program};

/// A command as it is pasted, and what the page shows below it.
#[derive(Debug, Default)]
struct Shown {
    command: String,
    output: String,
}

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).unwrap()
}

/// The commands in the page's console blocks: behind `$ `, continued by `\`.
fn transcript() -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in readme().lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            if let Some(command) = line.strip_prefix("$ ") {
                shown.push(Shown { command: command.to_owned(), ..Shown::default() });
            } else if continued {
                let last = shown.last_mut().unwrap();
                last.command = format!("{}\n{line}", last.command);
            } else {
                let last = shown.last_mut().expect("a command before its output");
                last.output = format!("{}{line}\n", last.output);
            }
            continued = line.ends_with('\\');
        }
    }
    shown
}

/// Members that are new each time.
const NEW_TEXTS: [&str; 8] = [
    "id",
    "requestId",
    "createdAt",
    "updatedAt",
    "expiresAt",
    "token",
    "tokenPrefix",
    "serviceAccountId",
];

/// The same text with everything that is new each time made equal.
fn comparable(text: &str) -> Value {
    fn level(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(level),
            Value::Object(members) => {
                for (name, member) in members {
                    if NEW_TEXTS.contains(&name.as_str()) {
                        assert!(member.is_string() || name == "serviceAccountId", "{name}");
                        *member = Value::Null;
                    }
                    if name == "environmentIds" {
                        let some = !member.as_array().unwrap().is_empty();
                        *member = Value::Bool(some);
                    }
                    if name == "rows" {
                        assert!(member.as_u64().is_some_and(|rows| rows > 0));
                        *member = Value::Null;
                    }
                    level(member);
                }
            }
            _ => {}
        }
    }
    let mut value = match text.trim() {
        "" => Value::Null,
        json => serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}")),
    };
    level(&mut value);
    value
}

#[test]
fn every_command_of_the_readme_does_what_the_page_shows() {
    if !has_program("curl") {
        return support::skip("there is no curl");
    }
    let shown = transcript();
    assert!(shown.len() >= 8, "the page shows create, list, reveal, refusals: {shown:#?}");
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let here = format!("http://{}", server.address);
    let mark = "-- next --";
    let script: String =
        shown.iter().map(|one| format!("{}\nprintf '\\n%s\\n' '{mark}'\n", one.command)).collect();
    // As if it had been installed.
    let binary = std::path::Path::new(support::process::binary()).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let ran = Command::new("sh")
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("COFFER_URL", &here)
        .env("XDG_CACHE_HOME", dir.path().join("cache"))
        .arg("-c")
        .arg(script.replace("http://127.0.0.1:8420", &here))
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let printed = String::from_utf8(ran.stdout).unwrap();
    let printed: Vec<_> = printed.split(mark).take(shown.len()).collect();
    assert_eq!(printed.len(), shown.len());
    for (one, printed) in shown.iter().zip(printed) {
        assert_eq!(comparable(printed), comparable(&one.output), "{}", one.command);
    }
}

#[test]
fn the_two_first_commands_are_there() {
    let readme = readme();
    for command in ["cargo run --release", "cargo test"] {
        assert!(readme.contains(&format!("```\n{command}\n```")), "{command}");
    }
}

#[test]
fn every_file_that_the_pages_point_to_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "docs/api.md",
        "docs/cli.md",
        "docs/fuzzing.md",
        "docs/formats.md",
        "docs/operations.md",
        "docs/workloads.md",
    ] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("https://") {
                continue;
            }
            let path = root.join(page).with_file_name(target);
            assert!(path.exists(), "{page} points to {target}");
        }
    }
}
