//! Damaged files: flipped bits, zeroed sectors, garbage and truncation at many places in each file
//! of the data directory, each run with the real binary. The server serves correct data, refuses
//! with a stable code, or exits with one clear line. It never panics, never hangs, and never shows
//! a wrong value or an older one.
//!
//! `limits.rs` covers the damage that nothing can detect.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use support::api::reveal;
use support::damage;
use support::damage::{Damage, Kind, Sample, Seen, copy, launch, samples};
use support::process::Launch;
use support::rng::{Rng, Seed};
use support::tier;

/// Random damages to the sled log of each sample, in addition to the systematic ones.
fn to_the_log() -> usize {
    tier::rounds(60, 8)
}

/// Random damages of each kind to each smaller file of sled.
fn to_the_others() -> usize {
    tier::rounds(4, 1)
}

/// The size of sled's segments. Each begins with a header.
const SEGMENT: usize = 512 << 10;

/// Chooses the places to damage in each of sled's files.
fn damages(samples: &[Sample], rng: &mut Rng) -> Vec<Damage> {
    let mut damages = Vec::new();
    for (sample, of) in samples.iter().enumerate() {
        for file in of.files() {
            let length = of.length(&file);
            let is_log = file.ends_with("db/db");
            let mut places: Vec<_> = [0, 1, 4, length / 2, length - 1].to_vec();
            if is_log {
                places.extend((0..length).step_by(SEGMENT).flat_map(|at| [at, at + 20]));
            }
            let systematic = places.into_iter().filter(|at| *at < length);
            damages.extend(systematic.enumerate().map(|(n, at)| {
                let kind = Kind::ALL[n % Kind::ALL.len()];
                Damage { sample, file: file.clone(), kind, at, seed: 0 }
            }));
            let many = if is_log { to_the_log() } else { to_the_others() * Kind::ALL.len() };
            damages.extend((0..many).map(|n| {
                let kind = Kind::ALL[n % Kind::ALL.len()];
                let (at, seed) = (rng.below(length), rng.below(1 << 30) as u64);
                Damage { sample, file: file.clone(), kind, at, seed }
            }));
        }
    }
    damages
}

/// Examines damages in parallel and passes each outcome to `look`.
fn examine(damages: &[Damage], samples: &[Sample], look: impl Fn(&Damage, Seen) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(damage) = damages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A failure stops the other threads and reports which damage caused it.
                    let act = || look(damage, damage.examine(samples));
                    std::panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| {
                        next.store(usize::MAX / 2, Ordering::Relaxed);
                        panic!("{damage:?}")
                    });
                }
            });
        }
    });
}

#[test]
fn damage_anywhere_is_survived_or_reported() {
    let seed = Seed::of_this_run();
    let samples = samples();
    let damages = damages(&samples, &mut Rng(seed.0));
    assert!(damages.len() >= tier::rounds(300, 60), "{}", damages.len());
    let seen = Mutex::new(BTreeMap::<Seen, usize>::new());
    examine(&damages, &samples, |_, what| *seen.lock().unwrap().entry(what).or_default() += 1);
    let seen = seen.into_inner().unwrap();
    println!("{} damages: {seen:?}", damages.len());
    // If an outcome never occurs, the damage was not real.
    for what in [Seen::Served, Seen::ServedInPart, Seen::Refused, Seen::RefusedAsOlder] {
        // One damage in fifty leaves a server that serves in part.
        let is_rare = what == Seen::ServedInPart && !tier::is_full();
        assert!(is_rare || seen.contains_key(&what), "never {what:?}: {seen:?}");
    }
}

/// Damages each small file outside the database and checks the outcome.
#[test]
fn damage_to_the_files_beside_the_database_is_survived_or_reported() {
    let samples = samples();
    let mut rng = Rng(7);
    let mut damages = Vec::new();
    for name in ["root.key", "bootstrap-token", "in-use", "acknowledged", "lock"] {
        for (sample, of) in samples.iter().enumerate() {
            let file = PathBuf::from(name);
            let length = of.length(&file);
            let mut kinds = vec![Kind::Missing];
            if length > 0 {
                kinds.extend(Kind::ALL);
            }
            damages.extend(kinds.into_iter().map(|kind| {
                let at = if length == 0 { 0 } else { rng.below(length) };
                Damage { sample, file: file.clone(), kind, at, seed: 1 }
            }));
        }
    }
    let stride = tier::rounds(1, 4);
    let from = Rng(Seed::of_this_run().0).below(stride);
    let damages: Vec<_> = damages.into_iter().skip(from).step_by(stride).collect();
    examine(&damages, &samples, |damage, seen| match (damage.file.to_str(), damage.kind) {
        // A flipped bit in white space or padding may not matter.
        (Some("root.key"), Kind::Missing | Kind::Sector | Kind::Garbage) => {
            assert_eq!(seen, Seen::Refused, "{damage:?}");
        }
        (Some("root.key"), _) => {}
        _ => assert_eq!(seen, Seen::Served, "{damage:?}"),
    });
}

#[test]
fn a_missing_file_of_the_database_is_survived_or_reported() {
    let samples = samples();
    for (sample, of) in samples.iter().enumerate() {
        for file in of.files() {
            let damage = Damage { sample, file: file.clone(), kind: Kind::Missing, at: 0, seed: 0 };
            let seen = damage.examine(&samples);
            if file.ends_with("db/db") {
                assert!(
                    matches!(seen, Seen::Refused | Seen::RefusedAsOlder),
                    "{damage:?} {seen:?}"
                );
            } else {
                // Nothing exists only in the settings or snapshots.
                assert_eq!(seen, Seen::Served, "{damage:?}");
            }
        }
    }
}

