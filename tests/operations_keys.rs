//! The section "Rotate the keys" of docs/operations.md does what it says: its
//! commands are run as they stand there, against the real binary.

mod harness;

use std::process::Command;

use coffer::vault::RootKey;
use harness::process::{BINARY, Launch, Server};
use harness::{acts, audit_rows, data_dir, rows_fit};

/// The commands in the section's console blocks.
fn commands() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let section = page.split("\n## ").find(|part| part.starts_with("Rotate the keys\n")).unwrap();
    let commands = section.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.map(str::to_owned).collect()
}

#[test]
fn the_keys_are_rotated_as_the_page_says() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(BINARY, programs.path().join("coffer")).unwrap();
    let passphrase = programs.path().join("passphrase");
    coffer::store::write_private(&passphrase, "seven lamps over the harbour").unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.path().display());
    let launch =
        Launch::on(&data_dir(dir.path())).variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase);
    let mut server: Option<Server> = Some(launch.start());
    let made = acts::new_secret(&server.as_ref().unwrap().admin(), "development", "A", "kept");
    let id = acts::text(&made, "id");
    let root_key = data_dir(dir.path()).join("root.key");
    let first = std::fs::read_to_string(&root_key).unwrap();
    let mut said = String::new();
    let commands = commands();
    assert!(commands.len() >= 12, "{commands:#?}");
    for command in &commands {
        match command.as_str() {
            "systemctl stop coffer" => drop(server.take().unwrap().stop()),
            "systemctl start coffer" => server = Some(launch.start()),
            command => {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]).current_dir(dir.path());
                shell.env_clear().env("PATH", &path);
                shell.env("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase);
                if let Some(server) = &server {
                    shell.env("COFFER_URL", format!("http://{}", server.address));
                }
                let ran = shell.output().unwrap();
                assert!(ran.status.success(), "{command}: {ran:?}");
                assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{command}");
                said += &String::from_utf8_lossy(&ran.stdout);
            }
        }
    }
    assert!(said.contains(r#""previousNeeded":false"#), "{said}");
    let server = server.unwrap();
    assert_eq!(acts::reveal(&server.admin(), id), "kept");
    let status = acts::rotated(&server.admin());
    assert_eq!(status["keys"].as_array().unwrap().len(), 1, "{status}");
    let old = RootKey::parse(&first).unwrap().fingerprint().to_string();
    assert_ne!(status["rootKey"]["fingerprint"], old);
    server.stop();
    rows_fit(&data_dir(dir.path()));
    // Laid bare again for the check of the chain.
    let text = std::fs::read_to_string(&root_key).unwrap();
    assert!(text.starts_with("coffer-root-key-v1:"), "{text}");
    let bare = Launch::bare(dir.path()).arguments(["key", "protect", "--remove"]);
    let bare = bare.argument(&root_key);
    let bare = bare.variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", &passphrase).run("");
    assert_eq!(bare.code, Some(0), "{bare:#?}");
    audit_rows(dir.path());
}
