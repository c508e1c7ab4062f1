//! The import law of src/lib.rs, read off the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may name.
fn law() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("domain", &[][..]),
        ("config", &["domain"]),
        ("formats", &["domain"]),
        ("audit", &["domain"]),
        ("store", &["domain", "audit"]),
        ("vault", &["domain", "formats", "audit", "store"]),
        ("access", &["domain", "audit", "store", "vault"]),
        ("delivery", &["domain", "audit", "vault"]),
        ("http", &["domain", "audit", "vault", "access", "delivery"]),
        (
            "cli",
            &[
                "domain", "config", "formats", "audit", "store", "vault", "access", "delivery",
                "http",
            ],
        ),
    ])
}

/// Crates that only some files may name: what may name them begins with one of these.
const CRATES: [(&str, &[&str]); 18] = [
    ("argon2", &["access/password.rs", "vault/passphrase.rs"]),
    ("governor", &["access/limits.rs"]),
    ("sled", &["store/"]),
    ("postcard", &["store/", "audit/"]),
    (
        "ring",
        &[
            "vault/cipher.rs",
            "vault/backup_key.rs",
            "vault/keyring.rs",
            "vault/random.rs",
            "vault/deliver/resolve.rs",
            "vault/backup/rows.rs",
            "vault/backup/seal.rs",
            "access/hash.rs",
            "audit/chain.rs",
        ],
    ),
    ("actix_web", &["http/", "cli/serve.rs"]),
    ("utoipa", &["http/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/completions.rs"]),
    ("clap_mangen", &["cli/man.rs"]),
    ("ureq", &["cli/api/"]),
    ("rustls", &["cli/api/"]),
    ("rpassword", &["cli/ask.rs"]),
    ("age", &["vault/recipients.rs"]),
    ("saphyr_parser", &["formats/read_yaml.rs"]),
    ("crc32fast", &["store/holes.rs", "store/leftovers.rs", "store/opening.rs"]),
    ("indicatif", &["cli/progress.rs"]),
    ("unicode_width", &["cli/show.rs"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (name, code_of(&fs::read_to_string(path).unwrap()))
        })
        .collect()
}

/// The source without its comments.
fn code_of(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The word behind each `crate::`, whether in a `use` or in a path.
fn rooms_named(code: &str) -> Vec<&str> {
    let word =
        |rest: &'_ str| rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    code.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            assert!(
                !rest.starts_with('{'),
                "one `use crate::` a room, so that this test can read it"
            );
            &rest[..word(rest)]
        })
        .collect()
}

fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let mut before = code[..at].chars().rev();
        let inside_a_word = |c: char| c.is_alphanumeric() || c == '_';
        match before.next() {
            // A module of another crate that has the same name.
            Some(':') => before.nth(1).is_none_or(|c| !inside_a_word(c)),
            Some(c) => !inside_a_word(c),
            None => true,
        }
    })
}

#[test]
fn every_room_names_only_rooms_to_its_left() {
    let law = law();
    let mut broken = Vec::new();
    for (file, code) in sources() {
        let Some((room, _)) = file.split_once('/') else { continue };
        let allowed = law.get(room).unwrap_or_else(|| panic!("{room} is a room without a law"));
        for named in rooms_named(&code) {
            if named != room && !allowed.contains(&named) {
                broken.push(format!("src/{file} names {named}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_crate_stays_in_its_rooms() {
    let mut broken = Vec::new();
    for (file, code) in sources() {
        for (name, allowed) in CRATES {
            if names_crate(&code, name) && !allowed.iter().any(|prefix| file.starts_with(prefix)) {
                broken.push(format!("src/{file} names {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What may get values is declared on the host, and read in one place.
#[test]
fn only_the_reader_of_the_configuration_enrols() {
    for (file, code) in sources() {
        let enrols = code.contains("Enrolment::workload(") || code.contains("Enrolment::file(");
        assert!(!enrols || file == "cli/declare.rs", "src/{file} makes an enrolment");
    }
}

#[test]
fn the_law_speaks_of_the_rooms_that_exist() {
    let rooms: std::collections::BTreeSet<_> = sources()
        .into_iter()
        .filter_map(|(file, _)| file.split_once('/').map(|(room, _)| room.to_owned()))
        .collect();
    assert_eq!(rooms, law().keys().map(|room| (*room).to_owned()).collect());
}

#[test]
fn files_stay_readable() {
    for (file, _) in sources() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&file);
        let source = fs::read_to_string(path).unwrap();
        assert!(source.lines().count() <= 500, "src/{file} has more than 500 lines");
        let opening = source.lines().next().unwrap_or_default();
        assert!(opening.starts_with("//!"), "src/{file} does not say what it owns");
    }
}

#[test]
fn the_reader_of_this_test_sees_what_breaks_the_law() {
    assert_eq!(rooms_named("use crate::vault::X;\nlet y = crate::store::Y;"), ["vault", "store"]);
    assert!(names_crate("use sled::Db;", "sled"));
    assert!(!names_crate("use unsled::Db;", "sled"));
    assert!(names_crate("use ::sled::Db;", "sled") && names_crate("f(sled::x)", "sled"));
    assert!(!names_crate("use other::sled::Db;", "sled"));
    assert_eq!(code_of("a // use crate::x::Y"), "a ");
}
