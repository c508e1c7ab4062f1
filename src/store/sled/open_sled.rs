//! Opening sled on files that may be damaged or unfinished.
//!
//! Owns: what is removed or set aside before sled may see it, and what its
//! answers mean.
//! Must never: let an older state pass for the newest, as far as that can be told;
//! let sled's panics through: it asserts where it reads, so damage makes it panic.

use std::fs;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use crate::store::rows::view::said;
use crate::store::sled::disk::{OpenError, ignore_missing, parent, sync_directory};
use crate::store::sled::durable_mark::ACKNOWLEDGED;
use crate::store::sled::holes::hole_before;
use crate::store::sled::leftovers::is_whole_snapshot;

/// Stands in the data directory while sled opens: then it overwrites segments that
/// it does not need, with zeros, and a power cut leaves any part of that. Such a
/// segment looks like a hole in the log, unless it is older than the snapshot; and
/// sled does not sync the new snapshot's name. So the log is looked through before
/// the first opening, and not again after one that was cut off.
const OPENING: &str = "opening";

/// Whether the last opening was cut off, before which the log was whole.
pub(in crate::store) fn was_cut_off(data_dir: &Path) -> io::Result<bool> {
    data_dir.join(OPENING).try_exists()
}

/// Before sled may open.
pub(in crate::store) fn begins(data_dir: &Path) -> io::Result<()> {
    fs::File::create(data_dir.join(OPENING))?.sync_all()?;
    sync_directory(data_dir)
}

/// When what sled has overwritten is on the disk, and not before: sled does not sync
/// that, and a power cut would leave half of it without a marker. The half that was
/// cut off needs no more care: sled overwrites all that it does not need each time.
pub(in crate::store) fn is_over(data_dir: &Path) -> io::Result<()> {
    fs::remove_file(data_dir.join(OPENING)).or_else(ignore_missing)
}

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
            crate::store::writer::flush_watchdog::let_go(db)?;
            last_snapshot(trial).map(Some)
        }
        Err(error) => {
            log::error!("without its snapshot the log does not open either: {}", said(&error));
            Ok(None)
        }
    }
}

/// The place in the log that the newest snapshot stands for, 0 without one.
pub(in crate::store) fn last_snapshot(dir: &Path) -> io::Result<u64> {
    Ok(snapshots(dir)?.iter().filter_map(|path| place_of(path)).max().unwrap_or(0))
}

/// Whether the newest snapshot is one that sled takes.
fn newest_is_whole(dir: &Path) -> io::Result<bool> {
    let newest = snapshots(dir)?.into_iter().max_by_key(|path| place_of(path));
    newest.map_or(Ok(false), |path| Ok(is_whole_snapshot(&fs::read(path)?)))
}

fn place_of(snapshot: &Path) -> Option<u64> {
    let name = snapshot.file_name()?.to_str()?;
    u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok()
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A name beside sled's directory that is not taken.
fn unused_name(dir: &Path) -> PathBuf {
    (1..)
        .map(|n: u32| dir.with_extension(format!("damaged.{n}")))
        .find(|path| !path.exists())
        .expect("there are more numbers than directories")
}

/// Deals with snapshots that were written and not renamed. One that an opening has
/// left which was cut off gets its name: sled writes and syncs it, renames it, and
/// only then overwrites what it does not need any more; but it does not sync the name.
/// By the older snapshot what was overwritten is missing, and sled would open an older
/// state or none. Of all others sled would take the newest name for the newest state,
/// whole or not, so they are removed.
pub(in crate::store) fn settle_snapshots(data_dir: &Path, dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let was_cut_off = was_cut_off(data_dir)?;
    let mut paths: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    // `again.generating`, which a cut in here leaves, goes before it is made once more.
    paths.sort();
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "generating") {
            continue;
        }
        let name = path.with_extension("");
        let place = place_of(&name).unwrap_or(0);
        let file = fs::read(&path)?;
        let newest = last_snapshot(dir)?;
        let is_newer = place > newest || (place == newest && !newest_is_whole(dir)?);
        if was_cut_off && place > 0 && is_newer && is_whole_snapshot(&file) {
            log::warn!("finishing a snapshot whose name was lost: {}", path.display());
            // Written once more: if its sync has failed, it reads well and is not there.
            let again = dir.join("again.generating");
            let mut written = fs::File::create(&again)?;
            written.write_all(&file)?;
            written.sync_all()?;
            fs::rename(&again, &name)?;
            sync_directory(dir)?;
        } else {
            log::info!("removing a snapshot that was not finished: {}", path.display());
        }
        fs::remove_file(&path)?;
    }
    Ok(())
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
