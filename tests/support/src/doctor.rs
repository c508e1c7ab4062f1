//! A stopped server in perfect order, for tests of `coffer doctor`.

use std::path::{Path, PathBuf};

use coffer::domain::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Launch};
pub use crate::stopped::owner_only;

/// A data directory that has its root key elsewhere and a recent backup.
pub struct Checkup {
    pub data_dir: PathBuf,
    pub key: PathBuf,
    outside: TempDir,
}

impl Checkup {
    pub fn new(data_dir: &Path) -> Self {
        crate::await_release(data_dir);
        let outside = tempfile::tempdir().unwrap();
        let key = outside.path().join("root.key");
        std::fs::rename(data_dir.join("root.key"), &key).unwrap();
        let file = outside.path().join("last.backup");
        std::fs::write(&file, "x").unwrap();
        let backup = serde_json::json!({ "time": SystemClock.now(), "path": file, "bytes": 1 });
        std::fs::write(data_dir.join("last-backup"), backup.to_string()).unwrap();
        owner_only(data_dir);
        Self { data_dir: data_dir.to_owned(), key, outside }
    }

    pub fn launch<const N: usize>(&self, words: [&str; N]) -> Launch {
        // sled's threads may still have files open that this process has read.
        crate::await_release(&self.data_dir);
        let launch = Launch::bare(self.outside.path()).arguments(words).argument("--data-dir");
        launch.argument(&self.data_dir).variable("COFFER_ROOT_KEY_FILE", &self.key)
    }

    pub fn doctor(&self) -> Diagnosis {
        Diagnosis::of(self.launch(["doctor"]).run(""))
    }

    pub fn repair(&self) -> Diagnosis {
        Diagnosis::of(self.launch(["doctor", "--repair"]).run(""))
    }

    /// The copies that repairs have made, oldest first.
    pub fn copies(&self) -> Vec<PathBuf> {
        let copy = |n: u32| PathBuf::from(format!("{}.before-repair.{n}", self.data_dir.display()));
        (1..).map(copy).take_while(|path| path.exists()).collect()
    }

    /// The directory in which the commands run.
    pub fn outside(&self) -> &Path {
        self.outside.path()
    }
}

/// The output of the doctor.
#[derive(Debug)]
pub struct Diagnosis {
    pub ended: Ended,
    pub code: i32,
}

impl Diagnosis {
    #[track_caller]
    pub fn of(ended: Ended) -> Self {
        let code = ended.code.unwrap_or_else(|| panic!("the doctor was killed: {ended:#?}"));
        let words = ["ok", "repaired", "warn", "error"];
        for line in ended.stdout.lines() {
            let (word, rest) = line.split_once("  ").unwrap_or_else(|| panic!("{line}"));
            assert!(words.contains(&word.trim_end()) && !rest.is_empty(), "{line}");
        }
        Self { ended, code }
    }

    /// The lines with this severity.
    pub fn lines(&self, word: &str) -> Vec<&str> {
        self.ended.stdout.lines().filter(|line| line.starts_with(&format!("{word:<8}  "))).collect()
    }

    /// Fails unless exactly one line has this severity, and all of these texts are in it.
    #[track_caller]
    pub fn one<const N: usize>(&self, word: &str, texts: [&str; N]) -> &Self {
        let lines = self.lines(word);
        assert_eq!(lines.len(), 1, "{self:#?}");
        self.says(word, texts)
    }

    /// Fails unless a line with this severity contains all of these texts.
    #[track_caller]
    pub fn says<const N: usize>(&self, word: &str, texts: [&str; N]) -> &Self {
        let said = |line: &&str| texts.iter().all(|text| line.contains(text));
        assert!(self.lines(word).iter().any(said), "no {word} with {texts:?} in {self:#?}");
        self
    }

    #[track_caller]
    pub fn is(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Fails unless the doctor has found nothing to report.
    #[track_caller]
    pub fn healthy(&self) -> &Self {
        assert!(self.lines("warn").is_empty() && self.lines("error").is_empty(), "{self:#?}");
        self.is(0)
    }
}

/// The machine-readable output.
#[track_caller]
pub fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}
