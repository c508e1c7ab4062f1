//! Scheduled backups, as `[backup]` configures them.
//!
//! ```text
//! <directory>/coffer-ID-YYYYMMDDTHHMMSSZ.backup              complete, 0600
//! <directory>/coffer-ID-YYYYMMDDTHHMMSSZ.backup.PID-N.part   incomplete
//! <directory>/coffer-ID.lock                                 locked while a server runs
//! ```
//!
//! ID is the database's, so that several databases can share a directory. The names of existing
//! backups decide when the first one after a start is due, so a restart neither repeats nor skips
//! one. After that the time of this process's last backup decides, because names come from a
//! clock, which may be set.
//!
//! Must never: delete a backup before a newer one is complete, or because of one dated in the
//! future; delete files with other names, or of another database; use disk space that the database
//! needs.
//! Called by: `serve`.

use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::domain::Timestamp;
use crate::http::State;
use crate::store::{PrivateFile, make_directory};
use crate::vault::backup::{BackupError, BadRecipient, Recipient};
use crate::vault::{self, DatabaseId};

/// The `[backup]` settings.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// The directory of the backups.
    pub directory: PathBuf,
    /// The time between two backups.
    pub every: Duration,
    /// How many backups are kept.
    pub keep: usize,
    /// The keys that the backups are sealed to; if empty, to the root key.
    pub recipients: Vec<Recipient>,
}

/// Why a scheduled backup failed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduledError {
    /// The directory or a file in it could not be used.
    #[error("{}: {cause}. Check the directory and its permissions.", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The disk is too full.
    #[error(
        "{}: {cause}. Free up disk space, keep fewer backups, or use a directory on another disk.", path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// The system's error, or how much space is free.
        cause: io::Error,
    },
    /// A server with a copy of this database uses the same directory.
    #[error(
        "another server already backs up a copy of this database to {}. Set another directory under [backup].", path.display()
    )]
    Shared {
        /// The directory.
        path: PathBuf,
    },
    /// The database could not be read, or the audit event could not be written.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// Writing the backup failed.
    #[error("{0}")]
    Backup(#[from] BackupError),
    /// The thread that writes the backup panicked.
    #[error("the backup thread ended unexpectedly")]
    Thread,
}

impl Schedule {
    /// Reads the settings; `None` if no directory is set.
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

    fn path(&self, id: DatabaseId, at: Timestamp) -> PathBuf {
        self.directory.join(name_of(id, at))
    }

    /// How long until the next backup is due. `last` is this process's last one; without it the
    /// names of the existing ones decide.
    fn due_in(
        &self,
        id: DatabaseId,
        last: Option<LastBackup>,
        now: ClockReading,
    ) -> io::Result<Duration> {
        let Some(last) = last else {
            let newest = list(&self.directory, id, now.at)?.pop();
            let Some((at, _)) = newest else { return Ok(Duration::ZERO) };
            let age = now.at.millis().saturating_sub(at.millis());
            let age = u64::try_from(age).map_or(Duration::ZERO, Duration::from_millis);
            return Ok(self.every.saturating_sub(age));
        };
        let passed = now.instant.saturating_duration_since(last.0.instant);
        let left = self.every.saturating_sub(passed);
        // After the machine was suspended, only the clock knows how much time has passed. Because
        // the clock may be wrong, it makes a backup due at most once per check interval.
        let age = now.at.millis().saturating_sub(last.0.at.millis());
        let age = u64::try_from(age).map_or(Duration::ZERO, Duration::from_millis);
        let by_clock = self.every.saturating_sub(age).max(CHECK_INTERVAL.saturating_sub(passed));
        Ok(left.min(by_clock))
    }
}

/// The time by the clock, which may be set, and by the monotonic timer, which may not.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    at: Timestamp,
    instant: Instant,
}

impl ClockReading {
    fn now(state: &State) -> Self {
        Self { at: state.vault.now(), instant: Instant::now() }
    }
}

