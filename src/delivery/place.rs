//! Putting a file where it belongs: in one step, and only where nobody else could
//! have a hand in it.
//!
//! ```text
//! <directory>/.NAME.coffer   being written, 0600; one that was cut off is replaced
//! <directory>/NAME           renamed to, when it is whole and synced
//! ```
//!
//! The directory is opened once, and everything is done relative to that handle,
//! so that nobody can exchange it on the way. It must be reached without a
//! symbolic link, belong to root or to the server's user, and be writable to
//! nobody else; nor may any directory above it be writable to others, unless it
//! is sticky.
//!
//! Must never: follow a link, write through one, or leave a file that is not
//! whole under its name.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, openat, renameat,
    statat, unlinkat,
};

/// Why a file was not put in place. What was there before stays.
#[derive(Debug, thiserror::Error)]
pub enum NotPlaced {
    /// The directory could belong to somebody else, or be written by them.
    #[error("{}: {why}", path.display())]
    Unsafe {
        /// Which directory or file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which directory or file.
        path: PathBuf,
        /// What it said.
        cause: io::Error,
    },
}

/// What a file is to be, besides what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Its mode, as for `chmod`.
    pub mode: u32,
    /// Its owner; the server's user, if there is none.
    pub owner: Option<u32>,
    /// Its group, likewise.
    pub group: Option<u32>,
}

impl Attributes {
    fn owner(&self) -> u32 {
        self.owner.unwrap_or(rustix::process::geteuid().as_raw())
    }

    fn group(&self) -> u32 {
        self.group.unwrap_or(rustix::process::getegid().as_raw())
    }
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// A new file is there.
    Written,
    /// There was the same already.
    Unchanged,
}

/// Puts a file in place. `holds` says whether an open file holds what is wanted,
/// `fill` writes that into an empty one.
pub fn place(
    path: &Path,
    attributes: &Attributes,
    holds: impl Fn(&mut File) -> io::Result<bool>,
    fill: impl Fn(&mut File) -> io::Result<()>,
) -> Result<Placed, NotPlaced> {
    let io = |cause: io::Error| NotPlaced::Io { path: path.to_owned(), cause };
    let name = path.file_name().ok_or_else(|| io(io::ErrorKind::InvalidFilename.into()))?;
    let directory = open_directory(path.parent().unwrap_or(Path::new("/")))?;
    match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(io(error.into())),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
            let why = "is a link, a directory or something else that is no file";
            return Err(NotPlaced::Unsafe { path: path.to_owned(), why });
        }
        Ok(stat) if has(&stat, attributes) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let same = openat(&directory, name, flags, Mode::empty())
                .map_err(io::Error::from)
                .and_then(|file| holds(&mut File::from(file)));
            // One that cannot be read is replaced.
            if same.unwrap_or(false) {
                return Ok(Placed::Unchanged);
            }
        }
        Ok(_) => {}
    }
    let mut half = OsString::from(".");
    half.push(name);
    half.push(".coffer");
    let written = write(&directory, &half, attributes, fill).and_then(|()| {
        renameat(&directory, &half, &directory, name)?;
        directory.sync_all()
    });
    written.map_err(|cause| {
        // What stays is 0600 and says by its name what it is.
        let _ = unlinkat(&directory, &half, AtFlags::empty());
        io(cause)
    })?;
    Ok(Placed::Written)
}

fn write(
    directory: &File,
    half: &OsString,
    attributes: &Attributes,
    fill: impl Fn(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    // One of ours that was cut off.
    match unlinkat(directory, half, AtFlags::empty()) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, half, flags, Mode::RUSR | Mode::WUSR)?);
    fill(&mut file)?;
    // Also where none was named: a file that is made in a directory with the set-group-ID
    // bit has that directory's group (inode(7)), and on macOS every file has.
    let made = fstat(&file)?;
    let (owner, group) = (attributes.owner(), attributes.group());
    if made.st_uid != owner || made.st_gid != group {
        fchown(&file, Some(Uid::from_raw(owner)), Some(Gid::from_raw(group)))?;
    }
    fchmod(&file, mode(attributes))?;
    file.sync_all()
}

fn mode(attributes: &Attributes) -> Mode {
    Mode::from_raw_mode(attributes.mode as rustix::fs::RawMode)
}

fn has(stat: &Stat, attributes: &Attributes) -> bool {
    Mode::from_raw_mode(stat.st_mode) == mode(attributes)
        && stat.st_uid == attributes.owner()
        && stat.st_gid == attributes.group()
}

/// Opens a directory step by step from the root, so that no link is followed and
/// each one on the way is looked at.
fn open_directory(path: &Path) -> Result<File, NotPlaced> {
    let refuse = |at: &Path, why| NotPlaced::Unsafe { path: at.to_owned(), why };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let mut directory = open(CWD, Path::new("/"), flags, &at)?;
    let ours = rustix::process::geteuid().as_raw();
    for part in path.components().skip(1) {
        check(&directory, &at, ours, false)?;
        at.push(part);
        let name = Path::new(part.as_os_str());
        directory = match open(&directory, name, flags, &at) {
            // What it says of a link when it is asked for a directory.
            Err(NotPlaced::Io { cause, .. })
                if matches!(
                    cause.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
                    Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR)
                ) =>
            {
                return Err(refuse(&at, "is a symbolic link, or no directory"));
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
) -> Result<File, NotPlaced> {
    let opened = openat(from, name, flags, Mode::empty());
    opened
        .map(File::from)
        .map_err(|error| NotPlaced::Io { path: at.to_owned(), cause: error.into() })
}

/// That nobody but root and the server's user can exchange what is in it.
fn check(directory: &File, at: &Path, ours: u32, is_last: bool) -> Result<(), NotPlaced> {
    let refuse = |why| Err(NotPlaced::Unsafe { path: at.to_owned(), why });
    let stat = fstat(directory)
        .map_err(|error| NotPlaced::Io { path: at.to_owned(), cause: error.into() })?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if ![0, ours].contains(&stat.st_uid) {
        return refuse("belongs to another user, who could exchange the file");
    }
    let is_sticky = !is_last && mode.contains(Mode::SVTX);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !is_sticky {
        return refuse("can be written by others, who could exchange the file (chmod go-w)");
    }
    Ok(())
}
