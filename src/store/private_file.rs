//! Files that only their owner may read: keys and tokens in the data directory, and backups.
//!
//! ```text
//! <name>.PID-N.part   incomplete: full name, process id, and a counter
//! <name>              complete and durable
//! ```
//!
//! Owns: writing such a file and giving it its name once it is complete.
//! Must never: write to or remove a file other than its own partial file. That name is longer than
//! the final one, so it is never the final file, and the file is always created anew, so it is
//! never somebody else's.
//! Called by: everything that writes a key, a token or a backup.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::directory::{parent, sync_directory};
use crate::store::disk_budget::DiskBudget;

/// Writes a line durably to a file that only its owner can read. An existing file is replaced
/// atomically.
pub fn write_private(path: &Path, line: &str) -> io::Result<()> {
    with_line(path, line)?.finish().map(drop)
}

/// Writes a line durably to a new file that only its owner can read; fails if `path` exists.
pub fn write_new_private(path: &Path, line: &str) -> io::Result<()> {
    with_line(path, line)?.finish_new().map(drop)
}

fn with_line(path: &Path, line: &str) -> io::Result<PrivateFile> {
    let mut file = PrivateFile::create(path)?;
    file.write_all(line.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(file)
}

/// A file that only its owner can read. It gets its name once it is complete and durable.
#[derive(Debug)]
pub struct PrivateFile {
    file: fs::File,
    partial: Option<PathBuf>,
    path: PathBuf,
    budget: Option<DiskBudget>,
}

impl PrivateFile {
    /// The suffix of incomplete files.
    pub const PARTIAL: &str = ".part";

    /// Starts a file. The partial file's name contains the process id, so that two processes never
    /// write to the same one.
    pub fn create(path: &Path) -> io::Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);

        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}{}", std::process::id(), Self::PARTIAL));
        let partial = path.with_file_name(name);
        let mut options = fs::OpenOptions::new();
        // Must not follow a link that somebody has placed there.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&partial) {
            // Left by a killed process that had the same id; in a container, every server does.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&partial)?;
                options.open(&partial)?
            }
            opened => opened?,
        };
        Ok(Self { file, partial: Some(partial), path: path.to_owned(), budget: None })
    }

    /// Makes writes fail once they would use up the space that the database needs.
    #[must_use]
    pub fn within(mut self, budget: DiskBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Gives the file its name, replacing any file that has it, and returns its length.
    pub fn finish(self) -> io::Result<u64> {
        self.named(|partial, path| fs::rename(partial, path))
    }

    /// Gives the file its name and returns its length; fails with `AlreadyExists` if the name is
    /// taken.
    pub fn finish_new(self) -> io::Result<u64> {
        self.named(rename_new)
    }

    fn named(mut self, name: impl FnOnce(&Path, &Path) -> io::Result<()>) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        if let Some(partial) = &self.partial {
            name(partial, &self.path)?;
        }
        self.partial = None;
        sync_directory(parent(&self.path))?;
        Ok(bytes)
    }
}

/// Renames a file, failing if the new name is taken. Atomic wherever the file system supports that,
/// which is nearly everywhere.
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
        if let Some(budget) = &mut self.budget {
            budget.spend(bytes.len())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // If this fails, the file's name still marks it as incomplete.
            let _ = fs::remove_file(partial);
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

    /// The partial file used to be `<stem>.new`, overwriting any file of that name.
    #[test]
    fn a_neighbor_whose_name_ends_in_new_is_not_touched() {
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
        let partial = PrivateFile::create(&path).unwrap();
        fs::write(&path, "somebody was faster").unwrap();
        let refused = partial.finish_new().unwrap_err();
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
