//! Where the root key comes from.
//!
//! In this order: `COFFER_ROOT_KEY`, `COFFER_ROOT_KEY_FILE`, the systemd
//! credential `coffer-root-key`, `[keys] root_key_file`, `root.key` in the data
//! directory. The last one is made when the database is empty. The first source
//! that is there is the one that is used; a bad key in it is never passed over.
//! A variable that is set to nothing is there: it was meant to hold a key.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Config, Variables};
use crate::store::write_private;
use crate::vault::{BadRootKey, Fingerprint, Random, RootKey};

const GENERATED: &str = "root.key";
const CREDENTIAL: &str = "coffer-root-key";

/// Which source gave the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Variable,
    File(PathBuf),
    /// The file in the data directory, which this start made.
    Generated(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Variable => f.write_str("COFFER_ROOT_KEY"),
            Source::File(path) | Source::Generated(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    /// It is not one.
    #[error("{place}: {bad}. {remedy}")]
    Bad {
        /// Where it was.
        place: String,
        /// What is wrong with it.
        bad: BadRootKey,
        /// What to do.
        remedy: String,
    },
    /// Its file could not be read or written.
    #[error("{path}: {cause}. Check the path and its permissions.")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The database has been used, and its generated key is gone.
    #[error(
        "{path} is missing, and the database is sealed under root key {wanted}. Put the file back, or give the key by COFFER_ROOT_KEY_FILE."
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// The key's fingerprint.
        wanted: Fingerprint,
    },
    /// There are no random bytes.
    #[error("{0}")]
    Random(crate::vault::Error),
}

/// Finds the root key, or makes it when the database is empty.
pub(super) fn resolve(
    config: &Config,
    variables: &Variables,
    sealed_under: Option<Fingerprint>,
) -> Result<(RootKey, Source), RootKeyError> {
    // A new key opens nothing that was sealed under another.
    let remedy = match sealed_under {
        Some(wanted) => format!("Give root key {wanted}, which the database is sealed under."),
        None => "Make one with: openssl rand -base64 32".to_owned(),
    };
    let read = |path: &Path| read(path, &remedy);
    if let Some(text) = variables.get("COFFER_ROOT_KEY") {
        let place = "COFFER_ROOT_KEY".to_owned();
        let key = RootKey::parse(text).map_err(|bad| RootKeyError::Bad {
            place,
            bad,
            remedy: remedy.clone(),
        })?;
        return Ok((key, Source::Variable));
    }
    let credential =
        variables.get("CREDENTIALS_DIRECTORY").map(|dir| Path::new(dir).join(CREDENTIAL));
    if let Some(path) = variables.get("COFFER_ROOT_KEY_FILE").map(PathBuf::from) {
        return Ok((read(&path)?, Source::File(path)));
    }
    if let Some(path) = credential
        && exists(&path)?
    {
        return Ok((read(&path)?, Source::File(path)));
    }
    if let Some(path) = config.keys.root_key_file.clone() {
        return Ok((read(&path)?, Source::File(path)));
    }
    let path = config.server.data_dir.join(GENERATED);
    match (exists(&path)?, sealed_under) {
        (true, _) => Ok((read(&path)?, Source::File(path))),
        (false, Some(wanted)) => Err(RootKeyError::Missing { path, wanted }),
        (false, None) => {
            let key = RootKey::generate(Random).map_err(RootKeyError::Random)?;
            // Durable before anything is sealed under it.
            write_private(&path, &key.to_text())
                .map_err(|cause| RootKeyError::Io { path: path.clone(), cause })?;
            Ok((key, Source::Generated(path)))
        }
    }
}

/// Whether something is there, if only a link to nowhere. Not being able to
/// tell is not "no".
fn exists(path: &Path) -> Result<bool, RootKeyError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(RootKeyError::Io { path: path.to_owned(), cause }),
    }
}

fn read(path: &Path, remedy: &str) -> Result<RootKey, RootKeyError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|cause| RootKeyError::Io { path: path.to_owned(), cause })?;
    let bad = |bad| {
        let (place, remedy) = (path.display().to_string(), remedy.to_owned());
        RootKeyError::Bad { place, bad, remedy }
    };
    let key = RootKey::parse(&text).map_err(bad)?;
    warn_if_shared(path);
    Ok(key)
}

/// A key that others can read still works: containers mount files the way they
/// do. But it should not stay unnoticed.
fn warn_if_shared(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        if let Ok(metadata) = std::fs::metadata(path)
            && metadata.permissions().mode() & 0o077 != 0
        {
            log::warn!("{} can be read by other users; run: chmod 600 {0}", path.display());
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}
