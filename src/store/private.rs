//! Files that only their owner may read: keys and tokens in the data directory.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a line to a file that only its owner can read, durably, replacing
/// what is there at once or not at all.
pub fn write_private(path: &Path, line: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let half = path.with_extension("new");
    // A left-over of a crash could have another owner's permissions.
    match fs::remove_file(&half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options.open(&half)?;
    file.write_all(line.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    sync_parent(path)
}

/// Likewise, to a file that must not be there yet.
pub fn write_new_private(path: &Path, line: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file of any length that only its owner can read. It has its name once it
/// is whole and durable, and not before.
#[derive(Debug)]
pub struct PrivateFile {
    file: fs::File,
    half: Option<PathBuf>,
    path: PathBuf,
}

impl PrivateFile {
    /// What the names of files that are not whole end in.
    pub const HALF: &str = ".part";

    /// Begins one. The half has the process's number in its name, so that two
    /// processes never write into each other's.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        name.push(format!(".{}{}", std::process::id(), Self::HALF));
        let half = path.with_file_name(name);
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        // Not through a link that somebody has put there meanwhile.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&half)?;
        Ok(Self { file, half: Some(half), path: path.to_owned() })
    }

    /// Gives the file its name; how long it is.
    pub fn finish(mut self) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        if let Some(half) = self.half.take() {
            fs::rename(&half, &self.path)?;
        }
        match self.path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => {
                fs::File::open(directory)?.sync_all()?;
            }
            _ => fs::File::open(".")?.sync_all()?,
        }
        Ok(bytes)
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
