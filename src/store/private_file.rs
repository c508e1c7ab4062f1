//! Files that only their owner may read: keys and tokens in the data directory,
//! backups.
//!
//! ```text
//! <name>.PID-N.part   not whole yet: the whole name, this process, the how many-eth
//! <name>              whole and durable
//! ```
//!
//! Must never: write into, or remove, a file that is not its own half. The half's
//! name is longer than the file's, so it is never the file itself, and it is made
//! anew, so it is never another file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::disk_budget::DiskBudget;

/// Writes a line to a file that only its owner can read, durably, replacing
/// what is there at once or not at all.
pub fn write_private(path: &Path, line: &str) -> io::Result<()> {
    with_line(path, line)?.finish().map(drop)
}

/// Likewise, to a file that must not be there yet.
pub fn write_new_private(path: &Path, line: &str) -> io::Result<()> {
    with_line(path, line)?.finish_new().map(drop)
}

fn with_line(path: &Path, line: &str) -> io::Result<PrivateFile> {
    let mut file = PrivateFile::create(path)?;
    file.write_all(line.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file)
}

/// A file of any length that only its owner can read. It has its name once it
/// is whole and durable, and not before.
#[derive(Debug)]
pub struct PrivateFile {
    file: fs::File,
    half: Option<PathBuf>,
    path: PathBuf,
    room: Option<DiskBudget>,
}

impl PrivateFile {
    /// What the names of files that are not whole end in.
    pub const HALF: &str = ".part";

    /// Begins one. The half has the process's number in its name, so that two
    /// processes never write into each other's.
    pub fn create(path: &Path) -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);

        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}{}", std::process::id(), Self::HALF));
        let half = path.with_file_name(name);
        let mut options = fs::OpenOptions::new();
        // Not through a link that somebody has put there meanwhile.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&half) {
            // Of a process that had this number before and was killed: in a
            // container every server has the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&half)?;
                options.open(&half)?
            }
            opened => opened?,
        };
        Ok(Self { file, half: Some(half), path: path.to_owned(), room: None })
    }

    /// It ends with an error rather than take the last room of a database.
    #[must_use]
    pub fn leaving(mut self, room: DiskBudget) -> Self {
        self.room = Some(room);
        self
    }

    /// Gives the file its name, from another that may have it; how long it is.
    pub fn finish(self) -> io::Result<u64> {
        self.named(|half, path| fs::rename(half, path))
    }

    /// Gives the file its name, which no other may have: `AlreadyExists`.
    pub fn finish_new(self) -> io::Result<u64> {
        self.named(rename_new)
    }

    fn named(mut self, name: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        if let Some(half) = &self.half {
            name(half, &self.path)?;
        }
        self.half = None;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(bytes)
    }
}

/// Renames to a name that nothing has. In one step where the file system can do
/// that, which is nearly everywhere.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let cannot = |error: &io::Error| {
        use io::ErrorKind as Kind;

        matches!(error.kind(), Kind::InvalidInput | Kind::Unsupported | Kind::PermissionDenied)
    };
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};

        let renamed = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
        match renamed.map_err(io::Error::from) {
            Err(error) if cannot(&error) => {}
            done => return done,
        }
    }
    match fs::hard_link(from, to) {
        Err(error) if cannot(&error) => {}
        done => return done.and_then(|()| fs::remove_file(from)),
    }
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(room) = &mut self.room {
            room.take(bytes.len())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if let Some(half) = &self.half {
            // What stays says by its name that it is only a half.
            let _ = fs::remove_file(half);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| name(entry).into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The half was `<stem>.new`, whatever stood there.
    #[test]
    fn a_neighbour_whose_name_ends_in_new_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["root.key.new", "root.key.previous", "root.new", "root.key"] {
            fs::write(at(name), name).unwrap();
        }
        for name in ["root.key", "root.key.previous", "root.key.new"] {
            write_private(&at(name), "other").unwrap();
            assert_eq!(fs::read_to_string(at(name)).unwrap(), "other\n");
        }
        assert_eq!(fs::read_to_string(at("root.new")).unwrap(), "root.new");
        assert_eq!(names(dir.path()).len(), 4);
    }

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let half = PrivateFile::create(&path).unwrap();
        fs::write(&path, "somebody was faster").unwrap();
        let refused = half.finish_new().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody was faster");
        assert_eq!(names(dir.path()), ["a"]);
        write_new_private(&dir.path().join("b"), "new").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), "new\n");
    }

    #[test]
    fn two_halves_of_one_file_are_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let (mut first, mut second) =
            (PrivateFile::create(&path).unwrap(), PrivateFile::create(&path).unwrap());
        first.write_all(b"first").unwrap();
        second.write_all(b"second").unwrap();
        first.finish().unwrap();
        second.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(names(dir.path()), ["a"]);
    }
}
