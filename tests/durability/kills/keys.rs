//! SIGKILL at each step of a rotation, of a retirement, and of a change of the root key. The next
//! start completes the operation by itself, and no data is lost.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use coffer::store::{KeyId, Keys, Rotation, View};
use coffer::vault::{Random, RootKey};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::kill_points;
use support::kill_points::Cut;
use support::paths::KEYS;
use support::process::{Ended, Launch, Lines, Server, request, strace};
use support::sample_secrets::SampleSecrets;
use support::tier;
use support::{api, await_release, data_dir, open_stopped, rows_fit, skip};
use tempfile::TempDir;

/// Enough secrets for three groups.
const SECRETS: usize = 250;

/// For each write the writer thread first checks the free space, then syncs. A kill at the first
/// call falls between two writes, a kill at the second before any client has an answer.
const BETWEEN: &str = "statfs";
const UNANSWERED: &str = "fdatasync";
/// sled calls this in several threads, so not every call is hit.
const IN_THE_MIDDLE: &str = "pwrite64";

/// How far a server had come when it was killed, according to its data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    NotBegun,
    Begun,
    Sweeping,
    Swept,
    Finished,
    Retired,
}

/// What its client had requested and seen by then.
#[derive(Debug, Default)]
struct Seen {
    begun: bool,
    asked_to_retire: bool,
    retired: bool,
}

/// The directory of a stopped server. Each run gets a copy of it.
struct Place {
    dir: TempDir,
    samples: SampleSecrets,
    token: String,
    /// The number of wrapped keys.
    wrapped: u64,
    old: String,
    /// The root key that is given together with the old one and begins the rotation.
    new: Option<String>,
}

impl Place {
    fn new(new: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Self::bare(&data_dir(dir.path())).start();
        let samples = SampleSecrets::of(&server.admin(), SECRETS);
        let wrapped = server.admin().get(KEYS).expect(200)["keys"][0]["wrapped"].as_u64();
        let token = server.token();
        server.stop();
        await_release(&data_dir(dir.path()));
        let old = std::fs::read_to_string(data_dir(dir.path()).join("root.key")).unwrap();
        let old = old.trim().to_owned();
        Self { dir, samples, token, wrapped: wrapped.unwrap(), old, new }
    }

    fn bare(data_dir: &Path) -> Launch {
        Launch::on(data_dir).variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0")
    }

    fn launch(&self, data_dir: &Path) -> Launch {
        match &self.new {
            Some(_) => self.only_new(data_dir).variable("COFFER_PREVIOUS_ROOT_KEY", &self.old),
            None => Self::bare(data_dir),
        }
    }

    /// Launches with one root key, which is the new one if there is one.
    fn only_new(&self, data_dir: &Path) -> Launch {
        let launch = Self::bare(data_dir);
        let Some(new) = &self.new else { return launch };
        launch.variable("COFFER_ROOT_KEY", new)
    }

    /// Kills the server at each call of this kind while keys are rotated and the old one is
    /// retired. Returns the number of kills and the steps they hit.
    fn killed_at_each(&self, words: &[String], call: &str) -> (usize, BTreeSet<(Step, bool)>) {
        let mut steps = BTreeSet::new();
        let kills = kill_points::at_each(call, |cut| {
            let dir = tempfile::tempdir().unwrap();
            let data_dir = data_dir(dir.path());
            kill_points::copy(&support::data_dir(self.dir.path()), &data_dir);
            let (ended, seen) = self.run(words, &data_dir, cut);
            let hit = cut.hit(&ended);
            let step = self.step(&data_dir);
            assert!(!seen.begun || step > Step::NotBegun, "{cut}: {seen:?}, and {step:?}");
            assert!(!seen.retired || step == Step::Retired, "{cut}: {seen:?}, and {step:?}");
            if hit {
                println!("{cut}: {step:?}, {seen:?}");
                steps.insert((step, seen.asked_to_retire && !seen.retired));
                self.goes_on(&data_dir, step, cut);
            }
            hit
        });
        (kills, steps)
    }

