//! Damaged backups cause a clear message, never a panic or a partial database.

use std::path::Path;

use coffer::store::OpenError;
use coffer::vault::RootKey;
use coffer::vault::backup::{BackupError, Identities, Opening, Recipient, read_backup, reseal};
use support::TestApp;
use support::api::new_secret;
use support::backups::{open, restore, root_key, take};

const HEADER: usize = 58;
const CHUNK: usize = (64 << 10) + 16;

/// Creates a backup of several chunks. Returns it with its root key.
fn backup() -> (Vec<u8>, RootKey) {
    let app = TestApp::start();
    let admin = app.admin();
    for n in 0..8 {
        new_secret(&admin, "development", &format!("KEY_{n}"), &"v".repeat(30_000));
    }
    let file = take(&admin);
    assert!(file.len() > HEADER + 3 * CHUNK, "{}", file.len());
    (file, root_key(&app.data_dir()))
}

/// Fails unless both `verify` and `restore` refuse a file, and the restore leaves nothing that a
/// server would open.
#[track_caller]
fn refused(file: &[u8], root: &RootKey, what: &str) -> String {
    let error = open(file, root).expect_err(what).to_string();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("data");
    let again = restore(file, root, &to).expect_err(what).to_string();
    assert_eq!(again, error, "{what}");
    holds_no_database(&to);
    error
}

/// Checks that a directory holds no database, and that a server does not create one there after a
/// restore has begun.
#[track_caller]
fn holds_no_database(data_dir: &Path) {
    let opened = coffer::store::Opened::open_existing(data_dir, Default::default());
    if data_dir.join("restoring").exists() {
        assert!(matches!(opened, Err(OpenError::Restoring { .. })), "{opened:?}");
        assert_eq!(data_dir.join("restoring").read_dir().unwrap().count(), 0);
    } else {
        assert!(matches!(opened, Err(OpenError::None { .. })), "{opened:?}");
    }
}

#[test]
fn a_byte_changed_anywhere_is_found() {
    let (file, root) = backup();
    let ends = [0, 16, 17, 18, 25, 26, 57, HEADER, HEADER + CHUNK - 1, HEADER + CHUNK];
    let spread = (0..24).map(|n| HEADER + n * (file.len() - HEADER) / 24);
    for at in ends.into_iter().chain(spread).chain([file.len() - 1]) {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        let error = refused(&changed, &root, &format!("byte {at}"));
        let known = ["backup", "root key"].iter().any(|word| error.contains(word));
        assert!(known, "byte {at}: {error}");
    }
}

#[test]
fn a_file_that_was_cut_off_or_extended_is_found() {
    let (file, root) = backup();
    let places = [0, 1, 17, HEADER - 1, HEADER, HEADER + 1, HEADER + 15, HEADER + 16];
    let between = [HEADER + CHUNK, HEADER + 2 * CHUNK];
    for at in places.into_iter().chain(between).chain([file.len() / 2, file.len() - 1]) {
        refused(&file[..at], &root, &format!("cut at {at}"));
    }
    for at in between {
        let error = refused(&file[..at], &root, "cut between chunks");
        assert!(error.contains("truncated"), "{error}");
    }
    refused(&[&file[..], b"x"].concat(), &root, "one extra byte");
    refused(&[&file[..], &file[HEADER..]].concat(), &root, "twice");
}

#[test]
fn chunks_that_were_swapped_are_found() {
    let (file, root) = backup();
    let (first, second) = (HEADER..HEADER + CHUNK, HEADER + CHUNK..HEADER + 2 * CHUNK);
    let swapped =
        [&file[..HEADER], &file[second], &file[first], &file[HEADER + 2 * CHUNK..]].concat();
    refused(&swapped, &root, "swapped");
}

#[test]
fn another_root_key_is_named_with_both_fingerprints() {
    let (file, root) = backup();
    let other = RootKey::generate(coffer::vault::Random).unwrap();
    let error = refused(&file, &other, "another key");
    for fingerprint in [root.fingerprint(), other.fingerprint()] {
        assert!(error.contains(&fingerprint.to_string()), "{error}");
    }
}

const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

#[test]
fn an_age_file_is_refused_when_it_is_damaged_or_was_made_by_somebody_else() {
    let (file, root) = backup();
    let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
    let identities = Identities::parse(IDENTITY).unwrap();
    let recipient = Recipient::parse(&identity.to_public().to_string()).unwrap();
    let mut sealed = Vec::new();
    reseal(&file[..], &root, &mut sealed, &[recipient]).unwrap();
    let opening = Opening { root: &root, previous: None, identities: Some(&identities) };
    let verify = |file: &[u8]| coffer::vault::backup::verify(file, opening);
    verify(&sealed).unwrap();
    assert!(matches!(open(&sealed, &root), Err(BackupError::NeedsIdentity)));
    for at in (0..40).map(|n| n * (sealed.len() - 1) / 39) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(verify(&changed).is_err(), "byte {at}");
        assert!(verify(&sealed[..at]).is_err(), "cut at {at}");
    }
    // Anyone can encrypt to a recipient, but only the owner of the root key can create rows that a
    // restore accepts. Here the same rows are opened with another root key.
    let rows = age::decrypt(&identity, &sealed).unwrap();
    assert!(read_backup(&rows).unwrap().is_some());
    let other = RootKey::generate(coffer::vault::Random).unwrap();
    let opening = Opening { root: &other, previous: None, identities: Some(&identities) };
    let error = coffer::vault::backup::verify(&sealed[..], opening).unwrap_err();
    assert!(matches!(error, BackupError::OtherOrigin), "{error}");
    // The same rows with one changed byte and a corrected checksum are refused, too.
    let mut forged = rows.clone();
    let at = forged.len() / 2;
    forged[at] ^= 1;
    let body = forged.len() - 64;
    let sum = ring::digest::digest(&ring::digest::SHA256, &forged[..body]);
    forged[body..body + 32].copy_from_slice(sum.as_ref());
    let forged = age::encrypt(&identity.to_public(), &forged).unwrap();
    let error = verify(&forged).unwrap_err();
    assert!(matches!(error, BackupError::OtherOrigin | BackupError::Damaged { .. }), "{error}");
    let stranger = age::x25519::Identity::generate();
    let foreign = age::encrypt(&stranger.to_public(), &rows).unwrap();
    assert!(matches!(verify(&foreign), Err(BackupError::NoIdentityFits)));
}
