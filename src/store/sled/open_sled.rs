//! Opening sled on files that may be damaged or unfinished.
//!
//! Owns: what is removed or set aside before sled may see it, and what its
//! answers mean.
//! Must never: let an older state pass for the newest, as far as that can be told;
//! let sled's panics through: it asserts where it reads, so damage makes it panic.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use crate::store::directory::{ignore_missing, parent, sync_directory};
use crate::store::rows::view::said;
use crate::store::sled::durable_mark::ACKNOWLEDGED;
use crate::store::sled::holes::hole_before;
use crate::store::sled::open_error::OpenError;
use crate::store::sled::snapshots::{last_snapshot, newest_is_whole, snapshots, unused_name};

/// Opens sled. Its snapshots are a cache of what its log says, so one that is
/// damaged is no reason to stay closed. But sled says the same of a damaged log,
/// and without the snapshots it would open as much of that as it can read, an
/// older state, as if nothing had happened. So a copy is tried first: a snapshot
/// is named after the place up to which the log had been read, and the copy must
/// come as far as that without it, with nothing left out. Only then, and only if the
/// newest one is not what sled wrote, are the snapshots set aside.
pub(in crate::store) fn open_sled(
    config: impl Fn(&Path) -> sled::Config,
    dir: &Path,
    was_cut_off: bool,
) -> Result<sled::Db, OpenError> {
    let sled = |cause| OpenError::Sled { path: dir.to_owned(), cause };
    let cause = match opened(&config(dir)) {
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
        // There is no older state to go on with.
        return Err(sled(cause));
    }
    if readable < reached {
        let marker = parent(dir).join(ACKNOWLEDGED);
        return Err(OpenError::LogDamaged { path: dir.to_owned(), readable, reached, marker });
    }
    // If it is as sled wrote it, it is the log that is damaged: without it sled would
    // take an older state of what it cannot read.
    if newest_is_whole(dir).map_err(io)? {
        return Err(sled(cause));
    }
    // So it would without a snapshot wherever else the log cannot be read: it passes
    // over that, and comes as far all the same.
    // After an opening that was cut off the log may hold half of what it has overwritten.
    let hole = if was_cut_off { None } else { hole_before(dir, reached).map_err(io)? };
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
    // Before sled writes one of the same name.
    for changed in [&aside, dir, parent(dir)] {
        sync_directory(changed).map_err(io)?;
    }
    log::error!(
        "sled's snapshot is damaged ({}); its log is whole, so nothing is lost; the snapshot is set aside in {}",
        said(&cause),
        aside.display()
    );
    opened(&config(dir)).map_err(sled)
}

/// What sled says, or that it has panicked: in some places it asserts what a
/// damaged file does not keep. Where, the log says (see `cli::logging`).
fn opened(config: &sled::Config) -> Result<sled::Db, sled::Error> {
    panic::catch_unwind(AssertUnwindSafe(|| config.open())).unwrap_or_else(|_| {
        log::error!("sled panicked as it opened {}", config.get_path().display());
        Err(sled::Error::Corruption { at: None, bt: () })
    })
}

/// How far a copy of the log can be read; `None` when it does not open at all.
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
    match opened(&config(trial)) {
        // Opening writes a snapshot, and thereby says how far it came.
        Ok(db) => {
            crate::store::sled::flush_watchdog::close_catching_panic(db)?;
            last_snapshot(trial).map(Some)
        }
        Err(error) => {
            log::error!("without its snapshot the log does not open either: {}", said(&error));
            Ok(None)
        }
    }
}

/// sled's settings without a log: a first start that was cut off.
///
/// And settings that are not whole: sled does not sync them. Nothing is lost with
/// them, because they are always the same, and sled writes them anew.
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
                log::warn!("sled's settings are damaged and made anew: {}", settings.display());
                return fs::remove_file(settings);
            }
        }
    }
    match fs::metadata(dir.join("db")) {
        Ok(log) if log.len() > 0 => return Ok(()),
        // Where there is a snapshot there was a log.
        _ if last_snapshot(dir).unwrap_or(0) > 0 => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::remove_file(settings) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