/// When this process started its last backup.
#[derive(Debug, Clone, Copy)]
struct LastBackup(ClockReading);

const PREFIX: &str = "coffer-";
const SUFFIX: &str = ".backup";

/// The name of a backup, such as `coffer-5f1c0a9e-20260131T235959Z.backup`.
fn name_of(id: DatabaseId, at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{PREFIX}{id}-{}Z{SUFFIX}", seconds.replace(['-', ':'], ""))
}

/// The time in the name of this database's backup; `None` for other names.
fn time_of(id: DatabaseId, name: &str) -> Option<Timestamp> {
    let text = name.strip_prefix(&format!("{PREFIX}{id}-"))?.strip_suffix(SUFFIX)?;
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
    Timestamp::parse(&text).filter(|at| name_of(id, *at) == name)
}

/// Lists a database's backups in a directory with their times, oldest first; none if the directory
/// does not exist. Skips those dated in the future: a wrong clock made their names, so their age
/// is unknown.
fn list(directory: &Path, id: DatabaseId, now: Timestamp) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(at) = time_of(id, &entry.file_name().to_string_lossy()) else { continue };
        if at > now {
            log::warn!(
                "{} is dated in the future and is ignored; move it to another directory",
                entry.path().display()
            );
        } else {
            names.push((at, entry.path()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes a backup now: writes the file durably, notes it, then deletes the oldest ones. Records a
/// failure in the audit log.
pub async fn back_up(state: &Arc<State>, schedule: &Schedule) -> Result<PathBuf, ScheduledError> {
    let path = schedule.path(state.vault.database(), state.vault.now());
    match write(state, schedule, &path).await {
        Ok((when, bytes)) => {
            note(state, &path, when, bytes);
            delete_old(state, schedule, &path, when);
            Ok(path)
        }
        Err(error) => {
            let shown = path.display().to_string();
            let recorded = state.vault.record_no_backup(&shown, &error.to_string()).await;
            if let Err(problem) = recorded {
                log::error!("cannot record the failed backup {shown} in the audit log: {problem}");
            }
            Err(error)
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> ScheduledError + use<> {
    let path = path.to_owned();
    move |cause| match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ScheduledError::Full { path, cause }
        }
        _ => ScheduledError::Io { path, cause },
    }
}

/// Writes the file. Returns the time of its content and its length in bytes.
async fn write(
    state: &Arc<State>,
    schedule: &Schedule,
    path: &Path,
) -> Result<(Timestamp, u64), ScheduledError> {
    let directory = &schedule.directory;
    make_directory(directory).map_err(at(directory))?;
    remove_parts(directory, state.vault.database()).map_err(at(directory))?;
    let (shared, file) = (Arc::clone(state), path.to_owned());
    let room = tokio::task::spawn_blocking(move || {
        let live_bytes = shared.vault.live_bytes()?;
        let room = shared.vault.room(&file);
        room.check(&file, live_bytes).map_err(at(&file))?;
        Ok::<_, ScheduledError>(room)
    });
    let room = room.await.map_err(|_| ScheduledError::Thread)??;
    let shown = path.display().to_string();
    let backup = state.vault.create_own_backup(&shown, &schedule.recipients).await?;
    let when = backup.at();
    let stop = StopOnDrop(Arc::default());
    let (stopped, recipients) = (Arc::clone(&stop.0), schedule.recipients.clone());
    let file = path.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let part = PrivateFile::create(&file).map_err(at(&file))?.within(room);
        let mut out = BufWriter::with_capacity(128 << 10, StoppableWriter { part, stopped });
        backup.write_to(&mut out, &recipients).map_err(|error| match error {
            BackupError::Io(cause) => at(&file)(cause),
            error => error.into(),
        })?;
        let out = out.into_inner().map_err(|error| at(&file)(error.into_error()))?;
        out.part.finish_new().map_err(at(&file))
    });
    Ok((when, written.await.map_err(|_| ScheduledError::Thread)??))
}

/// Notes the backup for `coffer doctor`. A failure is only logged: the backup is complete.
fn note(state: &State, path: &Path, when: Timestamp, bytes: u64) {
    if let Err(error) = state.vault.note_last_backup(when, path, bytes) {
        log::error!("cannot note {} as the last backup: {error}", path.display());
    }
}

/// Deletes all but the newest backups, and never the one at `path`. A failure is only logged.
fn delete_old(state: &State, schedule: &Schedule, path: &Path, when: Timestamp) {
    // If the clock was set back since the backup, its own time counts as the current one.
    let now = state.vault.now().max(when);
    let removed = list(&schedule.directory, state.vault.database(), now).and_then(|mut kept| {
        kept.truncate(kept.len().saturating_sub(schedule.keep));
        kept.iter().filter(|(_, old)| old != path).try_for_each(|(_, old)| {
            std::fs::remove_file(old).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", old.display()))
            })
        })
    });
    if let Err(error) = removed {
        log::error!("cannot delete backups older than the last {}: {error}", schedule.keep);
    }
}

