//! The last bundle that was fetched, as it came: sealed.
//!
//! ```text
//! <cache>/coffer/<SHA-256 of server, environment, workload>.age   0600, in a directory of 0700
//! <cache>   $XDG_CACHE_HOME, or ~/.cache (XDG Base Directory Specification)
//! ```
//!
//! Must never: hold anything that is not sealed; be a reason for a command not to
//! run.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::store::PrivateFile;

/// The place of one bundle.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
}

/// What was kept, and how old it is.
#[derive(Debug)]
pub(super) struct Kept {
    pub sealed: Vec<u8>,
    pub age: Duration,
}

impl Cache {
    /// Where the bundle of a workload is kept; `None` without a home.
    pub fn of(server: &str, environment: &str, workload: &str) -> Option<Self> {
        let absolute =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        let mut name = String::new();
        let digest = crate::vault::name_digest(&[server, environment, workload]);
        for byte in digest {
            let _ = write!(name, "{byte:02x}");
        }
        Some(Self { path: base.join("coffer").join(format!("{name}.age")) })
    }

    /// Keeps a bundle in place of the one before.
    pub fn keep(&self, sealed: &[u8]) -> io::Result<()> {
        let directory = self.path.parent().expect("the path was joined from a directory");
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
        let mut file = PrivateFile::create(&self.path)?;
        io::Write::write_all(&mut file, sealed)?;
        file.finish().map(drop)
    }

    /// What was kept last.
    pub fn kept(&self) -> io::Result<Kept> {
        let sealed = std::fs::read(&self.path)?;
        let at = std::fs::metadata(&self.path)?.modified()?;
        // One from the future is of a clock that was wrong: as good as new.
        let age = SystemTime::now().duration_since(at).unwrap_or_default();
        Ok(Kept { sealed, age })
    }

    /// What the server does not want to be used any more goes.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
