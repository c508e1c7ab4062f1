//! The copy that is made before anything is repaired.
//!
//! Must never: be readable by others, count as made before it is durable, or
//! fill the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsideError {
    /// It would not fit.
    #[error(
        "a copy of {path} needs {needed} bytes, and {free} are free; make room, or move the directory to a larger disk"
    )]
    Room { path: PathBuf, needed: u64, free: u64 },
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
}

/// Room that must be left over: the copy is not to stop the server.
const LEFT_OVER_BYTES: u64 = 128 << 20;

/// Copies the directory to a name beside it, and says which.
pub(super) fn copy(data_dir: &Path) -> Result<PathBuf, AsideError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |cause| AsideError::Io { path, cause }
    };
    // `data/` or `.` have no name that another could be put beside.
    let data_dir = &data_dir.canonicalize().map_err(at(data_dir))?;
    let needed = size(data_dir).map_err(at(data_dir))?.saturating_add(LEFT_OVER_BYTES);
    let stat = rustix::fs::statvfs(data_dir).map_err(io::Error::from).map_err(at(data_dir))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        return Err(AsideError::Room { path: data_dir.clone(), needed, free });
    }
    let copy = (1u32..)
        .map(|n| {
            let mut name = data_dir.as_os_str().to_owned();
            name.push(format!(".before-repair.{n}"));
            PathBuf::from(name)
        })
        .find(|path| path.symlink_metadata().is_err())
        .expect("there are more numbers than directories");
    copy_directory(data_dir, &copy).map_err(at(&copy))?;
    sync(copy.parent().unwrap_or(&copy)).map_err(at(&copy))?;
    Ok(copy)
}

fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&path, &to)?;
        } else if kind.is_symlink() {
            #[cfg(unix)]
            std::os::unix::fs::symlink(fs::read_link(&path)?, &to)?;
        } else if kind.is_file() {
            copy_file(&path, &to)?;
        }
    }
    sync(to)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut copy = options.open(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
