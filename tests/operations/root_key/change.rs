//! Changing the root key: the server is given the old and the new key together until nothing needs
//! the old one.

use std::path::PathBuf;

use coffer::audit::Action;
use coffer::store::{Rotation, View};
use coffer::vault::{RootKey, RootKeys, sealed_under, verify_audit};
use serde_json::{Value, json};
use support::doctor;
use support::paths::KEYS;
use support::process::{Ended, Launch, Server};
use support::{Client, api, await_release, data_dir, open_stopped, rows_fit};
use tempfile::TempDir;

/// A database that was used with the generated key, and another key.
struct Place {
    dir: TempDir,
    old: String,
    new: String,
    id: String,
}

fn fingerprint(text: &str) -> String {
    RootKey::parse(text).unwrap().fingerprint().to_string()
}

impl Place {
    fn new(secrets: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Launch::on(&data_dir(dir.path()))
            .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
            .start();
        let admin = server.admin();
        let made = api::new_secret(&admin, "development", "FIRST", "the first value");
        let id = api::text(&made, "id").to_owned();
        for number in 1..secrets {
            api::new_secret(&admin, "development", &format!("K_{number}"), "v");
        }
        server.stop();
        let old = std::fs::read_to_string(data_dir(dir.path()).join("root.key")).unwrap();
        let new = RootKey::generate(coffer::vault::Random).unwrap().to_text().to_string();
        Self { dir, old: old.trim().to_owned(), new, id }
    }

    fn file(&self, name: &str) -> PathBuf {
        data_dir(self.dir.path()).join(name)
    }

    fn launch(&self) -> Launch {
        Launch::on(&data_dir(self.dir.path()))
    }

    fn both(&self) -> Launch {
        self.launch()
            .variable("COFFER_ROOT_KEY", &self.new)
            .variable("COFFER_PREVIOUS_ROOT_KEY", &self.old)
    }

    fn only_new(&self) -> Launch {
        self.launch().variable("COFFER_ROOT_KEY", &self.new)
    }

    fn holds(&self, admin: &Client) {
        assert_eq!(api::reveal(admin, &self.id), "the first value");
    }

    fn quiet(&self, ended: &Ended) {
        ended.keeps_quiet_about(&self.old);
        ended.keeps_quiet_about(&self.new);
    }

    fn sealed(&self) -> String {
        let sealed = sealed_under(&open_stopped(&data_dir(self.dir.path()))).unwrap();
        await_release(&data_dir(self.dir.path()));
        sealed.unwrap().to_string()
    }
}

fn root(server: &Server) -> Value {
    api::rotated(&server.admin())["rootKey"].clone()
}

#[test]
fn a_start_with_both_keys_moves_everything_under_the_new_one() {
    let place = Place::new(20);
    let server = place.both().start();
    let admin = server.admin();
    place.holds(&admin);
    let status = api::rotated(&admin);
    let (old, new) = (fingerprint(&place.old), fingerprint(&place.new));
    assert_eq!(
        status["rootKey"],
        json!({ "fingerprint": new, "previousFingerprint": old, "previousNeeded": false })
    );
    let keys = &status["keys"];
    assert_eq!((&keys[0]["rootFingerprint"], &keys[0]["wrapped"]), (&json!(old), &json!(0)));
    assert_eq!((&keys[1]["rootFingerprint"], &keys[1]["wrapped"]), (&json!(new), &json!(22)));
    place.quiet(&server.stop());
    assert_eq!(place.sealed(), new);
    // Nothing is wrapped under its wrapping key any more, so the old root key can be removed before
    // that key is retired. The server still warns about it.
    let server = place.only_new().start();
    place.holds(&server.admin());
    assert_eq!(api::rotated(&server.admin())["keys"].as_array().unwrap().len(), 2);
    server.admin().delete(&format!("{KEYS}/1")).expect(200);
    let ended = server.stop();
    for word in ["WARN", &old, "no longer needed", "coffer key retire 1"] {
        assert!(ended.stderr.contains(word), "no {word:?} in {ended:#?}");
    }
    place.quiet(&ended);
    let server = place.only_new().start();
    place.holds(&server.admin());
    assert_eq!(
        root(&server),
        json!({ "fingerprint": new, "previousFingerprint": null, "previousNeeded": false })
    );
    server.admin().get("/api/audit-logs/verification").expect(200);
    server.stop();
    // The old root key opens nothing any more.
    place.launch().fails().says([&new, &old]);
    rows_fit(&data_dir(place.dir.path()));
}

