//! Restores on a disk that fills up: the restore ends with a clear message, leaves no partial
//! database that a server would open, and the same command succeeds once there is space. Mounting
//! the small tmpfs requires root.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use support::api::{new_secret, reveal, text};
use support::process::{Ended, Launch};
use support::small_disk::{MIB, SmallDisk};
use support::tier;
use support::{TestApp, skip};
use tempfile::TempDir;

/// With less free space than this, the store refuses a batch of rows
/// (`store::Options::min_free_bytes`).
const FLOOR: u64 = 64 * MIB;
/// Enough secrets for several batches of rows; see `store::restore`.
const SECRETS: usize = 240;

/// A backup on a large disk, with the files needed to restore it.
struct Kept {
    dir: TempDir,
    /// ID and value of one secret in the backup.
    secret: (String, String),
}

impl Kept {
    fn make() -> Self {
        let app = TestApp::start();
        let admin = app.admin();
        let value = |n: usize| format!("{n} {}", "v".repeat(60_000));
        let make = |n| new_secret(&admin, "development", &format!("KEY_{n}"), &value(n));
        let made: Vec<_> = (0..SECRETS).map(make).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.backup"), support::backups::take(&admin)).unwrap();
        for name in ["root.key", "bootstrap-token"] {
            std::fs::copy(app.data_dir().join(name), dir.path().join(name)).unwrap();
        }
        let last = SECRETS - 1;
        Self { dir, secret: (text(&made[last], "id").to_owned(), value(last)) }
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("root.key")
    }

    fn restore(&self, to: &Path) -> Ended {
        let launch = Launch::bare(self.dir.path()).arguments(["backup", "restore", "a.backup"]);
        let launch = launch.argument("--data-dir").argument(to);
        launch.variable("COFFER_ROOT_KEY_FILE", self.key()).run("")
    }

    /// Fails unless a restore ended as it should when the disk is full.
    #[track_caller]
    fn is_refused(&self, ended: &Ended, to: &Path) {
        assert!(ended.code.is_some_and(|code| code == 1 || code == 2), "{ended:#?}");
        let messages: Vec<_> =
            ended.stderr.lines().filter(|line| line.starts_with("coffer: ")).collect();
        assert_eq!(messages.len(), 1, "{ended:#?}");
        let words = ["free space", "No space left", "os error 28", "Free up space"];
        assert!(words.iter().any(|word| messages[0].contains(word)), "{ended:#?}");
        for word in ["panic", "backtrace"] {
            assert!(!ended.stderr.contains(word), "{ended:#?}");
        }
        self.no_half_is_opened(to);
    }

    /// Fails if a server takes a partial restore for a database.
    #[track_caller]
    fn no_half_is_opened(&self, to: &Path) {
        assert!(!to.join("db").exists());
        assert!(!to.join("in-use").exists());
        if to.join("restoring").exists() {
            let launch = Launch::on(to).variable("COFFER_ROOT_KEY_FILE", self.key());
            let started = launch.fails();
            assert!(started.stderr.contains("was interrupted"), "{started:#?}");
        }
    }

    /// Fails unless the same command now succeeds and restores everything.
    #[track_caller]
    fn is_restored(&self, to: &Path) {
        let ended = self.restore(to);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        support::rows_fit(to);
        support::await_release(to);
        std::fs::copy(self.dir.path().join("bootstrap-token"), to.join("bootstrap-token")).unwrap();
        let server = Launch::on(to).variable("COFFER_ROOT_KEY_FILE", self.key()).start();
        assert_eq!(reveal(&server.admin(), &self.secret.0), self.secret.1);
        server.stop();
    }
}

macro_rules! small_or_skip {
    ($bytes:expr) => {
        match SmallDisk::mount($bytes) {
            Ok(small) => small,
            Err(reason) => return skip(reason),
        }
    };
}

#[test]
fn a_restore_stops_at_the_floor_and_succeeds_when_there_is_space() {
    let small = small_or_skip!(FLOOR + 160 * MIB);
    let (kept, to) = (Kept::make(), small.at.join("data"));
    // Four cases: too large, which is known up front; too large for some batches; below the floor;
    // no space at all.
    let length = kept.dir.path().join("a.backup").metadata().unwrap().len();
    for left in [FLOOR + length - MIB, FLOOR + length + MIB, FLOOR - MIB, 0] {
        small.leave(left);
        kept.is_refused(&kept.restore(&to), &to);
        small.make_room();
    }
    kept.is_restored(&to);
}

#[test]
fn a_restore_whose_disk_is_filled_by_another_process_leaves_no_half() {
    let small = small_or_skip!(FLOOR + 160 * MIB);
    let (kept, mut refused) = (Kept::make(), 0);
    for round in 0..tier::rounds(4, 1) {
        let to = small.at.join(format!("data-{round}"));
        let over = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Takes the space as soon as part of the restore has been written.
                let log = to.join("restoring/db/db");
                let begun = || log.metadata().is_ok_and(|log| log.len() > round << 20);
                while !over.load(Ordering::SeqCst) && !begun() {
                    std::thread::yield_now();
                }
                small.leave(0);
            });
            let ended = kept.restore(&to);
            over.store(true, Ordering::SeqCst);
            ended
        });
        small.make_room();
        if ended.code == Some(0) {
            // The restore finished before the disk was full.
            support::rows_fit(&to);
        } else {
            refused += 1;
            kept.is_refused(&ended, &to);
            kept.is_restored(&to);
        }
        std::fs::remove_dir_all(&to).unwrap();
    }
    assert!(refused > 0, "the disk was never filled in time");
}
