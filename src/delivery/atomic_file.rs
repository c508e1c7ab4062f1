//! Replaces a file atomically, and only in a directory that nobody else can tamper with.
//!
//! ```text
//! <directory>/.NAME.coffer   temporary, 0600; a leftover of an interrupted write is replaced
//! <directory>/NAME           the temporary file is renamed to this once it is complete and synced
//! ```
//!
//! The directory is opened once, and everything is done relative to that handle, so that nobody can
//! swap it in between. Its path must not contain a symbolic link, and it must belong to root or the
//! server's user and be writable by nobody else. The directories above it must not be writable by
//! others either, unless they are sticky.
//!
//! Owns: these checks, and the order of write, sync and rename.
//! Must never: follow a link, write through one, or leave an incomplete file under its name.
//! Called by: `keep_delivering`.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, openat, renameat,
    statat, unlinkat,
};

/// The reason why a file was not replaced. The old file stays.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Another user could tamper with the file.
    #[error("{}: {why}", path.display())]
    Unsafe {
        /// The directory or file.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
}

/// The mode, owner and group of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAttributes {
    /// The mode, as for `chmod`.
    pub mode: u32,
    /// The owner; by default the server's user.
    pub owner: Option<u32>,
    /// The group; by default the server's group.
    pub group: Option<u32>,
}

impl FileAttributes {
    fn owner(&self) -> u32 {
        self.owner.unwrap_or(rustix::process::geteuid().as_raw())
    }

    fn group(&self) -> u32 {
        self.group.unwrap_or(rustix::process::getegid().as_raw())
    }
}

/// Whether the file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The file was replaced.
    Written,
    /// The file already had this content and these attributes.
    Unchanged,
}

/// Replaces a file unless it is already as wanted. `is_current` reports whether an open file has the
/// wanted content; `fill` writes that content into an empty file.
pub fn replace(
    path: &Path,
    attributes: &FileAttributes,
    is_current: impl Fn(&mut File) -> io::Result<bool>,
    fill: impl Fn(&mut File) -> io::Result<()>,
) -> Result<WriteOutcome, ReplaceError> {
    let io = |cause: io::Error| ReplaceError::Io { path: path.to_owned(), cause };
    let name = path.file_name().ok_or_else(|| io(io::ErrorKind::InvalidFilename.into()))?;
    let directory = open_directory(path.parent().unwrap_or(Path::new("/")))?;
    match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(io(error.into())),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
            let why = "exists but is not a regular file";
            return Err(ReplaceError::Unsafe { path: path.to_owned(), why });
        }
        Ok(stat) if has_attributes(&stat, attributes) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let same = openat(&directory, name, flags, Mode::empty())
                .map_err(io::Error::from)
                .and_then(|file| is_current(&mut File::from(file)));
            // A file that cannot be read is replaced.
            if same.unwrap_or(false) {
                return Ok(WriteOutcome::Unchanged);
            }
        }
        Ok(_) => {}
    }
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".coffer");
    let written = write(&directory, &temporary, attributes, fill).and_then(|()| {
        renameat(&directory, &temporary, &directory, name)?;
        directory.sync_all()
    });
    written.map_err(|cause| {
        // If this fails too, the leftover is 0600 and its name says what it is.
        let _ = unlinkat(&directory, &temporary, AtFlags::empty());
        io(cause)
    })?;
    Ok(WriteOutcome::Written)
}

fn write(
    directory: &File,
    temporary: &OsString,
    attributes: &FileAttributes,
    fill: impl Fn(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // Remove the leftover of an interrupted write.
    match unlinkat(directory, temporary, AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, temporary, flags, Mode::RUSR | Mode::WUSR)?);
    fill(&mut file)?;
    // Even if no owner or group is configured: a file created in a directory with the set-group-ID
    // bit gets the directory's group (inode(7)), and on macOS every file does.
    let stat = fstat(&file)?;
    let (owner, group) = (attributes.owner(), attributes.group());
    if stat.st_uid != owner || stat.st_gid != group {
        fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
    }
    fchmod(&file, mode(attributes))?;
    file.sync_all()
}

fn mode(attributes: &FileAttributes) -> Mode {
    Mode::from_raw_mode(attributes.mode as rustix::fs::RawMode)
}

fn has_attributes(stat: &Stat, attributes: &FileAttributes) -> bool {
    Mode::from_raw_mode(stat.st_mode) == mode(attributes)
        && stat.st_uid == attributes.owner()
        && stat.st_gid == attributes.group()
}

/// Opens a directory component by component from the root, so that no link is followed and every
/// directory on the path is checked.
fn open_directory(path: &Path) -> Result<File, ReplaceError> {
    let refuse = |at: &Path, why| ReplaceError::Unsafe { path: at.to_owned(), why };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let mut directory = open(CWD, Path::new("/"), flags, &at)?;
    let ours = rustix::process::geteuid().as_raw();
    for part in path.components().skip(1) {
        check(&directory, &at, ours, false)?;
        at.push(part);
        let name = Path::new(part.as_os_str());
        directory = match open(&directory, name, flags, &at) {
            // The errors for a link where a directory was requested.
            Err(ReplaceError::Io { cause, .. })
                if matches!(
                    cause.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR)
                ) =>
            {
                return Err(refuse(&at, "is a symbolic link or not a directory"));
            }
            opened => opened?,
        };
    }
    check(&directory, &at, ours, true)?;
    Ok(directory)
}

fn open(
    from: impl std::os::fd::AsFd,
    name: &Path,
    flags: OFlags,
    at: &Path,
) -> Result<File, ReplaceError> {
    let opened = openat(from, name, flags, Mode::empty());
    opened
        .map(File::from)
        .map_err(|error| ReplaceError::Io { path: at.to_owned(), cause: error.into() })
}

/// Fails if anyone but root and the server's user can replace entries of the directory.
fn check(directory: &File, at: &Path, ours: u32, is_last: bool) -> Result<(), ReplaceError> {
    let refuse = |why| Err(ReplaceError::Unsafe { path: at.to_owned(), why });
    let stat = fstat(directory)
        .map_err(|error| ReplaceError::Io { path: at.to_owned(), cause: error.into() })?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if ![0, ours].contains(&stat.st_uid) {
        return refuse("belongs to another user, who could replace the file");
    }
    let is_sticky = !is_last && mode.contains(Mode::SVTX);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !is_sticky {
        return refuse("is writable by other users, who could replace the file; run chmod go-w");
    }
    Ok(())
}
