//! Sources of the root key for the real binary, and the keys that it refuses.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use coffer::vault::{RootKey, sealed_under};
use serde_json::json;
use support::await_release;
use support::open_stopped;
use support::process::{Ended, Launch};
use tempfile::TempDir;

/// Returns a valid key as text.
fn key(number: u8) -> String {
    BASE64.encode([number; 32])
}

/// Returns the fingerprint that messages show.
fn fingerprint(text: &str) -> String {
    RootKey::parse(text).expect("a good key").fingerprint().to_string()
}

/// Returns the fingerprint stored in the database of a stopped server.
fn sealed(data_dir: &Path) -> String {
    let sealed = sealed_under(&open_stopped(data_dir)).unwrap();
    await_release(data_dir);
    sealed.expect("the database is sealed").to_string()
}

/// The five sources, highest precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Variable,
    FileVariable,
    Credential,
    Setting,
    Generated,
}

use Source::{Credential, FileVariable, Generated, Setting, Variable};

const SOURCES: [Source; 5] = [Variable, FileVariable, Credential, Setting, Generated];

/// A directory with a data directory and files for every source.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn data_dir(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn launch(&self) -> Launch {
        Launch::on(&self.data_dir())
    }

    /// Returns the text that a message about the source must contain.
    fn name(&self, source: Source) -> String {
        match source {
            Variable => "COFFER_ROOT_KEY".to_owned(),
            source => self.file(source).display().to_string(),
        }
    }

    fn file(&self, source: Source) -> PathBuf {
        self.0.path().join(match source {
            Variable => unreachable!("the variable has no file"),
            FileVariable => "by-variable",
            Credential => "credentials/coffer-root-key",
            Setting => "by-setting",
            Generated => "data/root.key",
        })
    }

    /// Adds a source to a launch, and writes its file if it has one.
    fn give(&self, launch: Launch, source: Source, text: &str) -> Launch {
        if source == Variable {
            return launch.variable("COFFER_ROOT_KEY", text);
        }
        let file = self.file(source);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        coffer::store::write_private(&file, text).unwrap();
        self.point(launch, source)
    }

    /// Adds the location of the key to a launch without writing a file.
    fn point(&self, launch: Launch, source: Source) -> Launch {
        let file = self.file(source);
        match source {
            Variable | Generated => launch,
            FileVariable => launch.variable("COFFER_ROOT_KEY_FILE", file),
            Credential => launch.variable("CREDENTIALS_DIRECTORY", file.parent().unwrap()),
            Setting => launch.variable("COFFER_KEYS__ROOT_KEY_FILE", file),
        }
    }
}

/// Fails if the output contains one of these texts.
fn quiet(ended: &Ended, texts: &[String]) {
    for text in texts.iter().filter(|text| text.len() >= 8) {
        ended.keeps_quiet_about(text);
    }
}

#[test]
fn the_first_source_that_is_there_is_used() {
    let keys: Vec<_> = (1..=5).map(key).collect();
    for first in 0..SOURCES.len() {
        let place = Place::new();
        let mut launch = place.launch();
        for at in first..SOURCES.len() {
            launch = place.give(launch, SOURCES[at], &keys[at]);
        }
        let ended = launch.start().stop();
        assert_eq!(sealed(&place.data_dir()), fingerprint(&keys[first]), "{:?}", SOURCES[first]);
        quiet(&ended, &keys);
        let again = launch.start().stop();
        quiet(&again, &keys);
        // The announcement says where the key is.
        assert!(ended.stdout.contains(&place.name(SOURCES[first])), "{ended:#?}");
        let generated = place.data_dir().join("root.key");
        assert_eq!(
            std::fs::read_to_string(generated).unwrap().trim(),
            keys[4],
            "the generated key was overwritten"
        );
    }
}

#[test]
fn no_key_is_generated_where_one_is_given() {
    for (at, source) in SOURCES.into_iter().enumerate().take(4) {
        let place = Place::new();
        let launch = place.give(place.launch(), source, &key(9));
        launch.start().stop();
        assert!(!place.data_dir().join("root.key").exists(), "{source:?} ({at})");
    }
}

#[test]
fn the_setting_can_be_in_the_file() {
    let place = Place::new();
    std::fs::write(place.0.path().join("key"), key(3)).unwrap();
    std::fs::write(place.0.path().join("config.toml"), "[keys]\nroot_key_file = 'key'").unwrap();
    place.launch().start().stop();
    assert_eq!(sealed(&place.data_dir()), fingerprint(&key(3)));
}

