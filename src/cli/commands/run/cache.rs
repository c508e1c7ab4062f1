//! The offline cache: the last bundle that was fetched, still sealed.
//!
//! ```text
//! <cache>/coffer/<SHA-256 of server, environment, workload>.age   0600, in a directory of 0700
//! <cache>   $XDG_CACHE_HOME, or ~/.cache (XDG Base Directory Specification)
//! ```
//!
//! Must never: contain anything that is not sealed; keep a program from being run.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::domain::encode_hex;
use crate::store::PrivateFile;
use crate::vault::name_digest;

/// The cache file of one bundle.
#[derive(Debug)]
pub(super) struct BundleCache {
    path: PathBuf,
}

/// A bundle from the cache, and its age.
#[derive(Debug)]
pub(super) struct CachedBundle {
    pub sealed: Vec<u8>,
    pub age: Duration,
}

impl BundleCache {
    /// The cache file of a workload's bundle; `None` without a home directory.
    pub fn of(server: &str, environment: &str, workload: &str) -> Option<Self> {
        let absolute =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        let name = encode_hex(&name_digest(&[server, environment, workload]));
        Some(Self { path: base.join("coffer").join(format!("{name}.age")) })
    }

    /// Replaces the cached bundle.
    pub fn save(&self, sealed: &[u8]) -> io::Result<()> {
        let directory = self.path.parent().expect("the path was joined to a directory");
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
        let mut file = PrivateFile::create(&self.path)?;
        file.write_all(sealed)?;
        file.finish().map(drop)
    }

    /// Reads the cached bundle.
    pub fn load(&self) -> io::Result<CachedBundle> {
        let sealed = std::fs::read(&self.path)?;
        let at = std::fs::metadata(&self.path)?.modified()?;
        // A time in the future comes from a wrong clock; the bundle counts as new.
        let age = SystemTime::now().duration_since(at).unwrap_or_default();
        Ok(CachedBundle { sealed, age })
    }

    /// Removes the cached bundle, after the workload has lost its access.
    pub fn clear(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
