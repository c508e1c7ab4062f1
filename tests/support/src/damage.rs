//! Small but varied data directories, ways to damage their files, and what a user would then do
//! with them: start the server, read everything, change something, stop it, run the doctor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::accounts::{everywhere, user_body, with};
use crate::api::{new_environment, new_secret, new_var, text};
use crate::process::{Ended, Launch, Server, request};
use crate::rng::Rng;
use crate::{Client, Reply, await_release, data_dir};

/// The state that the server acknowledged.
#[derive(Clone, Default)]
pub struct Known {
    pub token: String,
    /// Every value that a secret (by its id) ever had, newest last.
    pub secrets: BTreeMap<String, Vec<String>>,
    pub vars: BTreeMap<String, Vec<String>>,
    never: String,
    deleted: Vec<String>,
}

/// The data directory of a stopped server, and the state that it must hold.
pub struct Sample {
    pub name: &'static str,
    pub known: Known,
    dir: TempDir,
}

impl Known {
    /// Every value that must never be printed.
    fn values(&self) -> Vec<String> {
        self.secrets.values().flatten().cloned().collect()
    }
}

impl Sample {
    pub fn copy(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        copy(&data_dir(self.dir.path()), &data_dir(dir.path()));
        dir
    }

    pub fn length(&self, file: &Path) -> usize {
        let path = data_dir(self.dir.path()).join(file);
        usize::try_from(path.metadata().map_or(0, |file| file.len())).unwrap()
    }

    /// sled's files, relative to the data directory.
    pub fn files(&self) -> Vec<PathBuf> {
        let db = data_dir(self.dir.path()).join("db");
        let entries = fs::read_dir(db).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        let mut files: Vec<_> =
            files.map(|path| Path::new("db").join(path.file_name().unwrap())).collect();
        files.sort();
        files
    }
}

/// A server on a data directory, with cheap hashes and no rate limits.
pub fn launch(data_dir: &Path) -> Launch {
    Launch::on(data_dir)
        .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
        .variable("COFFER_AUTH__ARGON2_MEMORY_KIB", "8192")
        .variable("COFFER_AUTH__ARGON2_PASSES", "1")
}

/// Copies a directory and everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Three samples that differ in how the server ended: killed in its first run, without a snapshot;
/// shut down cleanly; killed with changes that the snapshot does not have.
pub fn samples() -> Vec<Sample> {
    let dir = tempfile::tempdir().unwrap();
    let server = launch(&data_dir(dir.path())).start();
    let known = fill(&server);
    server.kill();
    let first = Sample { name: "first", known, dir };
    let another = |name, of: &Sample| {
        await_release(&data_dir(of.dir.path()));
        Sample { name, known: of.known.clone(), dir: of.copy() }
    };
    let closed = another("closed", &first);
    launch(&data_dir(closed.dir.path())).start().stop();
    let mut killed = another("killed", &closed);
    let server = launch(&data_dir(killed.dir.path())).start();
    change(&server.admin(), &mut killed.known, 3);
    server.kill();
    vec![first, closed, killed]
}

