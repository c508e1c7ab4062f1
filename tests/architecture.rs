//! Holds the structure that ARCHITECTURE.md describes, by reading the sources.
//!
//! * the import law between modules, and the order of folders inside the large ones;
//! * no circles between files;
//! * which files may name a library;
//! * names: no type name for two concepts;
//! * language: words that no comment, message or document uses;
//! * documents name only files that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules that it may name.
const LAW: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("config", &["domain"]),
    ("formats", &["domain"]),
    ("audit", &["domain"]),
    ("store", &["domain", "audit"]),
    ("vault", &["domain", "formats", "audit", "store"]),
    ("access", &["domain", "audit", "store", "vault"]),
    ("delivery", &["domain", "audit", "vault"]),
    ("http", &["domain", "audit", "vault", "access", "delivery"]),
    (
        "server",
        &["domain", "config", "formats", "audit", "store", "vault", "access", "delivery", "http"],
    ),
    (
        "cli",
        &[
            "domain", "config", "formats", "audit", "store", "vault", "access", "delivery", "http",
            "server",
        ],
    ),
];

/// The order of the folders (and top-level files) inside a module: each may name those of its
/// own step and of earlier steps. What is not listed is on the last step, below `mod.rs`.
const ORDER: [(&str, &[&[&str]]); 4] = [
    (
        "store",
        &[
            &["advice", "directory", "revisions", "rows", "unavailable"],
            &["disk_budget", "point_in_time"],
            &["private_file"],
            &["sled"],
            &["writer"],
        ],
    ),
    (
        "vault",
        &[
            &["audit_rows", "error", "fingerprint", "plaintext", "secret_rows", "verb_result"],
            &["effective_access", "idempotency", "policy"],
            &["crypto"],
            &["guarded_change", "unlocked"],
            &["service"],
            &["lookup", "replay"],
            &["verbs"],
            &["deliver", "keys"],
        ],
    ),
    (
        "http",
        &[
            &["list_cache", "response", "traffic"],
            &["request"],
            &["handlers"],
            &["routes"],
            &["openapi"],
        ],
    ),
    ("cli", &[&["harden", "terminal"], &["api", "offline"], &["arguments"], &["commands"]]),
];

/// Libraries that only some files may name. This list is the one place that says so.
const LIBRARIES: [(&str, &[&str]); 18] = [
    ("argon2", &["access/password.rs", "vault/crypto/passphrase.rs"]),
    ("governor", &["access/limits.rs"]),
    ("sled", &["store/"]),
    ("postcard", &["store/", "audit/"]),
    (
        "ring",
        &[
            "vault/crypto/",
            "vault/deliver/resolve.rs",
            "vault/backup/rows.rs",
            "vault/backup/seal.rs",
            "access/hash.rs",
            "audit/chain.rs",
        ],
    ),
    ("actix_web", &["http/", "server/"]),
    ("utoipa", &["http/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/commands/completions.rs"]),
    ("clap_mangen", &["cli/commands/man.rs"]),
    ("ureq", &["cli/api/"]),
    ("rustls", &["cli/api/"]),
    ("rpassword", &["cli/terminal/prompt.rs"]),
    ("age", &["vault/crypto/recipients.rs"]),
    ("saphyr_parser", &["formats/read/yaml.rs"]),
    ("crc32fast", &["store/sled/"]),
    ("indicatif", &["cli/terminal/progress.rs"]),
    ("unicode_width", &["cli/terminal/output.rs"]),
];

/// Type names that occur more than once, because each module has one of its own by convention
/// or because the two are one concept on the two sides of an interface.
const SHARED_TYPE_NAMES: [&str; 1] = ["Error"];

