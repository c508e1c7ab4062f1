//! How much free space the disk has left, and who may use it.
//!
//! sled cannot continue after the disk has filled up, so it must never meet a full one. A file
//! written next to the database uses the same space, so a backup checks the budget as it grows.
//!
//! Owns: the floor of free space, and which share of it each kind of write may use.
//! Must never: let a write start that could fill the disk; keep a file from being written to
//! another disk because the database's disk is full, which is when a backup is wanted.
//! Called by: the writer, for every change, and everything that writes a file next to the database.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::parent;
use crate::store::unavailable::Unavailable;

/// The free space on the database's disk, and the floor below which writes are refused.
#[derive(Debug, Clone)]
pub(in crate::store) struct FreeSpace {
    pub dir: PathBuf,
    pub floor_bytes: u64,
}

/// How far below the floor a change may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Share {
    /// Not at all: only the space above the floor.
    Common,
    /// To half the floor: for records of refusals, which anyone with a credential can cause.
    Refusals,
    /// To a quarter of the floor: for what frees space or must be recorded.
    Reserve,
}

impl FreeSpace {
    /// Returns the free space in bytes; 0 if it is unknown.
    pub fn left(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.dir);
        stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Checks that a change may be made while `left` bytes are free.
    pub fn check(&self, left: u64, share: Share) -> Result<(), Unavailable> {
        let floor = match share {
            Share::Common => self.floor_bytes,
            Share::Refusals => self.floor_bytes / 2,
            Share::Reserve => self.floor_bytes / 4,
        };
        if left >= floor { Ok(()) } else { Err(Unavailable::DiskNearlyFull) }
    }
}

/// The free space is checked again after this many bytes, which is far below any floor.
const CHECK_BYTES: u64 = 1 << 20;

/// The space that a file may use next to a database.
#[derive(Debug)]
pub struct DiskBudget {
    space: FreeSpace,
    watched: bool,
    /// Bytes written since the free space was last checked.
    unchecked: u64,
}

impl DiskBudget {
    /// Returns the budget of a file at `path`, next to the database of `data_dir`, whose disk must
    /// keep `floor_bytes` free.
    pub fn beside(data_dir: &Path, path: &Path, floor_bytes: u64) -> Self {
        Self::of(FreeSpace { dir: data_dir.to_owned(), floor_bytes }, path)
    }

    pub(in crate::store) fn of(space: FreeSpace, path: &Path) -> Self {
        // Two file systems can share one disk without any visible sign. So the disk is also watched
        // if it has enough space now: if it runs out while the file grows, the file is what fills
        // it.
        let watched = is_on(&space.dir, parent(path)) || space.left() >= space.floor_bytes;
        Self { space, watched, unchecked: CHECK_BYTES }
    }

    /// Fails if a file of about `bytes` bytes would go to the database's disk and does not fit
    /// there.
    pub fn check(&self, path: &Path, bytes: u64) -> io::Result<()> {
        if !is_on(&self.space.dir, parent(path)) {
            return Ok(());
        }
        let left = self.space.left();
        if left >= self.space.floor_bytes.saturating_add(bytes) { Ok(()) } else { Err(full(left)) }
    }

    /// Accounts for `bytes` more bytes; fails if the disk has reached its floor.
    pub(in crate::store) fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.unchecked = self.unchecked.saturating_add(bytes as u64);
        if !self.watched || self.unchecked < CHECK_BYTES {
            return Ok(());
        }
        self.unchecked = 0;
        let left = self.space.left();
        if left >= self.space.floor_bytes { Ok(()) } else { Err(full(left)) }
    }
}

fn full(left: u64) -> io::Error {
    let problem =
        format!("the database's disk has {} MiB left, which the database itself needs", left >> 20);
    io::Error::new(io::ErrorKind::StorageFull, problem)
}

/// Returns whether both are on one file system. When in doubt, they are.
fn is_on(data_dir: &Path, directory: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
        match (device(data_dir), device(directory)) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (data_dir, directory);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::private_file::PrivateFile;
    use std::io::Write;

    #[test]
    fn a_file_on_the_databases_disk_stops_above_the_floor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.backup");
        let budget = |floor| DiskBudget::beside(dir.path(), &path, floor);
        budget(0).check(&path, 1).unwrap();
        let refused = budget(0).check(&path, u64::MAX).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        let mut file = PrivateFile::create(&path).unwrap().within(budget(u64::MAX));
        let refused = file.write_all(b"over the floor already").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut file = PrivateFile::create(&path).unwrap().within(budget(0));
        file.write_all(&vec![0; 3 << 20]).unwrap();
        assert_eq!(file.finish_new().unwrap(), 3 << 20);
    }
}
