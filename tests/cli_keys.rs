//! `coffer key`: what a person or a script gets from it.

mod harness;

use std::os::unix::fs::PermissionsExt;

use coffer::vault::RootKey;
use harness::cli::Cli;
use harness::process::{Launch, has_program};
use harness::{acts, data_dir, skip};
use serde_json::json;

fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_key_is_printed_alone_and_is_good() {
    let dir = place();
    let generate = || Launch::bare(dir.path()).arguments(["key", "generate"]).run("");
    let (first, second) = (generate(), generate());
    for made in [&first, &second] {
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:#?}");
        assert_eq!(made.stdout.lines().count(), 1, "{made:#?}");
        RootKey::parse(&made.stdout).unwrap();
    }
    assert_ne!(first.stdout, second.stdout);
    let launch = Launch::on(&data_dir(dir.path()));
    launch.variable("COFFER_ROOT_KEY", first.stdout.trim()).start().stop();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "it wrote no file");
}

#[test]
fn a_key_file_is_its_owners_and_is_never_written_over() {
    let dir = place();
    let generate = |name: &str| {
        Launch::bare(dir.path()).arguments(["key", "generate", "--file", name]).run("")
    };
    let made = generate("root.key");
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:#?}");
    let path = dir.path().join("root.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let fingerprint = RootKey::parse(&text).unwrap().fingerprint().to_string();
    assert!(made.stdout.contains(&fingerprint), "{made:#?}");
    made.keeps_quiet_about(text.trim());
    generate("root.key").refuses(1, ["root.key is there already", "nothing was written"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // Not even over a link to nowhere.
    std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
    generate("link").refuses(1, ["link is there already"]);
    assert!(!dir.path().join("elsewhere").exists());
    generate("no/such/directory").refuses(1, ["no/such/directory"]);
}

#[test]
fn a_short_passphrase_is_refused_and_writes_nothing() {
    let dir = place();
    std::fs::write(dir.path().join("short"), "hunter2").unwrap();
    let words = ["key", "generate", "--passphrase", "--file", "root.key"];
    let launch = Launch::bare(dir.path()).arguments(words);
    let refused = launch.clone().variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", "short").run("");
    refused.refuses(2, ["12 to 1024 characters"]);
    launch.run("").refuses(2, ["nobody can be asked"]);
    assert!(!dir.path().join("root.key").exists());
}

#[test]
fn a_new_passphrase_is_asked_for_twice_without_being_shown() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let dir = place();
    let words = ["key", "generate", "--passphrase", "--file", "root.key"];
    for (second, code) in [("correct horse staplf", 1), ("correct horse staple", 0)] {
        let mut terminal = Launch::bare(dir.path()).arguments(words).in_terminal();
        terminal.shows("New passphrase: ");
        terminal.hides();
        terminal.types("correct horse staple\n");
        terminal.shows("The same again: ");
        terminal.hides();
        terminal.types(&format!("{second}\n"));
        let (text, ended) = terminal.ends();
        assert_eq!(ended, Some(code), "{text}");
        assert!(!text.contains("correct horse"), "{text}");
        assert_eq!(dir.path().join("root.key").exists(), code == 0);
    }
}

#[test]
fn a_rotation_is_begun_watched_and_ended_by_a_script() {
    let dir = place();
    let server = Launch::on(&data_dir(dir.path())).start();
    let cli = Cli::of(&server);
    for number in 0..20 {
        acts::new_secret(&server.admin(), "development", &format!("K_{number}"), "v");
    }
    let status = cli.run(["key", "status"]).json();
    assert_eq!(status["keys"][0]["wrapped"], 22);
    cli.run(["key", "retire", "1"]).refuses(1, ["in force"]);
    let begun = cli.run(["key", "rotate"]).json();
    assert_eq!(begun["rotation"]["key"], 2);
    acts::rotated(&server.admin());
    let waited = cli.run(["key", "rotate", "--wait"]).json();
    assert_eq!(waited["rotation"]["left"], 0, "{waited}");
    assert_eq!(waited["keys"].as_array().unwrap().len(), 3);
    for key in ["1", "2"] {
        assert_eq!(cli.run(["key", "retire", key]).json(), json!({ "success": true }));
    }
    cli.run(["key", "retire", "2"]).refuses(1, ["Key not found"]);
    cli.run(["key", "retire", "x"]).refuses(2, ["invalid value"]);
    server.stop();
}

#[test]
fn a_person_reads_what_to_do_next() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let dir = place();
    let server = Launch::on(&data_dir(dir.path())).start();
    let cli = Cli::of(&server);
    let first = cli.screen(["key", "status"]);
    for word in ["ID", "STATE", "WRAPPED", "ROOT KEY", "active", "The root key is "] {
        assert!(first.contains(word), "no {word:?} in {first}");
    }
    let rotated = cli.screen(["key", "rotate", "--wait"]);
    for word in ["retiring", "Nothing needs key 1 any more: coffer key retire 1"] {
        assert!(rotated.contains(word), "no {word:?} in {rotated}");
    }
    assert!(cli.screen(["key", "retire", "1"]).contains("retired key 1"));
    let last = cli.screen(["key", "status"]);
    assert!(!last.contains("retir"), "{last}");
    assert!(cli.screen(["key", "rotate"]).contains("key 3 is in force"));
    server.stop();
}
