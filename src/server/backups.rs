//! Backups that the server makes by itself, as `[backup]` says.
//!
//! ```text
//! <directory>/coffer-ID-YYYYMMDDTHHMMSSZ.backup            whole, 0600
//! <directory>/coffer-ID-YYYYMMDDTHHMMSSZ.backup.PID-N.part   not whole
//! <directory>/coffer-ID.lock                                held while a server runs
//! ```
//!
//! ID is the database's, so that several may share a directory. When the first
//! one after a start is due follows from the names, so a restart neither makes one
//! too many nor forgets one. From then on it follows from when this process made
//! the last one: names come from a clock, and clocks are set.
//! Must never: remove a backup before a newer one is whole, or because of one
//! whose name says that it is yet to come; remove anything that does not bear
//! such a name, or another database's; take the room that the database needs.

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
    /// There is too little room.
    #[error(
        "{}: {cause}. Make room, keep fewer, or name a directory on another disk.", path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said, or what is left.
        cause: io::Error,
    },
    /// Another server makes backups of the same database here.
    #[error(
        "another server makes backups of a copy of this database in {}. Name another directory under [backup].", path.display()
    )]
    Shared {
        /// The directory.
        path: PathBuf,
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

    fn path(&self, id: DatabaseId, at: Timestamp) -> PathBuf {
        self.directory.join(name_of(id, at))
    }

    /// How long until the next one is due. `last` is the one that this process
    /// has made; the names count before there is one.
    fn due_in(&self, id: DatabaseId, last: Option<Made>, now: Moment) -> io::Result<Duration> {
        let Some(last) = last else {
            let newest = names(&self.directory, id, now.at)?.pop();
            let Some((at, _)) = newest else { return Ok(Duration::ZERO) };
            let age = now.at.millis().saturating_sub(at.millis());
            let age = u64::try_from(age).map_or(Duration::ZERO, Duration::from_millis);
            return Ok(self.every.saturating_sub(age));
        };
        let passed = now.instant.saturating_duration_since(last.0.instant);
        let left = self.every.saturating_sub(passed);
        // A machine that slept has passed time that only its clock knows of. That
        // clock may also be wrong, so it does not count twice within a look.
        let age = now.at.millis().saturating_sub(last.0.at.millis());
        let age = u64::try_from(age).map_or(Duration::ZERO, Duration::from_millis);
        let by_clock = self.every.saturating_sub(age).max(LOOK_EVERY.saturating_sub(passed));
        Ok(left.min(by_clock))
    }
}

/// A time by the clock, which people set, and by the machine, which nobody does.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at: Timestamp,
    instant: Instant,
}

impl Moment {
    fn now(state: &State) -> Self {
        Self { at: state.vault.now(), instant: Instant::now() }
    }
}

/// When this process has made its last backup.
#[derive(Debug, Clone, Copy)]
struct Made(Moment);

const PREFIX: &str = "coffer-";
const SUFFIX: &str = ".backup";

/// `coffer-5f1c0a9e-20260131T235959Z.backup`
fn name_of(id: DatabaseId, at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{PREFIX}{id}-{}Z{SUFFIX}", seconds.replace(['-', ':'], ""))
}

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

