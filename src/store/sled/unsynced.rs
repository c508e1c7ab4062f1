//! What is left to do after a write or sync has failed.
//!
//! Linux (and others) take the pages of a file for clean after a sync that
//! failed ("PostgreSQL's fsync() surprise", LWN, 2018): whoever reads the file
//! sees what never reached the disk, and no later sync takes it there. A server
//! that is started again on that file would build on it, and a power cut would
//! then take away what acknowledged writes stand on.
//!
//! Owns: the marker `<data dir>/unsynced`, and the writing of the log once more.
//! Must never: let a database be opened while the marker stands.
//!
//! The marker is read on this boot of the machine or never: after a power cut
//! the file says what is on the disk. So it need not be synced itself.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::store::directory::ignore_missing;

/// Stands in the data directory after a write or sync has failed.
pub(in crate::store) const UNSYNCED: &str = "unsynced";

/// Leaves word to the next start.
pub(in crate::store) fn mark_unsynced(data_dir: &Path) {
    let marker = data_dir.join(UNSYNCED);
    if let Err(error) = File::create(&marker) {
        // The same disk, most likely; there is no other place that the next start looks at.
        log::error!("restart the machine before the server is started again: {marker:?}: {error}");
    }
}

/// After a failure: writes the log once more, as it reads, and syncs it, so that
/// what is read from now on is on the disk.
///
/// A power cut in the middle leaves each block as the disk had it or as it was
/// read; that is what a power cut before it could have left.
pub(in crate::store) fn rewrite_log(data_dir: &Path) -> io::Result<()> {
    let marker = data_dir.join(UNSYNCED);
    if !marker.try_exists()? {
        return Ok(());
    }
    log::warn!(
        "a write or sync has failed before: writing the log once more (see the system's log)"
    );
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
        file.seek_relative(-i64::try_from(read).expect("a block is small"))?;
        file.write_all(&block[..read])?;
    }
}
