//! Commands on a disk whose syncs fail. Each command reports the failure, none panics, and data
//! that was safe before stays safe.
#![cfg(target_os = "linux")]

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::json;
use support::disk::{Disk, Mounted};
use support::doctor::Checkup;
use support::paths::SECRETS;
use support::process::{Ended, Launch, Server};
use support::rng::{Rng, Seed};
use support::skip;
use support::tampered_db::TamperedDb;
use support::tier;
use tempfile::TempDir;

/// More syncs than any command makes.
const MOST_SYNCS: u64 = 60;

/// sled syncs once more when it closes a database that is already durable. If that sync fails,
/// nothing is lost, and the failure is logged.
fn is_sleds_own(ended: &Ended) -> bool {
    ended.code == Some(0) && ended.stderr.contains("pagecache/logger.rs")
}

/// The data directory of a server on a disk that can fail.
struct Machine {
    disk: Disk,
    at: PathBuf,
    // Fields are dropped in this order: unmount first.
    _mounted: Mounted,
    _dir: TempDir,
}

impl Machine {
    fn new() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let disk = Disk::new();
        let mounted = disk.mount(&at)?;
        Ok(Self { disk, at, _mounted: mounted, _dir: dir })
    }

    /// Creates a machine whose database holds one secret.
    fn with_secret() -> Result<Self, String> {
        let machine = Self::new()?;
        let server = machine.start();
        server.admin().post(SECRETS, &json!({ "key": "KEPT", "value": "kept" })).expect(200);
        machine.stops(server);
        Ok(machine)
    }

    fn data_dir(&self) -> PathBuf {
        self.at.join("data")
    }

    fn start(&self) -> Server {
        Launch::on(&self.data_dir()).start()
    }

    fn stops(&self, server: Server) {
        server.stop();
        support::await_release(&self.data_dir());
    }

    fn command(&self, words: &[&str]) -> Launch {
        let launch = words.iter().fold(Launch::bare(&self.at), |all, word| all.argument(word));
        launch.argument("--data-dir").argument(self.data_dir())
    }

    /// Fails unless a server on the repaired disk has what it had before.
    fn is_well(&self) {
        let server = self.start();
        let listed = server.admin().get(SECRETS).expect(200);
        assert_eq!(listed["secrets"][0]["key"], "KEPT");
        self.stops(server);
    }

    /// Runs a command with the first sync failing, then the second, and so on until the command
    /// makes no further sync.
    fn at_each_sync(&self, mut run: impl FnMut() -> Ended, mut look: impl FnMut(u64, &Ended)) {
        let mut is_first = true;
        for good in tier::steps(MOST_SYNCS, 4, &mut Rng(Seed::of_this_run().0)) {
            self.disk.fail_syncs_after(good);
            let ended = run();
            let has_failed = self.disk.has_failed();
            self.disk.mend();
            if !has_failed {
                assert!(!is_first, "nothing was synced");
                return;
            }
            assert!(ended.code.is_some_and(|code| code != 101), "after sync {good}: {ended:#?}");
            look(good, &ended);
            self.is_well();
            is_first = false;
        }
        panic!("the command makes more than {MOST_SYNCS} syncs");
    }
}

macro_rules! or_skip {
    ($made:expr) => {
        match $made {
            Ok(made) => made,
            Err(reason) => return skip(reason),
        }
    };
}

/// Readers used to drop the database and ignore the result of closing it.
#[test]
fn a_sync_that_fails_while_a_reader_closes_is_reported() {
    for words in [&["audit", "verify", "--offline"][..], &["doctor"]] {
        let machine = or_skip!(Machine::with_secret());
        machine.at_each_sync(
            || machine.command(words).run(""),
            |good, ended| {
                let code = if words == ["doctor"] { 2 } else { 1 };
                assert_eq!(ended.code, Some(code), "{words:?}, sync {good}: {ended:#?}");
            },
        );
    }
}

/// A failed sync leaves a marker. The doctor reports it before it opens anything.
#[test]
fn a_sync_that_failed_at_closing_leaves_a_marker() {
    let machine = or_skip!(Machine::with_secret());
    let marker = machine.data_dir().join("unsynced");
    let mut seen = 0;
    machine.at_each_sync(
        || machine.command(&["audit", "verify", "--offline"]).run(""),
        |good, ended| {
            if ended.stderr.contains("cannot close the database") {
                seen += 1;
                assert!(marker.exists(), "sync {good}");
            }
        },
    );
    assert!(seen > 0);
}

