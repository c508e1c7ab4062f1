//! A machine whose power can be cut: the real binary on a disk that then holds only what was
//! synced, and perhaps parts of the rest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::disk::{Disk, Mounted};
use crate::process::{Ended, Launch, Server};

/// A disk, its mount point, and how the server starts on it.
pub struct Machine {
    pub disk: Disk,
    pub launch: Launch,
    // Fields are dropped in this order.
    _mounted: Mounted,
    dir: TempDir,
}

impl Machine {
    pub fn new() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).unwrap();
        let disk = Disk::new();
        let mounted = disk.mount(&at)?;
        let launch = Launch::on(&at.join("data"))
            .variable("COFFER_RATE_LIMIT__AUTHENTICATED_PER_MINUTE", "0");
        Ok(Self { disk, launch, _mounted: mounted, dir })
    }

    /// A path on the disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("disk").join(name)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// A directory on another disk, which a power cut does not affect.
    pub fn elsewhere(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// A command that runs in that directory.
    pub fn command<const N: usize>(&self, words: [&str; N]) -> Launch {
        Launch::bare(self.dir.path()).arguments(words)
    }

    /// Starts the server while the power may go off at any time; returns it if it listens.
    pub fn starts(&self) -> Option<Server> {
        self.starts_as(&self.launch)
    }

    /// Starts the server this way while the power may go off at any time; returns it if it listens.
    pub fn starts_as(&self, launch: &Launch) -> Option<Server> {
        let ended = match launch.try_start() {
            Ok(server) => return Some(server),
            Err(ended) => ended,
        };
        let excused = self.disk.is_off() || self.disk.has_failed();
        assert!(excused, "the server does not start: {ended:#?}");
        assert!(ended.code.is_some_and(|code| code != 0), "{ended:#?}");
        assert!(ended.stderr.contains("coffer: "), "no reason is given: {ended:#?}");
        None
    }

    /// Runs a command until it ends. If the power goes off, the command is killed.
    pub fn runs(&self, launch: &Launch) -> Ended {
        let running = launch.spawn();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                if self.disk.wait_for_cut_unless(&over) {
                    running.signal(Signal::KILL);
                }
            });
            // Closes when the process ends or is only a zombie.
            running.stderr.all();
            over.store(true, Ordering::SeqCst);
            self.disk.wake();
        });
        running.wait()
    }

    /// Copies what the disk holds into an ordinary directory.
    pub fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        self.disk.copy_to(copy.path());
        copy
    }
}

/// Returns the machine, or skips the test.
#[macro_export]
macro_rules! machine_or_skip {
    () => {
        match $crate::machine::Machine::new() {
            Ok(machine) => machine,
            Err(reason) => return $crate::skip(reason),
        }
    };
}

pub use machine_or_skip;

/// Kills the process that has lost its disk, unless it has already ended.
pub fn gone(server: Server) -> Ended {
    server.running.signal(Signal::KILL);
    server.running.wait()
}
