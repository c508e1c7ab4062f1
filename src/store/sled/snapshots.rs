//! sled's snapshots: a cache of its log, named after the log position up to which it was read.
//!
//! Owns: listing them, telling which are intact, and finishing those of an interrupted opening.
//! Must never: set aside an intact snapshot.
//! Called by: `open_sled`, `holes`, `leftovers` and `disk`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::store::directory::sync_directory;
use crate::store::sled::opening_mark::was_interrupted;

/// Returns the log position of the newest snapshot, 0 if there is none.
pub(in crate::store) fn last_snapshot(dir: &Path) -> io::Result<u64> {
    Ok(snapshots(dir)?.iter().filter_map(|path| position_of(path)).max().unwrap_or(0))
}

/// Returns whether sled accepts the newest snapshot.
pub(super) fn newest_is_intact(dir: &Path) -> io::Result<bool> {
    let newest = snapshots(dir)?.into_iter().max_by_key(|path| position_of(path));
    newest.map_or(Ok(false), |path| Ok(is_intact_snapshot(&fs::read(path)?)))
}

fn position_of(snapshot: &Path) -> Option<u64> {
    let name = snapshot.file_name()?.to_str()?;
    u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok()
}

pub(super) fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Returns an unused name next to sled's directory.
pub(super) fn unused_name(dir: &Path) -> PathBuf {
    (1..)
        .map(|n: u32| dir.with_extension(format!("damaged.{n}")))
        .find(|path| !path.exists())
        .expect("fewer than u32::MAX directories exist")
}

/// Finishes or removes snapshots that were written but not renamed. One that an interrupted opening
/// left gets its name: sled writes and syncs it, renames it, and only then overwrites what it no
/// longer needs, but does not sync the name. The older snapshot still refers to what was
/// overwritten, and with it sled would open an older state or nothing. All others are removed,
/// because sled would take the greatest name for the newest state, intact or not.
pub(in crate::store) fn settle_snapshots(data_dir: &Path, dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let was_interrupted = was_interrupted(data_dir)?;
    let mut paths: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    // `again.generating`, left by an interruption of this function, must be removed before it is
    // created again.
    paths.sort();
    for path in paths {
        if path.extension().is_none_or(|extension| extension != "generating") {
            continue;
        }
        let name = path.with_extension("");
        let position = position_of(&name).unwrap_or(0);
        let file = fs::read(&path)?;
        let newest = last_snapshot(dir)?;
        let is_newer = position > newest || (position == newest && !newest_is_intact(dir)?);
        if was_interrupted && position > 0 && is_newer && is_intact_snapshot(&file) {
            log::warn!("restoring a snapshot whose name was lost: {}", path.display());
            // Written again: if its sync has failed, the file can be read and yet is not on the
            // disk.
            let again = dir.join("again.generating");
            let mut written = fs::File::create(&again)?;
            written.write_all(&file)?;
            written.sync_all()?;
            fs::rename(&again, &name)?;
            sync_directory(dir)?;
        } else {
            log::info!("removing an unfinished snapshot: {}", path.display());
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

/// Returns whether sled 0.34.7 accepts a snapshot (`read_snapshot`; uncompressed, because
/// compression is not compiled in):
///
/// ```text
/// the table n | n u64 little endian | CRC-32 of the table u32 little endian
/// ```
pub(in crate::store) fn is_intact_snapshot(bytes: &[u8]) -> bool {
    let Some((rest, crc)) = bytes.split_last_chunk::<4>() else { return false };
    let Some((table, length)) = rest.split_last_chunk::<8>() else { return false };
    !table.is_empty()
        && u64::from_le_bytes(*length) == table.len() as u64
        && u32::from_le_bytes(*crc) == crc32fast::hash(table)
}
