//! Recovery after a failed write or sync.
//!
//! Linux (and others) mark the pages of a file as clean after a sync that failed ("PostgreSQL's
//! fsync() surprise", LWN, 2018): reads return data that never reached the disk, and no later sync
//! writes it. A server restarted on that file would build on it, and a power cut would then take
//! away data that acknowledged writes depend on.
//!
//! The marker is needed only until the machine reboots: after a power cut the file reads as it is
//! on the disk. So the marker itself need not be synced.
//!
//! Owns: the marker `<data dir>/unsynced`, and rewriting the log.
//! Must never: let a database be opened while the marker exists.
//! Called by: `disk`, and `Store` when it is dropped.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::store::directory::ignore_missing;

/// The marker's name in the data directory.
pub(in crate::store) const UNSYNCED: &str = "unsynced";

/// Creates the marker for the next start.
pub(in crate::store) fn mark_unsynced(data_dir: &Path) {
    let marker = data_dir.join(UNSYNCED);
    if let Err(error) = File::create(&marker) {
        // Most likely the same disk is failing, and the next start looks nowhere else.
        log::error!(
            "restart the machine before starting the server again: creating {marker:?} failed: {error}"
        );
    }
}

/// If the marker exists, writes the log once more, as it reads, and syncs it, so that whatever is
/// read from now on is on the disk.
///
/// A power cut in the middle leaves each block as it was on the disk or as it was read, which an
/// earlier power cut could have left as well.
pub(in crate::store) fn rewrite_log(data_dir: &Path) -> io::Result<()> {
    let marker = data_dir.join(UNSYNCED);
    if !marker.try_exists()? {
        return Ok(());
    }
    log::warn!("a write or sync has failed before: writing the log once more (see the system log)");
    match File::options().read(true).write(true).open(data_dir.join("db").join("db")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => rewrite(&mut file?)?,
    }
    fs::remove_file(marker).or_else(ignore_missing)
}

fn rewrite(file: &mut File) -> io::Result<()> {
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return file.sync_all();
        }
        file.seek_relative(-i64::try_from(read).expect("a block's length fits into i64"))?;
        file.write_all(&block[..read])?;
    }
}