#[test]
fn a_start_begins_a_change_once_and_says_so_without_a_warning() {
    let place = Place::new(1);
    let first = place.both().start();
    root(&first);
    let first = first.stop();
    assert!(first.stderr.contains("changing the root key to"), "{first:#?}");
    let second = place.both().start();
    assert_eq!(api::rotated(&second.admin())["keys"].as_array().unwrap().len(), 2);
    let second = second.stop();
    assert!(!second.stderr.contains("changing the root key to"), "{second:#?}");
    for ended in [&first, &second] {
        assert!(!ended.stderr.contains("WARN") && !ended.stderr.contains("ERROR"), "{ended:#?}");
    }
    let opened = open_stopped(&data_dir(place.dir.path()));
    let current = RootKey::parse(&place.new).unwrap();
    let previous = RootKey::parse(&place.old).unwrap();
    let roots = RootKeys { current: &current, previous: Some(&previous) };
    assert_eq!(verify_audit(&opened, roots).unwrap().broken, None);
    // Nothing needs the old root key, and it opens nothing by itself.
    assert_eq!(verify_audit(&opened, &current).unwrap().broken, None);
    assert!(verify_audit(&opened, &previous).is_err());
}

#[test]
fn the_new_key_missing_is_said_as_clearly() {
    let place = Place::new(1);
    let server = place.both().start();
    root(&server);
    server.stop();
    // Only the old root key is given, from its file.
    let ended = place.launch().fails();
    ended.says([&fingerprint(&place.new), &fingerprint(&place.old), "being changed"]);
    // Neither of the two keys is given.
    let other = RootKey::generate(coffer::vault::Random).unwrap().to_text().to_string();
    let ended = place.launch().variable("COFFER_ROOT_KEY", &other).fails();
    ended.says([&fingerprint(&place.new), &fingerprint(&other)]);
}

#[test]
fn the_previous_key_comes_from_the_same_places_as_the_root_key() {
    for source in 0..5 {
        let place = Place::new(1);
        let launch = place.only_new();
        let path = place.dir.path().join("credentials/coffer-previous-root-key");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = if source == 4 { place.file("root.key.previous") } else { path };
        if source > 0 {
            coffer::store::write_private(&file, &place.old).unwrap();
        }
        let launch = match source {
            0 => launch.variable("COFFER_PREVIOUS_ROOT_KEY", &place.old),
            1 => launch.variable("COFFER_PREVIOUS_ROOT_KEY_FILE", &file),
            2 => launch.variable("CREDENTIALS_DIRECTORY", file.parent().unwrap()),
            3 => launch.variable("COFFER_KEYS__PREVIOUS_ROOT_KEY_FILE", &file),
            _ => launch,
        };
        let server = launch.start();
        place.holds(&server.admin());
        assert_eq!(root(&server)["previousFingerprint"], fingerprint(&place.old), "{source}");
        server.stop();
    }
}

#[test]
fn a_bad_previous_key_is_never_passed_over() {
    let place = Place::new(1);
    let bad = place.launch().variable("COFFER_PREVIOUS_ROOT_KEY", "not a key at all");
    bad.complains(["COFFER_PREVIOUS_ROOT_KEY", "not base64"]);
    let missing = place.dir.path().join("not-there");
    let bad = place.launch().variable("COFFER_PREVIOUS_ROOT_KEY_FILE", &missing);
    bad.complains([missing.to_str().unwrap()]);
    let typo = place.launch().variable("COFFER_PREVIOUS_ROOTKEY", "x");
    typo.complains(["Did you mean COFFER_PREVIOUS_ROOT_KEY"]);
}

/// Giving the same key twice, or a key that nothing was sealed under, changes nothing.
#[test]
fn a_previous_key_that_nothing_needs_does_no_harm() {
    let place = Place::new(1);
    for previous in [&place.old, &place.new] {
        let server = place.launch().variable("COFFER_PREVIOUS_ROOT_KEY", previous).start();
        assert_eq!(root(&server)["previousNeeded"], false);
        assert_eq!(api::rotated(&server.admin())["keys"].as_array().unwrap().len(), 1);
        server.stop();
    }
}