    /// Runs a server that may be killed at any moment, and a client of it.
    fn run(&self, words: &[String], data_dir: &Path, cut: &Cut<'_>) -> (Ended, Seen) {
        let (mut seen, cut) = (Seen::default(), cut.words());
        let cut: Vec<_> = cut.iter().map(String::as_str).collect();
        let (running, trace) = strace::spawn(&self.launch(data_dir), words, &cut);
        let server = match running.listening(data_dir) {
            Ok(server) => server,
            Err(ended) => return (ended, seen),
        };
        let over = if self.new.is_some() {
            // The rotation begins by itself, and a request would add a write at an unpredictable
            // point.
            let over = "the key rotation is complete: key 2";
            server.running.stderr.wait_for(|line| line.contains(over)).is_some()
        } else {
            self.rotate_and_retire(&server, &trace, &mut seen).is_ok()
        };
        if over {
            // The server may be killed right after this.
            let pid = server.running.pid().try_into().ok().and_then(Pid::from_raw).unwrap();
            let _ = kill_process(pid, Signal::TERM);
        }
        (server.running.wait(), seen)
    }

    fn rotate_and_retire(&self, server: &Server, trace: &Lines, seen: &mut Seen) -> io::Result<()> {
        let ask = |method: &str, path: &str| {
            let text = request(&self.token, "cut", method, path, "");
            server.admin().try_raw(method, text.as_bytes())
        };
        // The last use of the token is recorded after its first request. Waiting for that record
        // keeps it from being merged with the next write in some runs.
        ask("GET", KEYS)?.expect(200);
        let syncs = Cell::new(0);
        let third = |line: &str| {
            syncs.set(syncs.get() + usize::from(line.contains("fdatasync(")));
            syncs.get() == 3
        };
        // Syncs one and two belong to opening the database and to the audit row of the start.
        trace.wait_for(third).ok_or(io::ErrorKind::UnexpectedEof)?;
        ask("POST", &format!("{KEYS}/rotate"))?.expect(200);
        seen.begun = true;
        while ask("GET", KEYS)?.expect(200)["rotation"]["finishedAt"].is_null() {}
        seen.asked_to_retire = true;
        ask("DELETE", &format!("{KEYS}/1"))?.expect(200);
        seen.retired = true;
        Ok(())
    }

    fn step(&self, data_dir: &Path) -> Step {
        let opened = open_stopped(data_dir);
        let step = match opened.get::<Rotation>(&()).unwrap() {
            _ if opened.get::<Keys>(&KeyId(1)).unwrap().is_none() => Step::Retired,
            None => Step::NotBegun,
            Some(row) if row.finished_at.is_some() => Step::Finished,
            // The service keys are rewrapped when the rotation begins.
            Some(row) if row.rewrapped == 2 => Step::Begun,
            Some(row) if row.rewrapped < self.wrapped => Step::Sweeping,
            Some(_) => Step::Swept,
        };
        drop(opened);
        await_release(data_dir);
        step
    }