/// Removes incomplete backups of this database that a killed server has left. The lock makes sure
/// that no other server is writing one.
fn remove_parts(directory: &Path, id: DatabaseId) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let whole = name.strip_suffix(PrivateFile::PARTIAL).and_then(|part| part.rsplit_once('.'));
        if whole.is_some_and(|(whole, _)| time_of(id, whole).is_some()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Cancels a running backup when the server stops.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A writer that fails once it is stopped.
struct StoppableWriter {
    part: PrivateFile,
    stopped: Arc<AtomicBool>,
}

impl Write for StoppableWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the server is stopping"));
        }
        self.part.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.part.flush()
    }
}

/// The longest wait before checking again whether a backup is due: the clock may be set, and the
/// machine may be suspended.
const CHECK_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// Locks the directory against other servers for this database; `None` if one has the lock. A
/// server with a copy of the database would otherwise delete this one's backups as its own.
fn lock(directory: &Path, id: DatabaseId) -> io::Result<Option<File>> {
    make_directory(directory)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let lock = options.open(directory.join(format!("{PREFIX}{id}.lock")))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            log::warn!("{} cannot be locked against other servers", directory.display());
            Ok(Some(lock))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes backups on schedule, until it is dropped.
pub(super) async fn keep_backing_up(state: &Arc<State>, schedule: Option<&Schedule>) -> Infallible {
    let Some(schedule) = schedule else { return std::future::pending().await };
    let id = state.vault.database();
    let (mut held, mut last) = (None, None);
    loop {
        let wait = match step(state, schedule, id, (&mut held, &mut last)).await {
            Ok(wait) => wait.min(CHECK_INTERVAL),
            Err(error) => {
                log::error!("scheduled backup failed: {error}");
                CHECK_INTERVAL.min(schedule.every)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Makes a backup if one is due. Returns how long until the next one is due.
async fn step(
    state: &Arc<State>,
    schedule: &Schedule,
    id: DatabaseId,
    (held, last): (&mut Option<File>, &mut Option<LastBackup>),
) -> Result<Duration, ScheduledError> {
    let directory = &schedule.directory;
    if held.is_none() {
        *held = lock(directory, id).map_err(at(directory))?;
    }
    if held.is_none() {
        return Err(ScheduledError::Shared { path: directory.clone() });
    }
    let started = ClockReading::now(state);
    let wait = schedule.due_in(id, *last, started).map_err(at(directory))?;
    if !wait.is_zero() {
        return Ok(wait);
    }
    let path = back_up(state, schedule).await?;
    log::info!("created backup {}", path.display());
    *last = Some(LastBackup(started));
    schedule.due_in(id, *last, ClockReading::now(state)).map_err(at(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: DatabaseId = DatabaseId::of_bytes([0x5f, 0x1c, 0x0a, 0x9e]);
    const OTHER: DatabaseId = DatabaseId::of_bytes([1, 2, 3, 4]);
    const HOUR: Duration = Duration::from_secs(3600);

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn schedule(directory: &Path) -> Schedule {
        let directory = directory.to_owned();
        Schedule { directory, every: HOUR, keep: 2, recipients: Vec::new() }
    }

    #[test]
    fn only_names_of_this_databases_backups_have_a_time() {
        let at = time("2026-01-31T23:59:58Z");
        assert_eq!(name_of(ID, at), "coffer-5f1c0a9e-20260131T235958Z.backup");
        assert_eq!(time_of(ID, &name_of(ID, at)), Some(at));
        assert_eq!(time_of(ID, &name_of(OTHER, at)), None, "it is another database's");
        for other in [
            "coffer-5f1c0a9e-.backup",
            "coffer-20260131T235958Z.backup",
            "coffer-5f1c0a9e-20260131T235958Z.backup.1-0.part",
            "coffer-5f1c0a9e-20260131-235958Z.backup",
            "coffer-5f1c0a9e-20261331T235958Z.backup",
            "coffer-5f1c0a9e-2026013\u{e4}235958Z.backup",
            "x",
        ] {
            assert_eq!(time_of(ID, other), None, "{other}");
        }
    }

    /// Such a name must neither make backups due all the time nor push out the good ones.
    #[test]
    fn a_backup_dated_in_the_future_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let (schedule, instant) = (schedule(dir.path()), Instant::now());
        let made = |at| std::fs::write(dir.path().join(name_of(ID, time(at))), "").unwrap();
        let now = ClockReading { at: time("2026-01-31T12:00:00Z"), instant };
        let due = |last| schedule.due_in(ID, last, now).unwrap();
        assert_eq!(due(None), Duration::ZERO);
        made("2099-01-01T00:00:00Z");
        assert_eq!(due(None), Duration::ZERO, "its age is unknown");
        made("2026-01-31T11:45:00Z");
        assert_eq!(due(None), HOUR * 3 / 4);
        assert_eq!(due(Some(LastBackup(now))), HOUR);
        let counted = list(dir.path(), ID, now.at).unwrap();
        assert_eq!(counted.len(), 1, "{counted:?}");
    }

    /// However the clock is set, a process makes exactly one backup per interval.
    #[test]
    fn setting_the_clock_makes_no_backup_due_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (schedule, instant) = (schedule(dir.path()), Instant::now());
        let last = Some(LastBackup(ClockReading { at: time("2026-01-31T12:00:00Z"), instant }));
        let due = |at, passed| {
            let now = ClockReading { at: time(at), instant: instant + passed };
            schedule.due_in(ID, last, now).unwrap()
        };
        let minute = Duration::from_secs(60);
        assert_eq!(due("2026-01-31T12:30:00Z", minute * 30), minute * 30);
        // Set back: due when the interval has passed.
        assert_eq!(due("2020-01-01T00:00:00Z", minute), minute * 59);
        assert_eq!(due("2020-01-01T00:00:00Z", HOUR), Duration::ZERO);
        // Set forward, or after a suspension: at most once per check interval.
        assert_eq!(due("2026-02-07T12:00:00Z", minute), minute * 14);
        assert_eq!(due("2026-02-07T12:00:00Z", minute * 15), Duration::ZERO);
    }

    #[test]
    fn the_lock_excludes_copies_of_the_database_but_not_other_databases() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), ID).unwrap();
        assert!(held.is_some());
        assert!(lock(dir.path(), ID).unwrap().is_none());
        assert!(lock(dir.path(), OTHER).unwrap().is_some());
        drop(held);
        assert!(lock(dir.path(), ID).unwrap().is_some());
    }
}
