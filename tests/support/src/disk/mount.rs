//! The FUSE side of the disk. The kernel caches nothing: after a power cut it must not remember
//! what the disk has lost.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::Disk;
use super::state::{Content, Fault, State};
use crate::process::has_program;

/// How long the kernel may cache an answer.
const NOT_AT_ALL: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
/// More blocks than any free-space minimum requires.
const BLOCKS: u64 = 1 << 20;

/// A mounted disk. Dropping it unmounts it.
#[derive(Debug)]
pub struct Mounted(#[allow(dead_code)] BackgroundSession);

pub fn mount(disk: Disk, at: &Path) -> Result<Mounted, String> {
    if !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse".to_owned());
    }
    if !has_program("fusermount3") {
        return Err("there is no fusermount3; install fuse3".to_owned());
    }
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("coffer-test-disk".to_owned())];
    let mounted = fuser::spawn_mount(disk, at, &config);
    mounted.map(Mounted).map_err(|error| format!("FUSE cannot be mounted: {error}"))
}

impl From<Fault> for Errno {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io => Self::EIO,
            Fault::Full => Self::ENOSPC,
            Fault::NotFound => Self::ENOENT,
            Fault::Exists => Self::EEXIST,
            Fault::NotEmpty => Self::ENOTEMPTY,
            Fault::WrongKind => Self::EINVAL,
        }
    }
}

fn attributes(state: &State, number: u64) -> Result<FileAttr, Fault> {
    let node = state.node(number)?;
    let (kind, size) = match &node.content {
        Content::File(bytes) => (FileType::RegularFile, bytes.len() as u64),
        Content::Directory(_) => (FileType::Directory, 0),
    };
    let epoch = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind,
        perm: (node.mode & 0o7777) as u16,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

impl Disk {
    /// Performs an operation on the disk and, if it fails, wakes the threads that wait for a power
    /// cut.
    fn on<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Fault>) -> Result<T, Errno> {
        let outcome = act(&mut self.state());
        if outcome.is_err() {
            self.0.1.notify_all();
        }
        outcome.map_err(Errno::from)
    }
}

/// Replies with the outcome of an operation.
macro_rules! answer {
    ($reply:ident, $outcome:expr, $good:expr) => {
        match $outcome {
            Ok(found) => $good(found),
            Err(error) => $reply.error(error),
        }
    };
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.on(|state| attributes(state, state.find(parent.0, name)?));
        answer!(reply, found, |found| reply.entry(&NOT_AT_ALL, &found, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.on(|state| attributes(state, ino.0));
        answer!(reply, found, |found| reply.attr(&NOT_AT_ALL, &found));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let found = self.on(|state| {
            if let Some(mode) = mode {
                state.set_mode(ino.0, mode)?;
            }
            if let Some(bytes) = size {
                state.set_length(ino.0, bytes as usize)?;
            }
            attributes(state, ino.0)
        });
        answer!(reply, found, |found| reply.attr(&NOT_AT_ALL, &found));
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let made = self.on(|state| {
            let content = Content::Directory(Default::default());
            let number = state.make(parent.0, name, content, mode & !umask)?;
            attributes(state, number)
        });
        answer!(reply, made, |made| reply.entry(&NOT_AT_ALL, &made, Generation(0)));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.on(|state| {
            let number = state.make(parent.0, name, Content::File(Vec::new()), mode & !umask)?;
            attributes(state, number)
        });
        answer!(reply, made, |made| reply.created(
            &NOT_AT_ALL,
            &made,
            Generation(0),
            FileHandle(0),
            FopenFlags::FOPEN_DIRECT_IO,
        ));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.on(|state| state.remove(parent.0, name));
        answer!(reply, removed, |()| reply.ok());
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.on(|state| state.remove(parent.0, name));
        answer!(reply, removed, |()| reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.on(|state| state.rename((parent.0, name), (new_parent.0, new_name)));
        answer!(reply, renamed, |()| reply.ok());
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let found = self.on(|state| state.file(ino.0).map(drop));
        answer!(reply, found, |()| reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO));
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.on(|state| {
            let bytes = state.file(ino.0)?;
            let from = bytes.len().min(offset as usize);
            let to = bytes.len().min(from + size as usize);
            Ok(bytes[from..to].to_vec())
        });
        answer!(reply, read, |read: Vec<u8>| reply.data(&read));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.on(|state| state.write(ino.0, offset as usize, data));
        answer!(reply, written, |()| reply.written(data.len() as u32));
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file does not sync it.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.on(|state| state.sync(ino.0));
        answer!(reply, synced, |()| reply.ok());
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.on(|state| state.sync(ino.0));
        answer!(reply, synced, |()| reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.on(|state| {
            let mut listed = Vec::new();
            for (name, number) in state.entries(ino.0)? {
                listed.push((attributes(state, *number)?, name.clone()));
            }
            Ok(listed)
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(error),
        };
        for (number, (of, name)) in listed.iter().enumerate().skip(offset as usize) {
            if reply.add(of.ino, number as u64 + 1, of.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}
