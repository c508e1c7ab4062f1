//! `coffer key`: its output for a person and for a script.

use std::os::unix::fs::PermissionsExt;

use coffer::vault::RootKey;
use serde_json::json;
use support::cli::Cli;
use support::fake_server::FakeServer;
use support::process::{Launch, has_program};
use support::{api, data_dir, skip};

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
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no file may be written");
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
    generate("root.key").refuses(1, ["root.key already exists", "nothing was written"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // Nor does it write through a dangling link.
    std::os::unix::fs::symlink("elsewhere", dir.path().join("link")).unwrap();
    generate("link").refuses(1, ["link already exists"]);
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
    launch.run("").refuses(2, ["cannot prompt for a passphrase"]);
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
        terminal.shows("Confirm passphrase: ");
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
        api::new_secret(&server.admin(), "development", &format!("K_{number}"), "v");
    }
    let status = cli.run(["key", "status"]).json();
    assert_eq!(status["keys"][0]["wrapped"], 22);
    cli.run(["key", "retire", "1"]).refuses(1, ["The key is active"]);
    let begun = cli.run(["key", "rotate"]).json();
    assert_eq!(begun["rotation"]["key"], 2);
    api::rotated(&server.admin());
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
    for word in ["ID", "STATE", "WRAPPED", "ROOT KEY"] {
        assert!(first.contains(word), "no {word:?} in {first}");
    }
    let told = server.admin().get("/api/admin/keys").expect(200);
    let root = api::text(&told["rootKey"], "fingerprint");
    let row = first.lines().find(|line| line.starts_with('1')).expect("a row for the key");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells[..4], ["1", "active", "2", api::text(&told["keys"][0], "rootFingerprint")]);
    assert!(first.contains(&format!("Root key: {root}")), "{first}");
    let rotated = cli.screen(["key", "rotate", "--wait"]);
    for word in ["retiring", "No longer used: key 1. To destroy it: coffer key retire 1"] {
        assert!(rotated.contains(word), "no {word:?} in {rotated}");
    }
    assert!(cli.screen(["key", "retire", "1"]).contains("destroyed key 1"));
    let last = cli.screen(["key", "status"]);
    assert!(!last.contains("retir"), "{last}");
    assert!(cli.screen(["key", "rotate"]).contains("key 3 is active"));
    server.stop();
}

const PASSPHRASE: &str = "correct horse staple";

fn protect(dir: &std::path::Path, file: &str) -> support::process::Ended {
    std::fs::write(dir.join("passphrase"), PASSPHRASE).unwrap();
    let words = ["key", "protect", "--new-passphrase-file", "passphrase", file];
    Launch::bare(dir).arguments(words).run("")
}