fn fill(server: &Server) -> Known {
    let admin = server.admin();
    let mut known = Known { token: server.token(), ..Known::default() };
    new_environment(&admin, "staging");
    for n in 0..12 {
        let environment = if n % 2 == 0 { "development" } else { "staging" };
        // Some are large enough to be stored in pieces.
        let value = if n % 3 == 0 { "long ".repeat(12_000) } else { format!("value {n} v1") };
        let made = new_secret(&admin, environment, &format!("KEY_{n}"), &value);
        known.secrets.insert(text(&made, "id").to_owned(), vec![value]);
    }
    for n in 0..4 {
        let made = new_var(&admin, "development", &format!("VAR_{n}"), &format!("var {n}"));
        known.vars.insert(text(&made, "id").to_owned(), vec![format!("var {n}")]);
    }
    let never = json!({ "key": "NEVER", "value": "nobody sees this", "neverReveal": true });
    let made = admin.post("/api/environments/development/secrets", &never).expect(200);
    known.never = text(&made["secret"], "id").to_owned();
    let gone = new_secret(&admin, "development", "GONE", "to be deleted");
    new_environment(&admin, "doomed");
    let doomed = new_secret(&admin, "doomed", "DOOMED", "to be deleted, too");
    known.deleted = [&gone, &doomed].map(|made| text(made, "id").to_owned()).to_vec();
    admin.delete(&format!("/api/secrets/{}", known.deleted[0])).expect(200);
    admin.delete("/api/environments/doomed?force=true").expect(200);
    let user = user_body("ada@example.org", "viewer", &everywhere());
    admin.post("/api/users", &user).expect(200);
    let token = with(json!({ "name": "minted", "role": "viewer" }), &everywhere());
    admin.post("/api/admin/tokens", &token).expect(200);
    change(&admin, &mut known, 2);
    known
}

/// Gives everything a new value.
fn change(admin: &Client, known: &mut Known, version: u32) {
    for (n, (id, values)) in known.secrets.iter_mut().enumerate() {
        let long = if n % 3 == 1 { "x".repeat(60_000) } else { String::new() };
        let value = format!("{id} v{version} {long}");
        admin.patch(&format!("/api/secrets/{id}"), &json!({ "value": value })).expect(200);
        values.push(value);
    }
    for (id, values) in &mut known.vars {
        let value = format!("{id} v{version}");
        admin.patch(&format!("/api/vars/{id}"), &json!({ "value": value })).expect(200);
        values.push(value);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bit,
    /// 512 bytes of zeros.
    Sector,
    /// 4096 random bytes.
    Garbage,
    Cut,
    Missing,
}

impl Kind {
    /// The kinds of damage that leave the file in place.
    pub const ALL: [Self; 4] = [Self::Bit, Self::Sector, Self::Garbage, Self::Cut];
}

/// One damage to one file of one sample.
#[derive(Debug, Clone)]
pub struct Damage {
    pub sample: usize,
    /// Relative to the data directory.
    pub file: PathBuf,
    pub kind: Kind,
    pub at: usize,
    pub seed: u64,
}

/// What the server did with a damaged directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Everything is as acknowledged.
    Served,
    /// Everything that is served is as acknowledged; the rest is refused.
    ServedInPart,
    /// The server does not start and says why.
    Refused,
    /// The server refuses to start because acknowledged changes are missing.
    RefusedAsOlder,
}

impl Seen {
    fn serves(self) -> bool {
        matches!(self, Self::Served | Self::ServedInPart)
    }

    fn refuses(self) -> bool {
        !self.serves()
    }
}

impl Damage {
    /// Returns a damaged copy of the sample's directory.
    pub fn copy(&self, samples: &[Sample]) -> TempDir {
        let dir = samples[self.sample].copy();
        self.inflict(&data_dir(dir.path()).join(&self.file));
        dir
    }

    fn inflict(&self, path: &Path) {
        if self.kind == Kind::Missing {
            return fs::remove_file(path).unwrap();
        }
        let mut rng = Rng(self.seed);
        let mut bytes = fs::read(path).unwrap();
        let (at, end) = (self.at, bytes.len());
        match self.kind {
            Kind::Bit => bytes[at] ^= 1 << rng.below(8),
            Kind::Sector => bytes[at / 512 * 512..(at / 512 * 512 + 512).min(end)].fill(0),
            Kind::Garbage => {
                for byte in &mut bytes[at..(at + 4096).min(end)] {
                    *byte = u8::try_from(rng.below(256)).unwrap();
                }
            }
            Kind::Cut | Kind::Missing => bytes.truncate(at),
        }
        fs::write(path, bytes).unwrap();
    }

