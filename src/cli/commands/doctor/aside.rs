//! The copy that is made before anything is repaired.
//!
//! Must never: be readable by others, count as made before it is whole and
//! durable, or fill the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum AsideError {
    /// It would not fit.
    #[error("a copy of {path} in {parent} needs {needed} bytes, and {free} are free; make room")]
    Room { path: PathBuf, parent: PathBuf, needed: u64, free: u64 },
    /// It would be copied into itself.
    #[error("{parent} is in the directory that is to be copied")]
    Inside { parent: PathBuf },
    /// A copy of the link would be none of what it leads to.
    #[error("{path} is a link to a directory; only the database itself may be one")]
    Link { path: PathBuf },
    /// The file system refused.
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
}

/// Room that must be left over: the copy is not to stop the server.
const LEFT_OVER_BYTES: u64 = 128 << 20;
/// What the names of copies that are not whole end in.
const HALF: &str = ".part";

fn at(path: &Path) -> impl FnOnce(io::Error) -> AsideError + use<> {
    let path = path.to_owned();
    move |cause| AsideError::Io { path, cause }
}

/// Copies the directory to a name beside it, or into a directory that is given,
/// and says where.
pub(super) fn copy(data_dir: &Path, into: Option<&Path>) -> Result<PathBuf, AsideError> {
    // `data/` or `.` have no name that another could be put beside.
    let data_dir = &data_dir.canonicalize().map_err(at(data_dir))?;
    let parent = into.unwrap_or_else(|| data_dir.parent().unwrap_or(data_dir));
    let parent = &parent.canonicalize().map_err(at(parent))?;
    if parent.starts_with(data_dir) {
        return Err(AsideError::Inside { parent: parent.clone() });
    }
    let needed = size(data_dir, true)?.saturating_add(LEFT_OVER_BYTES);
    let stat = rustix::fs::statvfs(parent).map_err(io::Error::from).map_err(at(parent))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < needed {
        let (path, parent) = (data_dir.clone(), parent.clone());
        return Err(AsideError::Room { path, parent, needed, free });
    }
    let (copy, half) = free_name(data_dir, parent);
    copy_directory(data_dir, &half, true)
        .and_then(|()| fs::rename(&half, &copy).map_err(at(&copy)))
        .and_then(|()| sync(parent).map_err(at(parent)))
        .inspect_err(|_| {
            // It looks like a data directory, and may hold the root key.
            if let Err(error) = fs::remove_dir_all(&half)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::error!("remove {}, a copy that is not whole: {error}", half.display());
            }
        })?;
    Ok(copy)
}

/// A name that is not taken, and the one that it has until it is whole.
fn free_name(data_dir: &Path, parent: &Path) -> (PathBuf, PathBuf) {
    let name = |n: u32, end: &str| {
        let mut name = data_dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".before-repair.{n}{end}"));
        parent.join(name)
    };
    (1u32..)
        .map(|n| (name(n, ""), name(n, HALF)))
        .find(|(copy, half)| [copy, half].iter().all(|path| path.symlink_metadata().is_err()))
        .expect("there are more numbers than directories")
}

/// What to copy of an entry.
enum Kind {
    Directory,
    File(u64),
    /// A link to a file: a key that is elsewhere stays elsewhere.
    Link,
    /// A socket or the like.
    Other,
}

/// `top` is the data directory, where a link may lead to the database.
fn kind(entry: &fs::DirEntry, top: bool) -> Result<Kind, AsideError> {
    let path = entry.path();
    let metadata = entry.metadata().map_err(at(&path))?;
    Ok(match metadata.file_type() {
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_file() => Kind::File(metadata.len()),
        kind if !kind.is_symlink() => Kind::Other,
        _ if !path.is_dir() => Kind::Link,
        _ if top && entry.file_name() == "db" => Kind::Directory,
        _ => return Err(AsideError::Link { path }),
    })
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, AsideError> {
    fs::read_dir(dir).and_then(Iterator::collect).map_err(at(dir))
}

fn size(dir: &Path, top: bool) -> Result<u64, AsideError> {
    let mut bytes = 0u64;
    for entry in entries(dir)? {
        bytes = bytes.saturating_add(match kind(&entry, top)? {
            Kind::Directory => size(&entry.path(), false)?,
            Kind::File(bytes) => bytes,
            Kind::Link | Kind::Other => 0,
        });
    }
    Ok(bytes)
}

fn copy_directory(from: &Path, to: &Path, top: bool) -> Result<(), AsideError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(to).map_err(at(to))?;
    for entry in entries(from)? {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        match kind(&entry, top)? {
            Kind::Directory => copy_directory(&path, &to, false)?,
            Kind::File(_) => copy_file(&path, &to)?,
            Kind::Link => {
                #[cfg(unix)]
                fs::read_link(&path)
                    .and_then(|leads_to| std::os::unix::fs::symlink(leads_to, &to))
                    .map_err(at(&path))?;
            }
            Kind::Other => {}
        }
    }
    sync(to).map_err(at(to))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), AsideError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Which of the two it was matters to whoever reads it.
    let mut source = File::open(from).map_err(at(from))?;
    let mut copy = options.open(to).map_err(at(to))?;
    io::copy(&mut source, &mut copy)
        .and_then(|_| copy.sync_all())
        .map_err(|cause| AsideError::Io { path: to.to_owned(), cause })
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
