//! Opening sled on files that may be damaged or incomplete.
//!
//! Owns: what is removed or set aside before sled sees it, and the meaning of sled's errors.
//! Must never: let an older state pass for the newest, as far as that can be detected; let sled's
//! panics through: it asserts where it reads, so damage makes it panic.
//! Called by: `disk`.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use crate::store::directory::{ignore_missing, parent, sync_directory};
use crate::store::rows::view::describe_sled_error;
use crate::store::sled::durable_mark::ACKNOWLEDGED;
use crate::store::sled::holes::find_hole_before;
use crate::store::sled::open_error::OpenError;
use crate::store::sled::snapshots::{last_snapshot, newest_is_intact, snapshots, unused_name};

/// Opens sled. Its snapshots are a cache of its log, so a damaged one is no reason to stay closed.
/// But sled reports a damaged log the same way, and without the snapshots it would open as much of
/// that log as it can read, an older state, as if nothing had happened. So a copy is tried first: a
/// snapshot is named after the position up to which the log had been read, and the copy must reach
/// it without the snapshot, with nothing left out. Only then, and only if the newest snapshot is
/// damaged, are the snapshots set aside.
pub(in crate::store) fn open_sled(
    config: impl Fn(&Path) -> sled::Config,
    dir: &Path,
    was_interrupted: bool,
) -> Result<sled::Db, OpenError> {
    let sled = |cause| OpenError::Sled { path: dir.to_owned(), cause };
    let cause = match open_catching_panic(&config(dir)) {
        Err(cause @ sled::Error::Corruption { .. }) => cause,
        opened => return opened.map_err(sled),
    };
    let io = |cause| OpenError::Io { path: dir.to_owned(), cause };
    let reached = last_snapshot(dir).map_err(io)?;
    if reached == 0 {
        return Err(sled(cause));
    }
    let trial = dir.with_extension("trial");
    let tried = try_without_snapshots(&config, dir, &trial);
    fs::remove_dir_all(&trial).or_else(ignore_missing).map_err(io)?;
    let readable = tried.map_err(io)?.ok_or_else(|| sled(cause.clone()))?;
    if readable == 0 {
        // There is no older state to continue with.
        return Err(sled(cause));
    }
    if readable < reached {
        let marker = parent(dir).join(ACKNOWLEDGED);
        return Err(OpenError::LogDamaged { path: dir.to_owned(), readable, reached, marker });
    }
    // If the snapshot is intact, it is the log that is damaged, and without the snapshot sled would
    // use an older state of what it cannot read.
    if newest_is_intact(dir).map_err(io)? {
        return Err(sled(cause));
    }
    // Without a snapshot, sled would do that wherever the log cannot be read: it skips such places
    // and still reaches the end. After an interrupted opening the log may hold half of what sled
    // has overwritten, so it is not checked then.
    let hole = if was_interrupted { None } else { find_hole_before(dir, reached).map_err(io)? };
    if let Some(at) = hole {
        let marker = parent(dir).join(ACKNOWLEDGED);
        return Err(OpenError::Holes { path: dir.to_owned(), at, marker });
    }
    let aside = unused_name(dir);
    fs::create_dir(&aside).map_err(io)?;
    for snapshot in snapshots(dir).map_err(io)? {
        let name = snapshot.file_name().expect("a file that was listed has a name");
        fs::rename(&snapshot, aside.join(name)).map_err(io)?;
    }
    // Must be durable before sled writes a snapshot of the same name.
    for changed in [&aside, dir, parent(dir)] {
        sync_directory(changed).map_err(io)?;
    }
    log::error!(
        "sled's snapshot is damaged ({}). Its log is intact, so nothing is lost. The snapshot was moved to {}",
        describe_sled_error(&cause),
        aside.display()
    );
    open_catching_panic(&config(dir)).map_err(sled)
}

/// Opens sled and turns a panic into an error: in some places sled asserts what a damaged file does
/// not guarantee. The log says where it panicked (see `cli::logging`).
fn open_catching_panic(config: &sled::Config) -> Result<sled::Db, sled::Error> {
    panic::catch_unwind(AssertUnwindSafe(|| config.open())).unwrap_or_else(|_| {
        log::error!("sled panicked as it opened {}", config.get_path().display());
        Err(sled::Error::Corruption { at: None, bt: () })
    })
}

/// Returns how far a copy of the log can be read; `None` if it does not open at all.
fn try_without_snapshots(
    config: &impl Fn(&Path) -> sled::Config,
    dir: &Path,
    trial: &Path,
) -> io::Result<Option<u64>> {
    fs::remove_dir_all(trial).or_else(ignore_missing)?;
    fs::create_dir(trial)?;
    for name in ["db", "conf"] {
        fs::copy(dir.join(name), trial.join(name))?;
    }
    match open_catching_panic(&config(trial)) {
        // Opening writes a snapshot, whose name shows how far it came.
        Ok(db) => {
            crate::store::sled::flush_watchdog::close_catching_panic(db)?;
            last_snapshot(trial).map(Some)
        }
        Err(error) => {
            log::error!(
                "the log does not open without its snapshot either: {}",
                describe_sled_error(&error)
            );
            Ok(None)
        }
    }
}

/// Removes sled's settings if they are of no use: if there is no log, because a first start was
/// interrupted, or if they are incomplete, because sled does not sync them. Nothing is lost with
/// them: they are always the same, and sled writes them again.
///
/// ```text
/// ..     lines of text
/// 4      their CRC-32, little endian
/// ```
pub(in crate::store) fn remove_unfinished_settings(dir: &Path) -> io::Result<()> {
    let settings = dir.join("conf");
    match fs::read(&settings) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => {
            let read = read?;
            let whole = read.split_last_chunk::<4>();
            if whole.is_none_or(|(text, sum)| u32::from_le_bytes(*sum) != crc32fast::hash(text)) {
                log::warn!(
                    "sled's settings are damaged and will be written again: {}",
                    settings.display()
                );
                return fs::remove_file(settings);
            }
        }
    }
    match fs::metadata(dir.join("db")) {
        Ok(log) if log.len() > 0 => return Ok(()),
        // If there is a snapshot, there was a log.
        _ if last_snapshot(dir).unwrap_or(0) > 0 => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::remove_file(settings) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
