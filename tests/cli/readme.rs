//! README.md and docs/getting-started.md do what they show: their commands are run, each page in
//! one shell, against the real binary, and their output is compared with the page.

use std::process::Command;

use serde_json::Value;
use support::process::{Launch, has_program};

/// A command as a reader pastes it, and the output that the page shows below it.
#[derive(Debug, Default)]
struct Shown {
    command: String,
    output: String,
}

fn page(name: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(name)).unwrap()
}

/// The commands in the page's console blocks: after `$ `, continued by `\`.
fn transcript(page: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut inside = false;
    let mut continued = false;
    for line in page.lines() {
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

/// Members that differ in every run.
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

/// Replaces everything that differs in every run. An output that is not JSON is compared as text.
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
    let text = text.trim();
    let mut value = match text {
        "" => Value::Null,
        json if json.starts_with('{') => {
            serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
        }
        text => Value::from(text),
    };
    level(&mut value);
    value
}

/// Runs the page's commands on a server of their own, compares their output, and returns what they
/// printed to stderr.
fn run(shown: &[Shown]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let server = Launch::on(&dir.path().join("data")).start();
    let here = format!("http://{}", server.address);
    let mark = "-- next --";
    let script: String =
        shown.iter().map(|one| format!("{}\nprintf '\\n%s\\n' '{mark}'\n", one.command)).collect();
    // As if coffer were installed.
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
    let errors = String::from_utf8(ran.stderr).unwrap();
    let printed = String::from_utf8(ran.stdout).unwrap();
    let printed: Vec<_> = printed.split(mark).take(shown.len()).collect();
    assert_eq!(printed.len(), shown.len(), "{errors}");
    for (one, printed) in shown.iter().zip(printed) {
        assert_eq!(comparable(printed), comparable(&one.output), "{}: {errors}", one.command);
    }
    errors
}

#[test]
fn every_command_of_getting_started_does_what_the_page_shows() {
    if !has_program("curl") {
        return support::skip("there is no curl");
    }
    let shown = transcript(&page("docs/getting-started.md"));
    assert!(shown.len() >= 8, "the page shows create, list, reveal, refusals: {shown:#?}");
    assert_eq!(run(&shown), "");
}

#[test]
fn every_command_of_the_readme_does_what_the_page_shows() {
    let shown = transcript(&page("README.md"));
    assert!(shown.len() >= 5, "the page shows set, reveal, run, verify: {shown:#?}");
    // One command is refused on purpose; the others print no errors.
    let errors = run(&shown);
    assert!(errors.contains("write-only") && errors.lines().count() <= 2, "{errors}");
}

#[test]
fn the_two_first_commands_are_there() {
    for name in ["README.md", "docs/getting-started.md"] {
        let page = page(name);
        assert!(page.contains("```\ncargo run --release\n```"), "{name}");
    }
    assert!(page("README.md").contains("```\ncargo test\n```"));
}

/// Every page of the repository, so that none is forgotten.
fn pages() -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs"), root.join("docs/decisions")];
    let mut pages: Vec<_> = folders
        .iter()
        .flat_map(|folder| folder.read_dir().unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_file_that_the_pages_point_to_exists() {
    let pages = pages();
    assert!(pages.len() >= 9, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("https://") {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let path = page.with_file_name(file);
            assert!(path.exists(), "{} points to {target}", page.display());
        }
    }
}

/// Nobody finds a page that is not in an index.
#[test]
fn every_document_is_in_an_index() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["docs", "docs/decisions"] {
        let index = page(&format!("{folder}/README.md"));
        for path in pages().iter().filter(|path| path.parent() == Some(&root.join(folder))) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_named = name == "README.md" || index.contains(&format!("]({name})"));
            assert!(is_named, "{folder}/README.md does not name {name}");
        }
    }
}
