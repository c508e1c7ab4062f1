//! How much free space the disk has left, and who may take it.
//!
//! sled cannot go on after a full disk, so it must never meet one. A file that is written onto the
//! database's disk fills it as well as any, so a backup checks while it grows.
//!
//! Must never: let a write begin that could fill the disk; keep a file from being written to
//! another disk because the database's is full, which is when a backup is wanted.
//! Called by: the writer for every change, and by whoever writes a file beside the database.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::parent;
use crate::store::unavailable::Unavailable;

/// Watches how much room is left.
#[derive(Debug, Clone)]
pub(in crate::store) struct FreeSpace {
    pub dir: PathBuf,
    pub floor_bytes: u64,
}

/// How much a change may take of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Share {
    /// What lies above the floor.
    Common,
    /// Down to half of it: for records of what was refused, which anybody with
    /// a credential can bring about.
    Refusals,
    /// Down to a quarter of it: for what makes room or must be recorded.
    Reserve,
}

impl FreeSpace {
    /// How many bytes are left; none, when that cannot be told.
    pub fn left(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.dir);
        stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether a change may be made when so much is left.
    pub fn check(&self, left: u64, share: Share) -> Result<(), Unavailable> {
        let floor = match share {
            Share::Common => self.floor_bytes,
            Share::Refusals => self.floor_bytes / 2,
            Share::Reserve => self.floor_bytes / 4,
        };
        if left >= floor { Ok(()) } else { Err(Unavailable::DiskNearlyFull) }
    }
}

/// Looked at again after so many bytes. Far below any floor.
const LOOK_BYTES: u64 = 1 << 20;

/// The room beside a database.
#[derive(Debug)]
pub struct DiskBudget {
    space: FreeSpace,
    watched: bool,
    /// Bytes since the disk was looked at.
    taken: u64,
}

impl DiskBudget {
    /// For a file that will be written to `path`, beside the database of
    /// `data_dir`, whose disk must keep `floor_bytes` free.
    pub fn beside(data_dir: &Path, path: &Path, floor_bytes: u64) -> Self {
        Self::of(FreeSpace { dir: data_dir.to_owned(), floor_bytes }, path)
    }

    pub(in crate::store) fn of(space: FreeSpace, path: &Path) -> Self {
        // Two file systems may draw on one disk without saying so. A disk that
        // had room before and has none now is told by that alone.
        let watched = is_on(&space.dir, parent(path)) || space.left() >= space.floor_bytes;
        Self { space, watched, taken: LOOK_BYTES }
    }

    /// That a file of about so many bytes has room if it lies on the database's
    /// disk, and otherwise nothing.
    pub fn has(&self, path: &Path, bytes: u64) -> io::Result<()> {
        if !is_on(&self.space.dir, parent(path)) {
            return Ok(());
        }
        let left = self.space.left();
        if left >= self.space.floor_bytes.saturating_add(bytes) { Ok(()) } else { Err(full(left)) }
    }

    /// That so many bytes more may be written.
    pub(in crate::store) fn take(&mut self, bytes: usize) -> io::Result<()> {
        self.taken = self.taken.saturating_add(bytes as u64);
        if !self.watched || self.taken < LOOK_BYTES {
            return Ok(());
        }
        self.taken = 0;
        let left = self.space.left();
        if left >= self.space.floor_bytes { Ok(()) } else { Err(full(left)) }
    }
}

fn full(left: u64) -> io::Error {
    let problem = format!(
        "the disk of the database has {} MiB left, which the database itself needs",
        left >> 20
    );
    io::Error::new(io::ErrorKind::StorageFull, problem)
}

/// Whether both are on one file system; where that cannot be told they are.
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
        let room = |floor| DiskBudget::beside(dir.path(), &path, floor);
        room(0).has(&path, 1).unwrap();
        let refused = room(0).has(&path, u64::MAX).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        let mut file = PrivateFile::create(&path).unwrap().leaving(room(u64::MAX));
        let refused = file.write_all(b"one byte is too many").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut file = PrivateFile::create(&path).unwrap().leaving(room(0));
        file.write_all(&vec![0; 3 << 20]).unwrap();
        assert_eq!(file.finish_new().unwrap(), 3 << 20);
    }
}