#[test]
fn a_bad_key_is_refused_and_never_passed_over() {
    let bad = [
        BASE64.encode([0; 32]),
        BASE64.encode([7; 31]),
        BASE64.encode([7; 16]),
        BASE64.encode([7; 33]),
        "this is not base64!".to_owned(),
        format!("{}\n{}", key(1), key(2)),
    ];
    for (at, source) in SOURCES.into_iter().enumerate() {
        for text in &bad {
            let place = Place::new();
            let mut launch = place.give(place.launch(), source, text);
            for &later in &SOURCES[at + 1..] {
                launch = place.give(launch, later, &key(1));
            }
            let ended = launch.complains([&place.name(source), "openssl rand -base64 32"]);
            quiet(&ended, &bad);
            quiet(&ended, &[key(1), key(2)]);
        }
    }
}

#[test]
fn a_key_file_that_is_empty_missing_or_a_directory_is_never_passed_over() {
    for (at, source) in SOURCES.into_iter().enumerate().filter(|(_, source)| *source != Variable) {
        for kind in ["empty", "missing", "directory"] {
            // A missing credential or generated key is the same as none.
            if kind == "missing" && matches!(source, Credential | Generated) {
                continue;
            }
            let place = Place::new();
            let mut launch = place.point(place.launch(), source);
            let file = place.file(source);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            match kind {
                "empty" => coffer::store::write_private(&file, "").unwrap(),
                "directory" => std::fs::create_dir(&file).unwrap(),
                _ => {}
            }
            for &later in &SOURCES[at + 1..] {
                launch = place.give(launch, later, &key(1));
            }
            let ended = launch.complains([&place.name(source)]);
            quiet(&ended, &[key(1)]);
        }
    }
}

/// The link exists but its target does not. Its author meant that file and no other.
#[test]
fn a_link_to_nowhere_is_never_passed_over() {
    for source in [Credential, Generated] {
        let place = Place::new();
        let launch = place.point(place.launch(), source);
        let file = place.file(source);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("not-mounted/root.key", &file).unwrap();
        let ended = launch.complains([&place.name(source)]);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
    }
}

#[test]
fn another_key_is_refused_with_both_fingerprints() {
    for source in SOURCES {
        let place = Place::new();
        place.give(place.launch(), source, &key(1)).start().stop();
        let ended = place.give(place.launch(), source, &key(2)).fails();
        let (wanted, given) = (fingerprint(&key(1)), fingerprint(&key(2)));
        ended.says([&wanted, &given, &place.name(source)]);
        quiet(&ended, &[key(1), key(2)]);
        assert_eq!(sealed(&place.data_dir()), wanted);
        // No data is lost.
        place.give(place.launch(), source, &key(1)).start().stop();
    }
}

#[test]
fn a_missing_key_for_a_used_database_is_refused_and_not_replaced() {
    let place = Place::new();
    let server = place.launch().start();
    let body = json!({ "key": "KEPT", "value": "still here" });
    let reply = server.admin().post("/api/environments/development/secrets", &body).expect(200);
    let id = reply["secret"]["id"].as_str().unwrap().to_owned();
    server.stop();

    let file = place.data_dir().join("root.key");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let ended = place.launch().complains([file.to_str().unwrap(), &fingerprint(&text), "missing"]);
    quiet(&ended, &[text.trim().to_owned()]);
    assert!(!file.exists(), "a new key was generated for a used database");

    // The message suggests giving the key by another source, or putting it back.
    let server = place.launch().variable("COFFER_ROOT_KEY", text.trim()).start();
    let value = server.admin().get(&format!("/api/secrets/{id}/value")).expect(200);
    assert_eq!(value["value"], "still here");
    server.stop();
    coffer::store::write_private(&file, text.trim()).unwrap();
    place.launch().start().stop();
}

#[test]
fn a_generated_key_stays_and_is_never_printed() {
    let place = Place::new();
    let first = place.launch().start().stop();
    let file = place.data_dir().join("root.key");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(sealed(&place.data_dir()), fingerprint(&text));
    let second = place.launch().start().stop();
    let third = place.launch().variable("RUST_LOG", "trace").start().stop();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    for ended in [&first, &second, &third] {
        quiet(ended, &[text.trim().to_owned(), text.trim().trim_end_matches('=').to_owned()]);
    }
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    place.launch().start().stop();
    let file = place.data_dir().join("root.key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ended = place.launch().start().stop();
    let name = file.to_str().unwrap();
    assert!(ended.stderr.contains("WARN") && ended.stderr.contains(name), "{ended:#?}");
    assert!(ended.stderr.contains("chmod 600"), "{ended:#?}");
}