#[test]
fn the_offline_commands_work_in_the_middle_of_a_change() {
    let place = Place::new(5);
    let server = place.both().start();
    root(&server);
    server.stop();
    let offline = |words: &[&str], both: bool| {
        let launch = Launch::bare(place.dir.path()).variable("COFFER_ROOT_KEY", &place.new);
        let launch = words.iter().fold(launch, |launch, word| launch.argument(word));
        let launch = launch.argument("--data-dir").argument(data_dir(place.dir.path()));
        let launch =
            if both { launch.variable("COFFER_PREVIOUS_ROOT_KEY", &place.old) } else { launch };
        launch.run("")
    };
    for words in [&["audit", "verify", "--offline"][..], &["recover", "admin-token"]] {
        // Nothing needs the old root key any more, although its wrapping key is not retired yet.
        for both in [false, true] {
            let done = offline(words, both);
            assert_eq!(done.code, Some(0), "{done:#?}");
            place.quiet(&done);
        }
    }
}

/// The steps from docs/operations.md, for the key that the first start generated.
#[test]
fn the_generated_key_is_changed_by_moving_two_files() {
    let place = Place::new(3);
    let made = Launch::bare(place.dir.path())
        .arguments(["key", "generate", "--file"])
        .argument(place.file("root.key.new"))
        .run("");
    assert_eq!(made.code, Some(0), "{made:#?}");
    std::fs::rename(place.file("root.key"), place.file("root.key.previous")).unwrap();
    std::fs::rename(place.file("root.key.new"), place.file("root.key")).unwrap();
    let server = place.launch().start();
    root(&server);
    server.admin().delete(&format!("{KEYS}/1")).expect(200);
    server.stop();
    std::fs::remove_file(place.file("root.key.previous")).unwrap();
    let server = place.launch().start();
    place.holds(&server.admin());
    server.stop();
    let rows = support::audit_rows(place.dir.path());
    let rotate = rows.iter().find(|row| row.draft.action == Action::KeyRotate).unwrap();
    assert_eq!(rotate.draft.actor.name, "coffer");
}

impl Place {
    /// A change that a kill has interrupted: some data keys are under the new root key, some still
    /// under the old one.
    fn in_the_middle(secrets: usize) -> Self {
        let place = Self::new(secrets);
        let server = place.both().start();
        let rewrapped = |status: Value| status["rotation"]["rewrapped"].as_u64();
        while rewrapped(server.admin().get(KEYS).expect(200)) <= Some(2) {}
        server.kill();
        let opened = open_stopped(&data_dir(place.dir.path()));
        let row = opened.get::<Rotation>(&()).unwrap().unwrap();
        drop(opened);
        await_release(&data_dir(place.dir.path()));
        // This process created files; give them the permissions that the real binary sets.
        doctor::owner_only(&data_dir(place.dir.path()).join("db"));
        // Tries again if the kill came too late.
        if row.finished_at.is_none() { place } else { Self::in_the_middle(secrets) }
    }

    /// Runs a command with the new root key, and with the old one if `both`, in the parent of the
    /// data directory.
    fn offline(&self, words: &[&str], both: bool) -> Ended {
        let launch = Launch::bare(self.dir.path()).variable("COFFER_ROOT_KEY", &self.new);
        let launch = words.iter().fold(launch, |launch, word| launch.argument(word));
        let launch =
            if both { launch.variable("COFFER_PREVIOUS_ROOT_KEY", &self.old) } else { launch };
        let ended = launch.run("");
        self.quiet(&ended);
        ended
    }
}

/// The backup has data keys under both root keys, so it needs both, and the restored server
/// completes the change.
#[test]
fn a_backup_made_in_the_middle_of_a_change_is_opened_and_restored_with_both_keys() {
    let place = Place::in_the_middle(900);
    let (old, new) = (fingerprint(&place.old), fingerprint(&place.new));
    let create = ["backup", "create", "a.backup", "--offline"];
    place.offline(&create, false).refuses(1, [&old, "being changed"]);
    let made = place.offline(&create, true).json();
    let of = |made: &Value| -> Vec<String> {
        let keys = made["backup"]["wrappingKeys"].as_array().unwrap();
        keys.iter().map(|key| api::text(key, "rootKey").to_owned()).collect()
    };
    assert_eq!(of(&made), [old.clone(), new.clone()]);
    let restore = ["backup", "restore", "a.backup", "--data-dir", "restored"];
    for words in [&["backup", "verify", "a.backup"][..], &restore] {
        let alone = place.offline(words, false);
        alone.refuses(1, [&old, "while the root key was being changed"]);
        assert!(!place.dir.path().join("restored/db").exists());
    }
    let verified = place.offline(&["backup", "verify", "a.backup"], true).json();
    assert_eq!(verified["backup"]["versionsOpened"], 900);
    assert_eq!(verified["backup"]["findings"], json!([]));
    let restored = place.offline(&restore, true).json();
    assert_eq!(of(&restored), [old, new]);
    let to = place.dir.path().join("restored");
    std::fs::copy(place.file("bootstrap-token"), to.join("bootstrap-token")).unwrap();
    let server = Launch::on(&to)
        .variable("COFFER_ROOT_KEY", &place.new)
        .variable("COFFER_PREVIOUS_ROOT_KEY", &place.old)
        .start();
    let status = api::rotated(&server.admin());
    assert_eq!(status["rotation"]["left"], 0, "{status}");
    place.holds(&server.admin());
    server.admin().delete(&format!("{KEYS}/1")).expect(200);
    server.stop();
    rows_fit(&to);
    await_release(&to);
    let server = Launch::on(&to).variable("COFFER_ROOT_KEY", &place.new).start();
    place.holds(&server.admin());
    server.stop();
}

