//! Directories whose entries survive a power cut.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes a directory with all that lead to it, for their owner only, each of them
/// durable.
pub fn make_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent(dir);
    if parent != dir {
        make_directory(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    // Whatever the umask is.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

/// A file that can be locked: where locks go over a network, only one that is open
/// for writing can be, says flock(2).
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
