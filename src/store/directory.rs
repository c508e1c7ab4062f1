//! Directories whose entries survive a power cut.
//!
//! Owns: creating directories, syncing them, and opening a file to lock it.
//! Must never: report a directory as created before its name is durable.
//! Called by: every file of `store` that touches the disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates a directory and its missing parents, readable by their owner only. Each of them is
/// durable when this returns.
pub fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent(dir);
    if parent != dir {
        make_directory(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    // Regardless of the umask.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

/// Opens a file for locking. It is opened for writing because network file systems refuse to lock a
/// file that is open only for reading; see flock(2).
pub(super) fn open_to_lock(path: &Path) -> io::Result<fs::File> {
    fs::File::options().read(true).write(true).open(path)
}

pub(super) fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

pub(super) fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
