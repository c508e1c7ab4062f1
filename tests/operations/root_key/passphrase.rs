//! A root key that is protected with a passphrase: creating it, giving the passphrase or typing it,
//! and refusals.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use coffer::vault::RootKey;
use support::process::{Ended, Launch, has_program};
use support::terminal::Terminal;
use support::{Client, api, await_release, data_dir, skip};
use tempfile::TempDir;

const PASSPHRASE: &str = "seven lamps over the harbour";
const OTHER: &str = "seven lamps over the harbor";

/// A directory with a protected root key, and a file with its passphrase.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.passphrase("passphrase", PASSPHRASE);
        let made = place.key(&["generate", "--passphrase", "--file", "root.key"]);
        assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:#?}");
        place.quiet(&made);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn passphrase(&self, name: &str, text: &str) -> PathBuf {
        coffer::store::write_private(&self.path(name), text).unwrap();
        self.path(name)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path("root.key")).unwrap()
    }

    fn key(&self, words: &[&str]) -> Ended {
        self.key_with(words, "passphrase").run("")
    }

    fn key_with(&self, words: &[&str], passphrase: &str) -> Launch {
        let launch = Launch::bare(self.0.path()).argument("key");
        let launch = words.iter().fold(launch, |launch, word| launch.argument(word));
        launch.variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", self.path(passphrase))
    }

    /// Launches a server without a passphrase.
    fn server(&self) -> Launch {
        Launch::on(&data_dir(self.0.path())).variable("COFFER_ROOT_KEY_FILE", self.path("root.key"))
    }

    fn given(&self, passphrase: &str) -> Launch {
        self.server().variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", self.path(passphrase))
    }

    /// Types a wrong passphrase at each of the three prompts, and returns what the screen shows.
    #[track_caller]
    fn refuses_wrong_ones(&self, mut terminal: Terminal) -> String {
        for round in 1..=3 {
            let prompt = format!("Passphrase for {}: ", self.path("root.key").display());
            terminal.shows(&vec![prompt; round].join("\r\n"));
            terminal.hides();
            terminal.types(&format!("{OTHER}\n"));
        }
        let (text, code) = terminal.ends();
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("the passphrase is wrong") && !text.contains(OTHER), "{text}");
        text
    }

    fn quiet(&self, ended: &Ended) {
        ended.keeps_quiet_about(PASSPHRASE);
        ended.keeps_quiet_about(OTHER);
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_protected_key_opens_the_database_by_a_file_or_a_credential() {
    let place = Place::new();
    assert!(place.text().starts_with("coffer-root-key-v1:argon2id:m="), "{}", place.text());
    assert_eq!(mode(&place.path("root.key")), 0o600);
    let server = place.given("passphrase").start();
    let id = api::text(&api::new_secret(&server.admin(), "development", "A", "v"), "id").to_owned();
    place.quiet(&server.stop());
    let credentials = place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    place.passphrase("credentials/coffer-root-key-passphrase", PASSPHRASE);
    let server = place.server().variable("CREDENTIALS_DIRECTORY", &credentials).start();
    assert_eq!(api::reveal(&server.admin(), &id), "v");
    place.quiet(&server.stop());
    // A trailing line break of any kind is ignored, but a trailing space counts.
    std::fs::write(place.path("windows"), format!("{PASSPHRASE}\r\n")).unwrap();
    place.given("windows").start().stop();
    std::fs::write(place.path("blank"), format!("{PASSPHRASE} ")).unwrap();
    place.given("blank").complains(["the passphrase is wrong"]);
}

#[test]
fn without_a_terminal_and_a_passphrase_it_says_so_in_one_line() {
    let place = Place::new();
    let ended = place.server().complains([
        place.path("root.key").to_str().unwrap(),
        "protected with a passphrase",
        "no terminal",
        "COFFER_ROOT_KEY_PASSPHRASE_FILE",
        "coffer-root-key-passphrase",
    ]);
    place.quiet(&ended);
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let place = Place::new();
    place.passphrase("wrong", OTHER);
    let file = place.path("wrong");
    let ended = place.given("wrong").complains(["the passphrase is wrong", file.to_str().unwrap()]);
    place.quiet(&ended);
    place.given("missing").complains(["missing", "cannot read the passphrase"]);
    assert!(!data_dir(place.0.path()).join("bootstrap-token").exists());
}

#[test]
fn an_edited_key_file_opens_nothing() {
    let place = Place::new();
    let text = place.text();
    let edits = [
        (text.replace("m=65536", "m=65535"), "damaged"),
        (text.replace("t=3", "t=4294967295"), "damaged"),
        (text.replace("argon2id", "argon2i"), "damaged"),
        (text.replace("-v1:", "-v2:"), "later version"),
        (text[..text.len() - 3].to_owned(), "damaged"),
        ("coffer-root-key-".to_owned(), "damaged"),
    ];
    for (edited, word) in edits {
        assert_ne!(edited, text);
        std::fs::write(place.path("root.key"), &edited).unwrap();
        let ended = place.given("passphrase").fails();
        ended.says([word, place.path("root.key").to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
    }
}

#[test]
fn it_is_asked_for_on_a_terminal() {
    if !has_program("script") {
        return skip("script(1) is not installed");
    }
    let place = Place::new();
    // Completes the first start here, because its announcement would fill the screen.
    place.given("passphrase").start().stop();
    let words = ["audit", "verify", "--offline", "--data-dir"];
    let verify = || {
        let launch = Launch::bare(place.0.path()).arguments(words);
        let launch = launch.argument(data_dir(place.0.path()));
        launch.variable("COFFER_ROOT_KEY_FILE", place.path("root.key")).in_terminal()
    };
    let mut terminal = verify();
    terminal.shows("Passphrase for ");
    terminal.hides();
    terminal.types(&format!("{OTHER}\n"));
    // The prompt appears again after a typo.
    terminal.shows("root.key: \r\nPassphrase for ");
    terminal.hides();
    terminal.types(&format!("{PASSPHRASE}\n"));
    let (text, code) = terminal.ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("verified:") && !text.contains(PASSPHRASE), "{text}");
    await_release(&data_dir(place.0.path()));

    place.refuses_wrong_ones(verify());
}

#[test]
fn a_server_asks_for_it_before_it_serves() {
    if !has_program("script") {
        return skip("script(1) is not installed");
    }
    let place = Place::new();
    let server = place.given("passphrase").start();
    let token = server.token();
    let made = api::new_secret(&server.admin(), "development", "A", "v");
    server.stop();
    await_release(&data_dir(place.0.path()));

    let mut terminal = place.server().in_terminal();
    // A wrong passphrase first, as above.
    for (asked, typed) in [("Passphrase for ", OTHER), ("\r\nPassphrase for ", PASSPHRASE)] {
        terminal.shows(&format!("{asked}{}: ", place.path("root.key").display()));
        terminal.hides();
        terminal.types(&format!("{typed}\n"));
    }
    let address = terminal.behind("listening on http://").parse().unwrap();
    let admin = Client::new(address, Some(token));
    assert_eq!(api::reveal(&admin, api::text(&made, "id")), "v");
    // Presses Ctrl-C.
    terminal.types("\u{3}");
    let (text, code) = terminal.ends();
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains(PASSPHRASE) && !text.contains(OTHER), "{text}");
    await_release(&data_dir(place.0.path()));

    let text = place.refuses_wrong_ones(place.server().in_terminal());
    assert!(!text.contains("listening"), "{text}");
}

#[test]
fn a_generated_key_is_protected_and_laid_bare_again() {
    let place = Place(tempfile::tempdir().unwrap());
    place.passphrase("passphrase", PASSPHRASE);
    place.passphrase("other", OTHER);
    let launch = Launch::on(&data_dir(place.0.path()));
    launch.start().stop();
    let file = data_dir(place.0.path()).join("root.key");
    let bare = std::fs::read_to_string(&file).unwrap();
    let name = file.to_str().unwrap();
    let fingerprint = RootKey::parse(&bare).unwrap().fingerprint().to_string();

    let protected = place.key(&["protect", name]);
    assert_eq!(protected.code, Some(0), "{protected:#?}");
    assert!(protected.stdout.contains(&fingerprint), "{protected:#?}");
    protected.keeps_quiet_about(bare.trim());
    assert_eq!(mode(&file), 0o600);
    launch.complains(["protected with a passphrase"]);
    let with = |passphrase: &str| {
        launch.clone().variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", place.path(passphrase))
    };
    with("passphrase").start().stop();

    // Changes the passphrase: the old one opens the key, the new one must come from another source.
    place.key(&["protect", name]).refuses(2, ["cannot prompt for a passphrase"]);
    let other = place.path("other");
    let words = ["protect", name, "--new-passphrase-file", other.to_str().unwrap()];
    assert_eq!(place.key(&words).code, Some(0));
    with("passphrase").complains(["the passphrase is wrong"]);
    with("other").start().stop();

    place.key(&["protect", name, "--remove"]).refuses(2, ["the passphrase is wrong"]);
    let removed = place.key_with(&["protect", name, "--remove"], "other").run("");
    assert_eq!(removed.code, Some(0), "{removed:#?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bare);
    launch.start().stop();
    place.key(&["protect", name, "--remove"]).refuses(1, ["is not protected with a passphrase"]);
}

#[test]
fn a_previous_key_has_a_passphrase_of_its_own() {
    let place = Place::new();
    place.given("passphrase").start().stop();
    place.passphrase("other", OTHER);
    let made = place.key_with(&["generate", "--passphrase", "--file", "new.key"], "other").run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    let launch = Launch::on(&data_dir(place.0.path()))
        .variable("COFFER_ROOT_KEY_FILE", place.path("new.key"))
        .variable("COFFER_ROOT_KEY_PASSPHRASE_FILE", place.path("other"))
        .variable("COFFER_PREVIOUS_ROOT_KEY_FILE", place.path("root.key"));
    launch.complains(["COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE"]);
    let name = "COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE";
    let server = launch.variable(name, place.path("passphrase")).start();
    let status = api::rotated(&server.admin());
    assert_eq!(status["keys"].as_array().unwrap().len(), 2, "{status}");
    place.quiet(&server.stop());
}