/// sled treats the first place it cannot read as the end of its log, and it used to open the state
/// before that silently.
#[test]
fn a_damaged_log_that_loses_acknowledged_changes_is_not_opened_as_an_older_state() {
    let samples = samples();
    let killed = samples.iter().find(|sample| sample.name == "first").unwrap();
    let dir = killed.copy();
    let data_dir = support::data_dir(dir.path());
    let log = data_dir.join("db/db");
    let length = log.metadata().unwrap().len();
    std::fs::File::options().write(true).open(&log).unwrap().set_len(length * 3 / 4).unwrap();
    let kept = tempfile::tempdir().unwrap();
    copy(&data_dir, &kept.path().join("data"));
    for _ in 0..2 {
        let ended = launch(&data_dir).fails();
        assert_eq!(ended.code, Some(1), "{ended:#?}");
        for words in
            ["has lost changes that were acknowledged", "Restore a backup", "acknowledged."]
        {
            assert!(ended.stderr.contains(words), "{ended:#?}");
        }
    }
    // The message offers this: the older state is then served and can be changed.
    std::fs::remove_file(data_dir.join("acknowledged")).unwrap();
    let server = launch(&data_dir).start();
    let admin = server.admin();
    let made = support::api::new_secret(&admin, "development", "AFTERWARDS", "a new value");
    assert_eq!(reveal(&admin, made["id"].as_str().unwrap()), "a new value");
    server.stop();
    launch(&data_dir).start().stop();
    // The doctor reports it too and does not continue on its own.
    let doctor = Launch::bare(kept.path()).arguments(["doctor", "--data-dir", "data"]).run("");
    assert_eq!(doctor.code, Some(2), "{doctor:#?}");
    assert!(doctor.stdout.contains("has lost changes that were acknowledged"), "{doctor:#?}");
}

/// sled asserts while it reads. The server used to report "the database failed; what was answered
/// is safe", which was wrong.
#[test]
fn a_panic_of_sled_as_it_opens_is_reported_as_damage() {
    let samples = samples();
    let mut panics = 0;
    // Whether it panics depends on where sled put its pages.
    for (part, of) in (1..64).flat_map(|part| samples.iter().map(move |of| (part, of))) {
        let dir = of.copy();
        let data_dir = support::data_dir(dir.path());
        let log = std::fs::File::options().write(true).open(data_dir.join("db/db")).unwrap();
        let length = of.length(Path::new("db/db"));
        log.set_len((length - length * part / 64) as u64).unwrap();
        let Err(ended) = launch(&data_dir).try_start() else { continue };
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:#?}");
        damage::is_one_clear_line(&ended.stderr, &[]);
        panics += ended.stderr.matches("sled panicked as it opened").count();
        if panics > 0 {
            break;
        }
    }
    assert!(panics > 0, "sled never panicked");
}

/// A page that could not be read made sled fail in the middle of a batch: the server exited, half
/// of the change stayed in the log, and under a supervisor the next write of that kind made it exit
/// again.
#[test]
fn a_change_whose_place_is_damaged_is_refused_and_the_server_goes_on() {
    let samples = samples();
    let (sample, of) = samples.iter().enumerate().find(|(_, of)| of.name == "closed").unwrap();
    let (mut refused, mut died) = (0, 0);
    for at in
        (SEGMENT..of.length(&PathBuf::from("db/db"))).step_by(tier::rounds(16 << 10, 48 << 10))
    {
        let damage =
            Damage { sample, file: PathBuf::from("db/db"), kind: Kind::Garbage, at, seed: 0 };
        let dir = damage.copy(&samples);
        let data_dir = support::data_dir(dir.path());
        let Ok(server) = launch(&data_dir).try_start() else { continue };
        let client = support::Client::new(server.address, None);
        let body = json!({ "value": "changed", "description": "changed" }).to_string();
        let secrets = of.known.secrets.keys().map(|id| ("PATCH", format!("/api/secrets/{id}")));
        let vars = of.known.vars.keys().map(|id| ("DELETE", format!("/api/vars/{id}")));
        for (method, path) in secrets.chain(vars) {
            let body = if method == "PATCH" { &*body } else { "" };
            let text = support::process::request(&of.known.token, "id", method, &path, body);
            let Ok(reply) = client.try_raw(method, text.as_bytes()) else {
                break;
            };
            if reply.status != 200 {
                let body = reply.json();
                assert!(body["code"].is_string(), "{body}");
                refused += usize::from(body["code"] == "INTERNAL");
            }
        }
        server.running.signal(rustix::process::Signal::TERM);
        let ended = server.running.wait();
        if ended.code != Some(0) {
            // sled may need an adjacent page to split or merge a page, and finds the damage only
            // while it writes. The server then exits as it does after a failed write.
            damage::is_one_clear_line(&ended.stderr, &[]);
            died += 1;
        }
    }
    println!("{refused} changes were refused, {died} servers ended");
    assert!(refused > died, "{refused} changes were refused, {died} servers exited");
}

/// sled returns an error each time it is asked for the row after a page that it cannot read. The
/// start used to ask for the end of the keys forever.
#[test]
fn a_start_that_meets_a_page_that_cannot_be_read_comes_to_an_end() {
    let samples = samples();
    let mut damages = Vec::new();
    for (sample, of) in samples.iter().enumerate() {
        let length = of.length(Path::new("db/db"));
        damages.extend((0..8).step_by(tier::rounds(1, 3)).map(|part| {
            let (at, file) = (length * part / 8 + 1, PathBuf::from("db/db"));
            Damage { sample, file, kind: Kind::Cut, at, seed: 0 }
        }));
    }
    examine(&damages, &samples, |_, _| {});
}