/// The copy used to be closed by sled, which ends the process when a sync fails.
#[test]
fn a_sync_that_fails_in_a_compaction_leaves_the_database_as_it_was() {
    let machine = or_skip!(Machine::with_secret());
    machine.at_each_sync(
        || machine.command(&["compact"]).run(""),
        |good, ended| {
            if !is_sleds_own(ended) {
                assert_eq!(ended.code, Some(1), "sync {good}: {ended:#?}");
                assert!(ended.stderr.contains("coffer: "), "sync {good}: {ended:#?}");
            }
        },
    );
}

/// The server used to ignore the result of its last sync.
#[test]
fn a_server_whose_last_sync_fails_does_not_end_well() {
    let machine = or_skip!(Machine::with_secret());
    let mut reported = 0;
    for good in 0..MOST_SYNCS {
        let server = machine.start();
        machine.disk.fail_syncs_after(good);
        server.running.signal(Signal::TERM);
        let ended = server.running.wait();
        let has_failed = machine.disk.has_failed();
        machine.disk.mend();
        if !has_failed {
            assert!(
                reported > 1,
                "only {reported} failures were reported; the last row and closing both sync"
            );
            return;
        }
        if !is_sleds_own(&ended) {
            assert_eq!(ended.code, Some(1), "sync {good}: {ended:#?}");
            assert!(ended.stderr.contains("the database failed"), "sync {good}: {ended:#?}");
            reported += 1;
        }
        machine.is_well();
    }
    panic!("the server makes more than {MOST_SYNCS} syncs");
}

#[test]
fn a_log_that_cannot_be_written_once_more_is_no_question_of_permissions() {
    let machine = or_skip!(Machine::with_secret());
    std::fs::write(machine.data_dir().join("unsynced"), "").unwrap();
    machine.disk.fail_syncs_after(0);
    let ended = Launch::on(&machine.data_dir()).fails();
    for text in ["a write or sync has failed before", "written once more", "Check the disk"] {
        assert!(ended.stderr.contains(text), "{ended:#?}");
    }
    assert!(!ended.stderr.contains("a writable directory"), "{ended:#?}");
    machine.disk.mend();
    machine.is_well();
}

#[test]
fn a_full_disk_at_opening_is_no_question_of_permissions() {
    let machine = or_skip!(Machine::with_secret());
    let mut refused = 0;
    // Raises the limit until the disk has space for everything that a start writes.
    for writes in 0.. {
        machine.disk.fill_after(writes);
        let started = Launch::on(&machine.data_dir()).try_start();
        match started {
            Ok(server) => {
                server.kill();
                break;
            }
            Err(ended) => {
                refused += 1;
                assert_eq!(ended.code, Some(1), "after {writes} writes: {ended:#?}");
                // The last of these failures occur while the database is open.
                let said = ["Free up space on the disk.", "coffer: the database failed"];
                assert!(said.iter().any(|text| ended.stderr.contains(text)), "{ended:#?}");
                assert!(!ended.stderr.contains("a writable directory"), "{ended:#?}");
            }
        }
        machine.disk.mend();
    }
    machine.disk.mend();
    assert!(refused > 2, "a start hit the full disk only {refused} times");
    machine.is_well();
}

/// The partial copy used to keep its final name, look complete, and contain the root key.
#[test]
fn a_copy_that_is_not_whole_does_not_stay() {
    support::expect_log("fuser: [Not Implemented]");
    let machine = or_skip!(Machine::new());
    let tampered = TamperedDb::new();
    let checkup = Checkup::new(&tampered.data_dir());
    let repair = || {
        let launch = checkup.launch(["doctor", "--repair"]).argument("--copy-to");
        launch.argument(&machine.at).run("")
    };
    let left = || machine.at.read_dir().unwrap().count();
    for good in 0..3 {
        machine.disk.fail_syncs_after(good);
        repair().refuses(2, ["Nothing was repaired", "--copy-to"]);
        assert_eq!(left(), 0, "sync {good}");
    }
    machine.disk.mend();
    assert_eq!(repair().code, Some(0));
    assert!(machine.at.join("data.before-repair.1/db/db").exists());
    assert_eq!(left(), 1);
}
