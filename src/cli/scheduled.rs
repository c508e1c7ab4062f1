//! Backups that the server makes by itself, as `[backup]` says.
//!
//! ```text
//! <directory>/coffer-YYYYMMDDTHHMMSSZ.backup            whole, 0600
//! <directory>/coffer-YYYYMMDDTHHMMSSZ.backup.PID.part   not whole
//! ```
//!
//! When the next one is due follows from the names, so a restart neither makes
//! one too many nor forgets one.
//! Must never: remove a backup before a newer one is whole; remove anything
//! that does not bear such a name.

use std::convert::Infallible;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::Config;
use crate::domain::Timestamp;
use crate::http::State;
use crate::store::PrivateFile;
use crate::vault;
use crate::vault::backup::{BackupError, BadRecipient, Recipient};

/// What `[backup]` asks for.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Where they go.
    pub directory: PathBuf,
    /// How often.
    pub every: Duration,
    /// How many are kept.
    pub keep: usize,
    /// Whom they are sealed to.
    pub recipients: Vec<Recipient>,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum ScheduledError {
    /// The directory or a file in it.
    #[error("{}: {cause}. Check the directory and its permissions.", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The database could not be read, or no audit row written.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// It was begun and not finished.
    #[error("{0}")]
    Backup(#[from] BackupError),
    /// The thread that wrote it is gone.
    #[error("the thread that wrote it ended")]
    Thread,
}

impl Schedule {
    /// `None` when no directory is named.
    pub fn of(config: &Config) -> Result<Option<Self>, BadRecipient> {
        let backup = &config.backup;
        let recipients = backup
            .recipients
            .iter()
            .map(|text| Recipient::parse(text))
            .collect::<Result<_, _>>()?;
        Ok(backup.directory.clone().map(|directory| Self {
            directory,
            every: Duration::from_secs(u64::from(backup.every_minutes) * 60),
            keep: backup.keep as usize,
            recipients,
        }))
    }

    /// How long until the next one is due.
    fn due_in(&self, now: Timestamp) -> io::Result<Duration> {
        let newest = names(&self.directory)?.pop();
        let Some(at) = newest.as_deref().and_then(time_of) else { return Ok(Duration::ZERO) };
        let age = now.millis().saturating_sub(at.millis());
        // One from the future says that the clock was set back.
        let age = u64::try_from(age).map_or(self.every, Duration::from_millis);
        Ok(self.every.saturating_sub(age))
    }
}

const PREFIX: &str = "coffer-";
const SUFFIX: &str = ".backup";

/// `coffer-20260131T235959Z.backup`
fn name_of(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{PREFIX}{}Z{SUFFIX}", seconds.replace(['-', ':'], ""))
}

fn time_of(name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    if text.len() != 16 || !text.is_ascii() {
        return None;
    }
    let (date, time) = (&text[..8], &text[9..15]);
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    Timestamp::parse(&text).filter(|at| name_of(*at) == name)
}

/// The backups in a directory, the oldest first; none if it is not there.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(time_of(&name).is_some().then_some(name));
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes one now: the file, durable, then the note about it, then the oldest
/// ones go.
pub async fn back_up(state: &Arc<State>, schedule: &Schedule) -> Result<PathBuf, ScheduledError> {
    let directory = &schedule.directory;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause| ScheduledError::Io { path, cause }
    };
    make_directory(directory).map_err(at(directory))?;
    remove_halves(directory).map_err(at(directory))?;
    let path = directory.join(name_of(state.vault.now()));
    let shown = path.display().to_string();
    let backup = state.vault.create_own_backup(&shown, &schedule.recipients).await?;
    let when = backup.at();
    let stop = StopOnDrop(Arc::default());
    let (stopped, recipients, file) =
        (Arc::clone(&stop.0), schedule.recipients.clone(), path.clone());
    let written = tokio::task::spawn_blocking(move || {
        let at = |cause| ScheduledError::Io { path: file.clone(), cause };
        let half = PrivateFile::create(&file).map_err(at)?;
        let mut out = BufWriter::with_capacity(128 << 10, Stoppable { half, stopped });
        backup.write_to(&mut out, &recipients).map_err(|error| match error {
            BackupError::Io(cause) => at(cause),
            error => error.into(),
        })?;
        out.into_inner().map_err(|error| at(error.into_error()))?.half.finish().map_err(at)
    });
    let bytes = written.await.map_err(|_| ScheduledError::Thread)??;
    let noted = state.vault.note_last_backup(when, Some(&path), bytes);
    noted.map_err(at(&path))?;
    let mut kept = names(directory).map_err(at(directory))?;
    kept.truncate(kept.len().saturating_sub(schedule.keep));
    for old in kept {
        let old = directory.join(old);
        std::fs::remove_file(&old).map_err(at(&old))?;
    }
    Ok(path)
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// What a server that was killed has left. Only one writes here at a time.
fn remove_halves(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let whole = name.strip_suffix(PrivateFile::HALF).and_then(|half| half.rsplit_once('.'));
        if whole.is_some_and(|(whole, _)| time_of(whole).is_some()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Ends a backup that is under way when the server stops.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Stoppable {
    half: PrivateFile,
    stopped: Arc<AtomicBool>,
}

impl Write for Stoppable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the server is stopping"));
        }
        self.half.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.half.flush()
    }
}

/// Looks so often whether one is due: clocks are set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);

/// Makes backups for as long as somebody waits for it.
pub(super) async fn keep_backing_up(state: &Arc<State>, schedule: Option<&Schedule>) -> Infallible {
    let Some(schedule) = schedule else { return std::future::pending().await };
    loop {
        match schedule.due_in(state.vault.now()) {
            Ok(Duration::ZERO) => match back_up(state, schedule).await {
                Ok(path) => log::info!("backup: {}", path.display()),
                Err(error) => {
                    log::error!("no backup was made: {error}");
                    tokio::time::sleep(LOOK_EVERY.min(schedule.every)).await;
                }
            },
            Ok(wait) => tokio::time::sleep(wait.min(LOOK_EVERY)).await,
            Err(error) => {
                log::error!("no backup was made: {}: {error}", schedule.directory.display());
                tokio::time::sleep(LOOK_EVERY.min(schedule.every)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_and_only_such_names_do() {
        let at = Timestamp::parse("2026-01-31T23:59:58Z").unwrap();
        assert_eq!(name_of(at), "coffer-20260131T235958Z.backup");
        assert_eq!(time_of(&name_of(at)), Some(at));
        for other in [
            "coffer-.backup",
            "coffer-20260131T235958Z.backup.1.part",
            "coffer-20260131-235958Z.backup",
            "coffer-20261331T235958Z.backup",
            "coffer-2026013\u{e4}235958Z.backup",
            "x",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
