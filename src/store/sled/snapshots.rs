//! sled's snapshots: a cache of what its log says, named after the place up to which it was read.
//!
//! Owns: which there are, which is whole, and settling those of an opening that was cut off.
//! Must never: set aside a snapshot that is whole.
//! Called by: `open_sled`, `holes`, `leftovers` and `disk`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::store::directory::sync_directory;
use crate::store::sled::opening_mark::was_cut_off;

/// The place in the log that the newest snapshot stands for, 0 without one.
pub(in crate::store) fn last_snapshot(dir: &Path) -> io::Result<u64> {
    Ok(snapshots(dir)?.iter().filter_map(|path| place_of(path)).max().unwrap_or(0))
}

/// Whether the newest snapshot is one that sled takes.
pub(super) fn newest_is_whole(dir: &Path) -> io::Result<bool> {
    let newest = snapshots(dir)?.into_iter().max_by_key(|path| place_of(path));
    newest.map_or(Ok(false), |path| Ok(is_whole_snapshot(&fs::read(path)?)))
}

fn place_of(snapshot: &Path) -> Option<u64> {
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

/// A name beside sled's directory that is not taken.
pub(super) fn unused_name(dir: &Path) -> PathBuf {
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

/// Whether a snapshot is one that sled 0.34.7 will take (`read_snapshot`; not
/// compressed, because that is not compiled in):
///
/// ```text
/// the table n | n u64 little endian | CRC-32 of the table u32 little endian
/// ```
pub(in crate::store) fn is_whole_snapshot(bytes: &[u8]) -> bool {
    let Some((rest, crc)) = bytes.split_last_chunk::<4>() else { return false };
    let Some((table, length)) = rest.split_last_chunk::<8>() else { return false };
    !table.is_empty()
        && u64::from_le_bytes(*length) == table.len() as u64
        && u32::from_le_bytes(*crc) == crc32fast::hash(table)
}