/// It wrote through `<stem>.new`, which was the key itself or another key.
#[test]
fn protecting_one_key_leaves_the_other_files_alone() {
    let dir = place();
    let names = ["root.key", "root.key.new", "root.key.previous", "root.new"];
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    for name in names {
        let made = Launch::bare(dir.path()).arguments(["key", "generate", "--file", name]).run("");
        assert_eq!(made.code, Some(0), "{made:#?}");
    }
    for name in names {
        let before = names.map(text);
        let done = protect(dir.path(), name);
        assert_eq!(done.code, Some(0), "{done:#?}");
        assert!(text(name).starts_with("coffer-root-key-v1:"));
        for (other, before) in names.into_iter().zip(before) {
            assert!(other == name || text(other) == before, "{other} next to {name}");
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5, "no other file may be left");
}

/// It replaced the link and left the plain key at the link's target.
#[test]
fn protecting_a_key_behind_a_link_leaves_no_plain_copy() {
    let dir = place();
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    let made =
        Launch::bare(dir.path()).arguments(["key", "generate", "--file", "keys/real"]).run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    let real = dir.path().join("keys/real");
    std::os::unix::fs::symlink("keys/real", dir.path().join("link")).unwrap();
    let done = protect(dir.path(), "link");
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(std::fs::read_to_string(&real).unwrap().starts_with("coffer-root-key-v1:"));
    assert!(dir.path().join("link").symlink_metadata().unwrap().is_symlink());
    std::fs::hard_link(&real, dir.path().join("second")).unwrap();
    protect(dir.path(), "second").refuses(1, ["more than one hard link", "Remove them"]);
}

/// The status of a rotation, with this many of five keys left.
fn status(left: u64, finished: bool) -> serde_json::Value {
    let at = "2026-01-31T12:00:00.000Z";
    json!({
        "keys": [], "unopened": [],
        "rotation": {
            "key": 2, "startedAt": at, "finishedAt": finished.then_some(at),
            "rewrapped": 5 - left, "left": left,
        },
        "rootKey": {
            "fingerprint": "5f1c0a9e77b2d304", "previousFingerprint": null, "previousNeeded": false,
        },
    })
}

/// It exited with 1 at the first failed request.
#[test]
fn waiting_for_a_rotation_outlasts_a_busy_server() {
    let busy = json!({ "code": "SERVICE_UNAVAILABLE", "message": "Try again." });
    let line = "GET /api/admin/keys";
    let scripted = FakeServer::answering([
        (line, 503, busy.clone()),
        (line, 200, status(5, false)),
        (line, 429, json!({ "code": "RATE_LIMITED", "message": "Wait." })),
        (line, 200, status(0, true)),
    ]);
    let waited = Cli::on(scripted.address).run(["key", "status", "--wait"]).json();
    assert_eq!(waited["rotation"]["left"], 0);
    assert_eq!(scripted.lines().len(), 4);
    // Without --wait, or when waiting cannot help, it reports the error at once.
    let scripted = FakeServer::answering([
        (line, 503, busy),
        (
            line,
            403,
            json!({ "code": "FORBIDDEN_ROLE", "message": "This requires the role admin." }),
        ),
    ]);
    Cli::on(scripted.address).run(["key", "status"]).refuses(1, ["Try again"]);
    Cli::on(scripted.address).run(["key", "status", "--wait"]).refuses(1, ["the role admin"]);
}

/// A person who waits sees the progress; a script sees only the result.
#[test]
fn a_person_who_waits_for_a_rotation_sees_how_far_it_is() {
    if !has_program("script") {
        return skip("there is no script(1)");
    }
    let line = "GET /api/admin/keys";
    let answers = || {
        let steps = [(4, false), (4, false), (1, false), (0, true)];
        steps.map(|(left, finished)| (line, 200, status(left, finished)))
    };
    let scripted = FakeServer::answering([(line, 200, status(4, false))]);
    let now = Cli::on(scripted.address).screen(["key", "status"]);
    assert!(now.contains("Rewrapping under key 2: 1 done, 4 left."), "{now}");
    let scripted = FakeServer::answering(answers());
    let waited = Cli::on(scripted.address).screen(["key", "status", "--wait"]);
    let steps: Vec<_> = waited.lines().filter(|line| line.contains(" done, ")).collect();
    assert_eq!(steps, ["1 done, 4 left", "4 done, 1 left"], "{waited}");
    assert!(!waited.contains("Rewrapping"), "{waited}");
    let scripted = FakeServer::answering(answers());
    let told = Cli::on(scripted.address).run(["key", "status", "--wait"]).json();
    assert_eq!(told["rotation"]["rewrapped"], 5);
}

/// It panicked: the code only expected an invalid cost.
#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_for_a_passphrase_is_said() {
    let dir = place();
    std::fs::write(dir.path().join("passphrase"), PASSPHRASE).unwrap();
    let words = ["key", "generate", "--passphrase", "--file", "root.key"];
    let launch = Launch::bare(dir.path())
        .arguments(words)
        .variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", "passphrase")
        .under(["sh", "-c", "ulimit -v 60000; exec \"$0\" \"$@\""]);
    launch.run("").refuses(1, ["not enough memory", "64 MiB"]);
    assert!(!dir.path().join("root.key").exists());
}