#[test]
fn the_doctor_says_what_is_missing_in_the_middle_of_a_change() {
    let place = Place::in_the_middle(900);
    let data_dir = data_dir(place.dir.path());
    let words = ["doctor", "--data-dir", data_dir.to_str().unwrap()];
    let (old, new) = (fingerprint(&place.old), fingerprint(&place.new));
    let alone = place.offline(&words, false);
    let errors = |ended: &Ended| -> Vec<String> {
        let lines = ended.stdout.lines().filter(|line| line.starts_with("error"));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(alone.code, Some(2), "{alone:#?}");
    let said = errors(&alone);
    assert_eq!(said.len(), 1, "{alone:#?}");
    for word in [&old, &new, "being changed", "COFFER_PREVIOUS_ROOT_KEY_FILE"] {
        assert!(said[0].contains(word), "no {word} in {alone:#?}");
    }
    let both = place.offline(&words, true);
    assert_eq!((both.code, errors(&both)), (Some(1), vec![]), "{both:#?}");
    assert!(both.stdout.contains("every record opens"), "{both:#?}");
    // The message is just as clear with only the old root key.
    let launch = Launch::bare(place.dir.path()).variable("COFFER_ROOT_KEY", &place.old);
    let wrong = words.iter().fold(launch, |launch, word| launch.argument(word)).run("");
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(errors(&wrong)[0].contains(&new), "{wrong:#?}");
}

/// Such a backup used to be unreadable after the old root key had been removed as described in
/// docs/operations.md, only because an unused row named that key.
#[test]
fn a_backup_from_before_the_old_key_was_retired_opens_with_the_new_root_key() {
    let place = Place::new(3);
    let server = place.both().start();
    root(&server);
    let file = place.dir.path().join("a.backup");
    std::fs::write(&file, support::backups::take(&server.admin())).unwrap();
    server.admin().delete(&format!("{KEYS}/1")).expect(200);
    server.stop();
    let run = |words: &[&str]| {
        let launch = Launch::bare(place.dir.path()).variable("COFFER_ROOT_KEY", &place.new);
        words.iter().fold(launch, |launch, word| launch.argument(word)).run("")
    };
    let verified = run(&["backup", "verify", "a.backup"]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    let restored = run(&["backup", "restore", "a.backup", "--data-dir", "restored"]);
    assert_eq!(restored.code, Some(0), "{restored:#?}");
    let restored = Launch::on(&place.dir.path().join("restored"));
    let server = restored.variable("COFFER_ROOT_KEY", &place.new).start();
    let token = std::fs::read_to_string(place.file("bootstrap-token")).unwrap();
    let admin = Client::new(server.address, Some(token.trim().to_owned()));
    place.holds(&admin);
    assert_eq!(admin.get(KEYS).expect(200)["keys"].as_array().unwrap().len(), 2);
    admin.delete(&format!("{KEYS}/1")).expect(200);
    api::new_secret(&admin, "development", "AFTER", "v");
    server.stop();
    rows_fit(&place.dir.path().join("restored"));
}

#[test]
fn a_restore_takes_a_directory_that_holds_both_root_keys() {
    let place = Place::new(1);
    let server = place.both().start();
    let file = place.dir.path().join("a.backup");
    std::fs::write(&file, support::backups::take(&server.admin())).unwrap();
    server.stop();
    let to = place.dir.path().join("restored");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("root.key"), &place.new).unwrap();
    std::fs::write(to.join("root.key.previous"), &place.old).unwrap();
    let words = ["backup", "restore", "a.backup", "--data-dir", "restored"];
    let restored = Launch::bare(place.dir.path()).arguments(words).run("");
    assert_eq!(restored.code, Some(0), "{restored:#?}");
    rows_fit(&to);
}