    /// Does what a user would do and checks every result.
    #[track_caller]
    pub fn examine(&self, samples: &[Sample]) -> Seen {
        let sample = &samples[self.sample];
        let dir = self.copy(samples);
        let mut known = sample.known.clone();
        let seen = start(&data_dir(dir.path()), &mut known, "NEW");
        // The first start has written to the directory. The next start must not fail because of
        // that.
        if seen.serves() {
            let again = start(&data_dir(dir.path()), &mut known, "NEWER");
            let is_no_worse = again == seen || (seen != Seen::Served && again.refuses());
            assert!(is_no_worse, "{seen:?}, then {again:?}");
        }
        // Skipped in some runs: each doctor run takes as long as the server, and opening changes
        // the files, so each needs its own copy.
        if self.at.is_multiple_of(3) {
            is_diagnosed(&self.doctor(&self.copy(samples), &[]), seen, &sample.known.values());
        }
        if self.at % 5 == 1 {
            self.is_repaired(samples, seen);
        }
        seen
    }

    fn doctor(&self, dir: &TempDir, words: &[&str]) -> Ended {
        let launch = Launch::bare(dir.path()).arguments(["doctor", "--data-dir", "data"]);
        words.iter().fold(launch, super::process::Launch::argument).run("")
    }

    /// Checks that a repair succeeds or says why it cannot, and that it makes no later start worse.
    #[track_caller]
    fn is_repaired(&self, samples: &[Sample], seen: Seen) {
        let (dir, mut known) = (self.copy(samples), samples[self.sample].known.clone());
        let repair = self.doctor(&dir, &["--repair"]);
        has_findings(&repair, &known.values());
        assert!(matches!(repair.code, Some(0..=2)), "{repair:#?}");
        let after = start(&data_dir(dir.path()), &mut known, "NEW");
        let is_no_worse = after <= seen || (after.refuses() && seen.refuses());
        assert!(is_no_worse, "{seen:?}, then {after:?} after {repair:#?}");
    }
}

/// Starts a server and returns the outcome.
#[track_caller]
fn start(data_dir: &Path, known: &mut Known, key: &str) -> Seen {
    match launch(data_dir).try_start() {
        Ok(server) => serves(server, known, key),
        Err(ended) => is_refused(&ended, &known.values()),
    }
}

/// Fails unless stderr ends with one line that says what is wrong, without a value and without
/// anything that looks like a panic.
#[track_caller]
pub fn is_one_clear_line(stderr: &str, secrets: &[String]) {
    let told: Vec<_> = stderr.lines().filter(|line| line.starts_with("coffer: ")).collect();
    assert_eq!(told.len(), 1, "{stderr}");
    let remedies = ["backup", "root key", "root.key", "Check the disk", "--data-dir"];
    assert!(remedies.iter().any(|word| told[0].contains(word)), "no remedy: {stderr}");
    says_nothing_odd(stderr, secrets);
}

#[track_caller]
fn says_nothing_odd(output: &str, secrets: &[String]) {
    // Panics inside sled are caught when it opens, and each is reported there. A panic in the
    // middle of a write, which has to read the damaged data, ends the server with its own line. No
    // other thread may panic.
    let panics = output.matches("panic at ").count();
    let caught = output.matches("sled panicked as it opened").count();
    let ended = output.matches("coffer: the database failed").count();
    assert!(panics <= caught + ended, "{panics} panics, {caught} of them caught: {output}");
    let ours = output.lines().find(|line| line.contains("panic at ") && !line.contains("/sled-"));
    assert_eq!(ours, None, "{output}");
    for word in ["panicked at", "stack backtrace", "RUST_BACKTRACE", "backtrace ()"] {
        assert!(!output.contains(word), "{word}: {output}");
    }
    for secret in secrets {
        assert!(!output.contains(secret), "the output has a value: {output}");
    }
}

#[track_caller]
fn is_refused(ended: &Ended, secrets: &[String]) -> Seen {
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:#?}");
    is_one_clear_line(&ended.stderr, secrets);
    let older = ["has lost changes that were acknowledged", "before changes that came later"];
    let older = older.iter().any(|words| ended.stderr.contains(words));
    if older { Seen::RefusedAsOlder } else { Seen::Refused }
}