/// A database's backups in a directory, with their times, the oldest first; none
/// if it is not there. One whose time is yet to come was made by a clock that was
/// wrong, and says nothing about how old it is: it does not count.
fn names(
    directory: &Path,
    id: DatabaseId,
    now: Timestamp,
) -> io::Result<Vec<(Timestamp, PathBuf)>> {
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
                "{} is dated in the future and does not count as a backup; move it away",
                entry.path().display()
            );
        } else {
            names.push((at, entry.path()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes one now: the file, durable, then the note about it, then the oldest
/// ones go. That it could not be made is in the audit log, too.
pub async fn back_up(state: &Arc<State>, schedule: &Schedule) -> Result<PathBuf, ScheduledError> {
    let path = schedule.path(state.vault.database(), state.vault.now());
    match write(state, schedule, &path).await {
        Ok((when, bytes)) => {
            settle(state, schedule, &path, when, bytes);
            Ok(path)
        }
        Err(error) => {
            let shown = path.display().to_string();
            let recorded = state.vault.record_no_backup(&shown, &error.to_string()).await;
            if let Err(problem) = recorded {
                log::error!("that there is no {shown} is not in the audit log: {problem}");
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

/// Writes the file; when it was frozen, and how long it is.
async fn write(
    state: &Arc<State>,
    schedule: &Schedule,
    path: &Path,
) -> Result<(Timestamp, u64), ScheduledError> {
    let directory = &schedule.directory;
    make_directory(directory).map_err(at(directory))?;
    remove_halves(directory, state.vault.database()).map_err(at(directory))?;
    let (vault, file) = (Arc::clone(state), path.to_owned());
    let room = tokio::task::spawn_blocking(move || {
        let live_bytes = vault.vault.live_bytes()?;
        let room = vault.vault.room(&file);
        room.has(&file, live_bytes).map_err(at(&file))?;
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
        let half = PrivateFile::create(&file).map_err(at(&file))?.leaving(room);
        let mut out = BufWriter::with_capacity(128 << 10, Stoppable { half, stopped });
        backup.write_to(&mut out, &recipients).map_err(|error| match error {
            BackupError::Io(cause) => at(&file)(cause),
            error => error.into(),
        })?;
        let out = out.into_inner().map_err(|error| at(&file)(error.into_error()))?;
        out.half.finish_new().map_err(at(&file))
    });
    Ok((when, written.await.map_err(|_| ScheduledError::Thread)??))
}

/// What comes behind a backup. It is there whatever becomes of this.
fn settle(state: &State, schedule: &Schedule, path: &Path, when: Timestamp, bytes: u64) {
    if let Err(error) = state.vault.note_last_backup(when, path, bytes) {
        log::error!("{} was made, and is not noted as the last backup: {error}", path.display());
    }
    // By now, or by when it was made if the clock was set back meanwhile.
    let now = state.vault.now().max(when);
    let removed = names(&schedule.directory, state.vault.database(), now).and_then(|mut kept| {
        kept.truncate(kept.len().saturating_sub(schedule.keep));
        kept.iter().filter(|(_, old)| old != path).try_for_each(|(_, old)| {
            std::fs::remove_file(old).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", old.display()))
            })
        })
    });
    if let Err(error) = removed {
        log::error!("older backups than the last {} stay: {error}", schedule.keep);
    }
}

/// What a server that was killed has left. Only one writes for a database.
fn remove_halves(directory: &Path, id: DatabaseId) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let whole = name.strip_suffix(PrivateFile::HALF).and_then(|half| half.rsplit_once('.'));
        if whole.is_some_and(|(whole, _)| time_of(id, whole).is_some()) {
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

/// That no other server makes backups of this database here: a copy of it that
/// runs elsewhere would take them for its own.
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

/// Makes backups for as long as somebody waits for it.
pub(crate) async fn keep_backing_up(state: &Arc<State>, schedule: Option<&Schedule>) -> Infallible {
    let Some(schedule) = schedule else { return std::future::pending().await };
    let id = state.vault.database();
    let (mut held, mut last) = (None, None);
    loop {
        let wait = match step(state, schedule, id, (&mut held, &mut last)).await {
            Ok(wait) => wait.min(LOOK_EVERY),
            Err(error) => {
                log::error!("no backup was made: {error}");
                LOOK_EVERY.min(schedule.every)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Makes one if it is due; how long until the next one is.
async fn step(
    state: &Arc<State>,
    schedule: &Schedule,
    id: DatabaseId,
    (held, last): (&mut Option<File>, &mut Option<Made>),
) -> Result<Duration, ScheduledError> {
    let directory = &schedule.directory;
    if held.is_none() {
        *held = lock(directory, id).map_err(at(directory))?;
    }
    if held.is_none() {
        return Err(ScheduledError::Shared { path: directory.clone() });
    }
    let begun = Moment::now(state);
    let wait = schedule.due_in(id, *last, begun).map_err(at(directory))?;
    if !wait.is_zero() {
        return Ok(wait);
    }
    let path = back_up(state, schedule).await?;
    log::info!("backup: {}", path.display());
    *last = Some(Made(begun));
    schedule.due_in(id, *last, Moment::now(state)).map_err(at(directory))
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
    fn names_say_when_and_only_such_names_do() {
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

    /// It made a backup every few milliseconds, and removed all good ones.
    #[test]
    fn a_backup_dated_in_the_future_makes_none_due_again() {
        let dir = tempfile::tempdir().unwrap();
        let (schedule, instant) = (schedule(dir.path()), Instant::now());
        let made = |at| std::fs::write(dir.path().join(name_of(ID, time(at))), "").unwrap();
        let now = Moment { at: time("2026-01-31T12:00:00Z"), instant };
        let due = |last| schedule.due_in(ID, last, now).unwrap();
        assert_eq!(due(None), Duration::ZERO);
        made("2099-01-01T00:00:00Z");
        assert_eq!(due(None), Duration::ZERO, "it says nothing about how old it is");
        made("2026-01-31T11:45:00Z");
        assert_eq!(due(None), HOUR * 3 / 4);
        assert_eq!(due(Some(Made(now))), HOUR);
        let counted = names(dir.path(), ID, now.at).unwrap();
        assert_eq!(counted.len(), 1, "{counted:?}");
    }

    /// However the clock is set, a process makes one in `every`, and one only.
    #[test]
    fn a_clock_that_is_set_makes_no_backup_due_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (schedule, instant) = (schedule(dir.path()), Instant::now());
        let last = Some(Made(Moment { at: time("2026-01-31T12:00:00Z"), instant }));
        let due = |at, passed| {
            let now = Moment { at: time(at), instant: instant + passed };
            schedule.due_in(ID, last, now).unwrap()
        };
        let minute = Duration::from_secs(60);
        assert_eq!(due("2026-01-31T12:30:00Z", minute * 30), minute * 30);
        // Set back, it is due when the time has passed.
        assert_eq!(due("2020-01-01T00:00:00Z", minute), minute * 59);
        assert_eq!(due("2020-01-01T00:00:00Z", HOUR), Duration::ZERO);
        // Set forward, or after a sleep: once in a look at most.
        assert_eq!(due("2026-02-07T12:00:00Z", minute), minute * 14);
        assert_eq!(due("2026-02-07T12:00:00Z", minute * 15), Duration::ZERO);
    }

    #[test]
    fn a_copy_of_the_database_is_locked_out_and_another_database_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), ID).unwrap();
        assert!(held.is_some());
        assert!(lock(dir.path(), ID).unwrap().is_none());
        assert!(lock(dir.path(), OTHER).unwrap().is_some());
        drop(held);
        assert!(lock(dir.path(), ID).unwrap().is_some());
    }
}
