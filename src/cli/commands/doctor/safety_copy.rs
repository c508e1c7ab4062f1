//! The copy of the data directory that a repair makes first.
//!
//! Must never: be readable by other users; have its final name before it is complete and durable;
//! fill the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why the data directory could not be copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum SafetyCopyError {
    /// The disk is too full.
    #[error(
        "not enough disk space: a copy of {path} in {parent} needs {needed} bytes, {free} are free"
    )]
    DiskFull { path: PathBuf, parent: PathBuf, needed: u64, free: u64 },
    /// The copy would be part of itself.
    #[error("{parent} is inside the directory to copy")]
    Inside { parent: PathBuf },
    /// Copying the link would not copy what it points to.
    #[error(
        "{path} is a symbolic link to a directory, which is supported only for the database itself"
    )]
    Link { path: PathBuf },
    /// A file operation failed.
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
}

/// The free space that must remain, so that the copy does not stop the server.
const REMAINING_BYTES: u64 = 128 << 20;
/// The suffix of an incomplete copy.
const PART: &str = ".part";

fn at(path: &Path) -> impl FnOnce(io::Error) -> SafetyCopyError + use<> {
    let path = path.to_owned();
    move |cause| SafetyCopyError::Io { path, cause }
}

/// Copies the data directory to a new directory next to it, or in `into`, and returns its path.
pub(super) fn create(data_dir: &Path, into: Option<&Path>) -> Result<PathBuf, SafetyCopyError> {
    // Resolved first, because paths such as `.` have no name to derive another from.
    let data_dir = &data_dir.canonicalize().map_err(at(data_dir))?;
    let parent = into.unwrap_or_else(|| data_dir.parent().unwrap_or(data_dir));
    let parent = &parent.canonicalize().map_err(at(parent))?;
    if parent.starts_with(data_dir) {
        return Err(SafetyCopyError::Inside { parent: parent.clone() });
    }
    let needed = size(data_dir, true)?.saturating_add(REMAINING_BYTES);
    let stat = rustix::fs::statvfs(parent).map_err(io::Error::from).map_err(at(parent))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        let (path, parent) = (data_dir.clone(), parent.clone());
        return Err(SafetyCopyError::DiskFull { path, parent, needed, free });
    }
    let (copy, part) = unused_name(data_dir, parent);
    copy_directory(data_dir, &part, true)
        .and_then(|()| fs::rename(&part, &copy).map_err(at(&copy)))
        .and_then(|()| sync(parent).map_err(at(parent)))
        .inspect_err(|_| {
            // An incomplete copy looks like a data directory, and may contain the root key.
            if let Err(error) = fs::remove_dir_all(&part)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::error!(
                    "cannot remove {}, which is an incomplete copy: {error}",
                    part.display()
                );
            }
        })?;
    Ok(copy)
}

/// Picks an unused name for the copy, and its name while it is incomplete.
fn unused_name(data_dir: &Path, parent: &Path) -> (PathBuf, PathBuf) {
    let name = |n: u32, end: &str| {
        let mut name = data_dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-repair.{n}{end}"));
        parent.join(name)
    };
    (1u32..)
        .map(|n| (name(n, ""), name(n, PART)))
        .find(|(copy, part)| [copy, part].iter().all(|path| path.symlink_metadata().is_err()))
        .expect("there are more numbers than directories")
}

/// How to copy a directory entry.
enum EntryKind {
    Directory,
    File(u64),
    /// A symbolic link to a file, copied as a link: a key outside the directory stays outside.
    Link,
    /// A socket or similar, which is not copied.
    Other,
}

/// `top` is whether the entry is in the data directory itself, where the database may be a link.
fn kind(entry: &fs::DirEntry, top: bool) -> Result<EntryKind, SafetyCopyError> {
    let path = entry.path();
    let metadata = entry.metadata().map_err(at(&path))?;
    Ok(match metadata.file_type() {
        kind if kind.is_dir() => EntryKind::Directory,
        kind if kind.is_file() => EntryKind::File(metadata.len()),
        kind if !kind.is_symlink() => EntryKind::Other,
        _ if !path.is_dir() => EntryKind::Link,
        _ if top && entry.file_name() == "db" => EntryKind::Directory,
        _ => return Err(SafetyCopyError::Link { path }),
    })
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, SafetyCopyError> {
    fs::read_dir(dir).and_then(Iterator::collect).map_err(at(dir))
}

fn size(dir: &Path, top: bool) -> Result<u64, SafetyCopyError> {
    let mut bytes = 0u64;
    for entry in entries(dir)? {
        bytes = bytes.saturating_add(match kind(&entry, top)? {
            EntryKind::Directory => size(&entry.path(), false)?,
            EntryKind::File(bytes) => bytes,
            EntryKind::Link | EntryKind::Other => 0,
        });
    }
    Ok(bytes)
}

fn copy_directory(from: &Path, to: &Path, top: bool) -> Result<(), SafetyCopyError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(to).map_err(at(to))?;
    for entry in entries(from)? {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match kind(&entry, top)? {
            EntryKind::Directory => copy_directory(&path, &to, false)?,
            EntryKind::File(_) => copy_file(&path, &to)?,
            EntryKind::Link => {
                #[cfg(unix)]
                fs::read_link(&path)
                    .and_then(|target| std::os::unix::fs::symlink(target, &to))
                    .map_err(at(&path))?;
            }
            EntryKind::Other => {}
        }
    }
    sync(to).map_err(at(to))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), SafetyCopyError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Apart, so that the error names the right file.
    let mut source = File::open(from).map_err(at(from))?;
    let mut copy = options.open(to).map_err(at(to))?;
    io::copy(&mut source, &mut copy)
        .and_then(|_| copy.sync_all())
        .map_err(|cause| SafetyCopyError::Io { path: to.to_owned(), cause })
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