/// The error codes with which the server may refuse what is damaged.
const CODES: [&str; 3] = ["INTERNAL", "SECRET_UNREADABLE", "SERVICE_UNAVAILABLE"];

/// The value written after the damage.
const LATER: &str = "what was written later";

/// Whether this is as acknowledged. If not, it must be refused.
#[track_caller]
fn is_right(reply: Option<Reply>, status: u16, code: &str, value: Option<&String>) -> bool {
    let Some(reply) = reply else { return false };
    let body: Value = reply.json();
    if reply.status == status {
        match value {
            // Does not print the values: they may be long.
            Some(value) => {
                let found = body["value"].as_str().or_else(|| body["var"]["value"].as_str());
                assert!(found == Some(value), "another value: {found:.200?}, not {value:.200}");
            }
            None => assert_eq!(body["code"], code, "{body}"),
        }
        return true;
    }
    let told = body["code"].as_str().expect("a code");
    assert!(CODES.contains(&told) && reply.status >= 500, "{} {body}", reply.status);
    false
}

#[track_caller]
fn serves(server: Server, known: &mut Known, key: &str) -> Seen {
    let (client, token) = (Client::new(server.address, None), known.token.clone());
    // A missing response is also acceptable, provided that the server exited cleanly.
    let ask = |method: &str, path: &str, body: &str| {
        let text = request(&token, "asked", method, path, body);
        client.try_raw(method, text.as_bytes()).ok()
    };
    let get = |path: String| ask("GET", &path, "");
    let value = |id: &str| get(format!("/api/secrets/{id}/value"));
    let mut right = true;
    for (id, values) in &known.secrets {
        right &= is_right(value(id), 200, "", values.last());
    }
    for (id, values) in &known.vars {
        right &= is_right(get(format!("/api/vars/{id}")), 200, "", values.last());
    }
    for id in &known.deleted {
        right &= is_right(value(id), 404, "NOT_FOUND", None);
    }
    right &= is_right(value(&known.never), 403, "SECRET_WRITE_ONLY", None);
    let body = json!({ "key": key, "value": LATER }).to_string();
    match ask("POST", "/api/environments/development/secrets", &body) {
        Some(made) if made.status == 200 => {
            let (id, new) = (text(&made.json()["secret"], "id").to_owned(), LATER.to_owned());
            right &= is_right(value(&id), 200, "", Some(&new));
            known.secrets.insert(id, vec![new]);
        }
        refused => right &= is_right(refused, 200, "", None),
    }
    server.running.signal(rustix::process::Signal::TERM);
    let ended = server.running.wait();
    let secrets = known.values();
    match ended.code {
        Some(0) => says_nothing_odd(&ended.stderr, &secrets),
        // The server cannot record its own shutdown either.
        Some(1) if !right => is_one_clear_line(&ended.stderr, &secrets),
        _ => panic!("{ended:#?}"),
    }
    if right { Seen::Served } else { Seen::ServedInPart }
}

#[track_caller]
fn is_diagnosed(ended: &Ended, seen: Seen, secrets: &[String]) {
    has_findings(ended, secrets);
    let broken = seen != Seen::Served;
    let codes: &[i32] = if broken { &[2] } else { &[0, 1, 2] };
    assert!(ended.code.is_some_and(|code| codes.contains(&code)), "{seen:?} {ended:#?}");
}

/// Fails if the doctor prints anything but its own lines, above all a value or a panic.
#[track_caller]
fn has_findings(ended: &Ended, secrets: &[String]) {
    says_nothing_odd(&ended.stderr, secrets);
    says_nothing_odd(&ended.stdout, secrets);
    for line in ended.stdout.lines() {
        let (word, rest) = line.split_once("  ").unwrap_or_else(|| panic!("{line}"));
        let known = ["ok", "repaired", "warn", "error"].contains(&word.trim_end());
        assert!(known && !rest.is_empty(), "{line}");
    }
}