/// Words and turns of phrase that no one would use today, with what to write instead.
const BANNED: [(&str, &str); 24] = [
    ("/// Likewise", "say what this item does"),
    ("/// That ", "begin with a verb: `Fails unless`, `Checks that`"),
    ("//! Likewise", "say what this module does"),
    ("stands twice", "is duplicated"),
    ("Mend ", "Fix"),
    (" mended", "fixed"),
    (" is none,", "is not one"),
    ("in force", "active, current"),
    ("hoever ", "anyone who"),
    ("such a one", "it"),
    ("how many-eth", "which"),
    ("leave word", "a plain verb"),
    (" is no JSON", "is not JSON"),
    ("colour", "color"),
    ("behaviour", "behavior"),
    ("neighbour", "neighbor"),
    ("honour", "honor"),
    ("authoris", "authoriz"),
    ("recognis", "recogniz"),
    ("serialis", "serializ"),
    ("initialis", "initializ"),
    ("licence", "license"),
    ("favour", "favor"),
    ("catalogue", "catalog"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files below a directory whose name ends like this, with paths from the project's root.
fn files(directory: &str, endings: &[&str]) -> Vec<String> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|one| one.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), found);
            } else {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(directory), &mut found);
    let names = found
        .into_iter()
        .map(|path| path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"));
    names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust sources below `src`, by their path there, without comments and unit tests.
fn sources() -> BTreeMap<String, String> {
    let names = files("src", &[".rs"]);
    let short = |name: &str| name.strip_prefix("src/").unwrap().to_owned();
    names.iter().map(|name| (short(name), code_of(&read(name)))).collect()
}

fn code_of(source: &str) -> String {
    let source = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// `store/rows/row.rs` is `["store", "rows", "row"]`; a `mod.rs` is its folder.
fn module_of(file: &str) -> Vec<&str> {
    let mut parts: Vec<_> = file.strip_suffix(".rs").unwrap().split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path in a source, as absolute segments: `crate::…`, `super::…`, and in a `mod.rs` what
/// begins with one of its children. Groups in braces are taken apart.
fn paths(file: &str, code: &str, modules: &BTreeSet<Vec<&str>>) -> Vec<Vec<String>> {
    let own = module_of(file);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(length) = code[at..].find("::") {
        let end = at + length;
        let head_start = code[..end].rfind(|c| !is_word(c)).map_or(0, |i| i + 1);
        let head = &code[head_start..end];
        let before = code[..head_start].trim_end();
        at = end + 2;
        // The rest of a path, a macro's crate, a visibility.
        if before.ends_with("::") || before.ends_with('$') || before.ends_with("pub(in") {
            continue;
        }
        let mut base: Vec<String> = own.iter().map(|part| (*part).to_owned()).collect();
        match head {
            "crate" => base.clear(),
            "super" => {
                base.pop();
            }
            "self" => {}
            name => {
                let child: Vec<&str> = own.iter().copied().chain([name]).collect();
                if !modules.contains(&child) || own.is_empty() {
                    continue;
                }
                base.push(name.to_owned());
            }
        }
        expand(&code[end + 2..], base, &mut found);
    }
    found
}

/// Takes `a::{b, c::d}` apart, behind what is known already.
fn expand(rest: &str, base: Vec<String>, found: &mut Vec<Vec<String>>) {
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0;
        let mut start = 0;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' => {
                    let item = group[start..index].trim();
                    if !item.is_empty() {
                        expand(item, base.clone(), found);
                    }
                    start = index + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    let mut path = base;
    match name {
        "super" => {
            path.pop();
        }
        "" | "self" => {}
        name => path.push(name.to_owned()),
    }
    match behind.strip_prefix("::") {
        Some(behind) => expand(behind, path, found),
        None => found.push(path),
    }
}

/// Which file names which others.
fn imports(sources: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let by_module: BTreeMap<Vec<&str>, &str> =
        sources.keys().map(|file| (module_of(file), file.as_str())).collect();
    let modules: BTreeSet<_> = by_module.keys().cloned().collect();
    let target = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        (1..=path.len()).rev().find_map(|length| by_module.get(&path[..length]).copied())
    };
    let named = |(file, code): (&'_ String, &String)| {
        let paths = paths(file, code, &modules);
        let targets: BTreeSet<_> = paths.iter().filter_map(|path| target(path)).collect();
        targets
    };
    sources
        .iter()
        .map(|one| (one.0.as_str(), named(one).into_iter().filter(|to| to != one.0).collect()))
        .collect()
}

#[test]
fn every_module_names_only_modules_to_its_left() {
    let law = BTreeMap::from(LAW);
    let sources = sources();
    let mut broken = Vec::new();
    for (file, targets) in imports(&sources) {
        let Some((module, _)) = file.split_once('/') else { continue };
        let allowed = law.get(module).unwrap_or_else(|| panic!("{module} has no law"));
        for target in targets {
            let named = target.split('/').next().unwrap();
            if named != module && !allowed.contains(&named) {
                broken.push(format!("src/{file} names {named}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_law_speaks_of_the_modules_that_exist() {
    let sources = sources();
    let modules: BTreeSet<_> =
        sources.keys().filter_map(|file| file.split_once('/').map(|(module, _)| module)).collect();
    assert_eq!(modules, LAW.iter().map(|(module, _)| *module).collect());
}

#[test]
fn no_file_imports_what_imports_it() {
    let sources = sources();
    let imports = imports(&sources);
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = imports[from].iter().copied().collect();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(&imports[file]);
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|file| (*file, reach(file))).collect();
    let mut circles = Vec::new();
    for (from, targets) in &imports {
        for to in targets {
            if reached[to].contains(from) {
                circles.push(format!("src/{from} -> src/{to} -> … -> src/{from}"));
            }
        }
    }
    assert!(circles.is_empty(), "{} imports are part of a circle: {circles:#?}", circles.len());
}

#[test]
fn folders_keep_their_order() {
    let sources = sources();
    let mut broken = Vec::new();
    for (file, targets) in imports(&sources) {
        for (module, steps) in ORDER {
            let step = |file: &str| {
                let rest = file.strip_prefix(module)?.strip_prefix('/')?;
                let part = rest.split('/').next().unwrap().trim_end_matches(".rs");
                if part == "mod" || part == "fuzzing" {
                    return None;
                }
                Some(steps.iter().position(|step| step.contains(&part)).unwrap_or(steps.len()))
            };
            let Some(own) = step(file) else { continue };
            for target in &targets {
                if step(target).is_some_and(|other| other > own) {
                    broken.push(format!("src/{file} names src/{target}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

fn names_library(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let mut before = code[..at].chars().rev();
        match before.next() {
            // A module of another crate that has the same name.
            Some(':') => before.nth(1).is_none_or(|c| !is_word(c)),
            Some(c) => !is_word(c),
            None => true,
        }
    })
}

#[test]
fn every_library_stays_in_its_files() {
    let mut broken = Vec::new();
    for (file, code) in sources() {
        for (name, allowed) in LIBRARIES {
            if names_library(&code, name) && !allowed.iter().any(|prefix| file.starts_with(prefix))
            {
                broken.push(format!("src/{file} names {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What may receive values is declared on the host, and read in one place.
#[test]
fn only_the_reader_of_the_configuration_enrols() {
    for (file, code) in sources() {
        let enrols = code.contains("Enrolment::workload(") || code.contains("Enrolment::file(");
        assert!(!enrols || file == "server/enrolments.rs", "src/{file} makes an enrolment");
    }
}

#[test]
fn no_type_name_has_two_meanings() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, code) in sources() {
        for line in code.lines() {
            let line = line.trim_start();
            let line = match line.strip_prefix("pub") {
                Some(rest) if rest.starts_with('(') => {
                    rest.split_once(") ").map_or("", |two| two.1)
                }
                Some(rest) => rest.trim_start(),
                None => line,
            };
            let kinds = ["struct ", "enum ", "trait "];
            let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) else {
                continue;
            };
            let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
            // Single letters are stand-ins inside one function.
            if name.len() > 1 {
                places.entry(name).or_default().push(file.clone());
            }
        }
    }
    let twice: Vec<_> = places
        .into_iter()
        .filter(|(name, files)| files.len() > 1 && !SHARED_TYPE_NAMES.contains(&name.as_str()))
        .collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn files_stay_readable() {
    for file in files("src", &[".rs"]) {
        let source = read(&file);
        assert!(source.lines().count() <= 500, "{file} has more than 500 lines");
        let opening = source.lines().next().unwrap_or_default();
        assert!(opening.starts_with("//!"), "{file} does not say what it owns");
    }
}

#[test]
fn modules_have_one_style() {
    for file in files("src", &[".rs"]) {
        let folder = root().join(file.trim_end_matches(".rs"));
        assert!(!folder.is_dir(), "{file} has a folder beside it: move it to mod.rs in there");
        let deep = read(&file).contains("super::super::");
        assert!(!deep, "{file}: write crate::… from two levels down");
    }
}

/// What people read: comments and messages of the sources, the console, the documents.
#[test]
fn comments_messages_and_documents_are_plain_english() {
    let mut texts = Vec::new();
    for directory in ["src", "tests", "benches", "console", "docs", "fuzz/fuzz_targets"] {
        texts.extend(files(directory, &[".rs", ".md", ".js", ".mjs", ".html", ".css", ".py"]));
    }
    let top = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    texts.extend(top.map(str::to_owned));
    texts.push("config.toml".to_owned());
    let mut broken = Vec::new();
    for file in texts.iter().filter(|file| *file != "tests/architecture.rs") {
        for (number, line) in read(file).lines().enumerate() {
            for (banned, instead) in BANNED {
                if line.contains(banned) {
                    let place = format!("{file}:{}", number + 1);
                    broken.push(format!("{place}: \"{banned}\" ({instead}): {}", line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} lines: {broken:#?}", broken.len());
}

/// Every path in backticks that a document names is there.
#[test]
fn documents_name_only_files_that_exist() {
    let mut documents = files("docs", &[".md"]);
    let top = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md"];
    documents.extend(top.map(str::to_owned));
    let mut missing = Vec::new();
    for document in documents {
        for (index, word) in read(&document).split('`').enumerate() {
            let is_code = index % 2 == 1;
            let begins = ["src/", "tests/", "docs/", "console/", "benches/", "fuzz/", ".ci/"];
            if !is_code || !begins.iter().any(|begin| word.starts_with(begin)) {
                continue;
            }
            let path = word.split([':', ' ', '\n', '*', '{', '<']).next().unwrap();
            if !root().join(path).exists() {
                missing.push(format!("{document} names {word}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_reader_of_this_test_sees_what_breaks_the_law() {
    let sources = BTreeMap::from([
        ("a/mod.rs".to_owned(), "mod b;\npub use b::{C, d::E};".to_owned()),
        ("a/b.rs".to_owned(), "use crate::a::F;\nfn f() { super::g(); }".to_owned()),
        ("h.rs".to_owned(), "use crate::{a::b::C};\nuse std::fs;".to_owned()),
    ]);
    let found = imports(&sources);
    assert_eq!(found["a/mod.rs"], BTreeSet::from(["a/b.rs"]));
    assert_eq!(found["a/b.rs"], BTreeSet::from(["a/mod.rs"]));
    assert_eq!(found["h.rs"], BTreeSet::from(["a/b.rs"]));
    assert!(names_library("use sled::Db;", "sled"));
    assert!(!names_library("use unsled::Db;", "sled"));
    assert!(names_library("use ::sled::Db;", "sled") && names_library("f(sled::x)", "sled"));
    assert!(!names_library("use other::sled::Db;", "sled"));
    assert_eq!(code_of("a // use crate::x::Y"), "a ");
}