    /// Checks that the next start does the remaining work, and no more than that.
    #[track_caller]
    fn goes_on(&self, data_dir: &Path, step: Step, cut: &Cut<'_>) {
        if (Step::Begun..=Step::Sweeping).contains(&step) && self.new.is_some() {
            let ended = self.only_new(data_dir).fails();
            ended.says(["being changed", "COFFER_PREVIOUS_ROOT_KEY_FILE"]);
        }
        let server = self.launch(data_dir).start();
        let admin = server.admin();
        let mut status = api::rotated(&admin);
        if self.new.is_none() && step == Step::NotBegun {
            assert_eq!(status["rotation"], Value::Null, "{cut}");
            api::rotate(&admin);
            status = api::rotated(&admin);
        }
        assert_eq!(status["unopened"], json!([]), "{cut}");
        let rotation = &status["rotation"];
        assert_eq!((&rotation["key"], &rotation["left"]), (&json!(2), &json!(0)), "{cut}");
        assert_eq!(rotation["rewrapped"], self.wrapped, "{cut}");
        let keys = status["keys"].as_array().unwrap().iter();
        let keys: Vec<_> = keys.map(|key| (&key["id"], &key["state"], &key["wrapped"])).collect();
        let (one, two) = (json!(1), json!(2));
        let (old, new, none) = (json!("retiring"), json!("active"), json!(0));
        let wrapped = json!(self.wrapped);
        let both = [(&one, &old, &none), (&two, &new, &wrapped)];
        assert_eq!(keys, both[usize::from(step == Step::Retired)..], "{cut}");
        if step != Step::Retired {
            admin.delete(&format!("{KEYS}/1")).expect(200);
        }
        for action in ["key.rotate", "key.rewrap", "key.retire"] {
            let rows = admin.get(&format!("/api/audit-logs?action={action}")).expect(200);
            assert_eq!(rows["total"], 1, "{cut}: {action}");
        }
        let found = admin.get("/api/audit-logs/verification").expect(200);
        assert_eq!(found["verification"]["intact"], true, "{cut}");
        self.samples.holds(&admin);
        server.stop();
        rows_fit(data_dir);
        if self.new.is_some() {
            await_release(data_dir);
            let server = self.only_new(data_dir).start();
            self.samples.holds(&server.admin());
            server.stop();
        }
    }
}

/// Evaluates to the strace command, or skips the test.
macro_rules! strace_or_skip {
    () => {
        match strace::words() {
            Ok(words) => words,
            Err(reason) => return skip(reason),
        }
    };
}

#[test]
fn a_rotation_that_is_killed_between_any_two_writes_goes_on() {
    let words = strace_or_skip!();
    let (kills, steps) = Place::new(None).killed_at_each(&words, BETWEEN);
    let retires = steps.contains(&(Step::Finished, true));
    assert!(
        retires || !tier::is_full(),
        "no kill came after the request to retire and before the retirement: {steps:?}"
    );
    assert_each_step(&steps, Step::Retired);
    assert!(kills >= tier::rounds(9, 3), "only {kills}");
}

#[test]
fn a_rotation_that_is_killed_before_any_of_its_answers_goes_on() {
    let words = strace_or_skip!();
    let (kills, steps) = Place::new(None).killed_at_each(&words, UNANSWERED);
    let has_retired = steps.contains(&(Step::Retired, true));
    assert!(
        has_retired || !tier::is_full(),
        "no kill came after the retirement and before its answer: {steps:?}"
    );
    assert_each_step(&steps, Step::Retired);
    assert!(kills >= tier::rounds(9, 3), "only {kills}");
}

#[test]
fn a_rotation_that_is_killed_in_the_middle_of_a_write_goes_on() {
    let words = strace_or_skip!();
    let (kills, _) = Place::new(None).killed_at_each(&words, IN_THE_MIDDLE);
    assert!(kills >= tier::rounds(2, 1), "only {kills}");
}

#[test]
fn a_change_of_the_root_key_that_is_killed_anywhere_goes_on() {
    let words = strace_or_skip!();
    let new = RootKey::generate(Random).unwrap().to_text().to_string();
    let (kills, steps) = Place::new(Some(new)).killed_at_each(&words, UNANSWERED);
    assert_each_step(&steps, Step::Finished);
    assert!(kills >= tier::rounds(7, 3), "only {kills}");
}

/// Fails unless a kill hit each step up to the last one. The default run requires only some of
/// them.
#[track_caller]
fn assert_each_step(steps: &BTreeSet<(Step, bool)>, last: Step) {
    let all = [Step::NotBegun, Step::Begun, Step::Sweeping, Step::Swept, Step::Finished];
    let wanted: BTreeSet<_> = all.into_iter().chain([last]).collect();
    let found: BTreeSet<_> = steps.iter().map(|(step, _)| *step).collect();
    assert!(found.is_subset(&wanted) && found.len() > 1, "{found:?}");
    assert!(found == wanted || !tier::is_full(), "{found:?}");
}
