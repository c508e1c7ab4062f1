//! Where the root key comes from.
//!
//! In this order: `COFFER_ROOT_KEY`, `COFFER_ROOT_KEY_FILE`, the systemd
//! credential `coffer-root-key`, `[keys] root_key_file`, `root.key` in the data
//! directory. The last one is made when the database is empty. The first source
//! that is there is the one that is used; a bad key in it is never passed over.
//! A variable that is set to nothing is there: it was meant to hold a key.
//!
//! While the root key changes, the one before it comes from the same places under
//! names of their own: `COFFER_PREVIOUS_ROOT_KEY`, `COFFER_PREVIOUS_ROOT_KEY_FILE`,
//! the credential `coffer-previous-root-key`, `[keys] previous_root_key_file`,
//! `root.key.previous` in the data directory.
//!
//! Any of them may be protected by a passphrase; see `passphrase`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::{Config, Variables};
use crate::store::write_new_private;
use crate::vault::{BadRootKey, Fingerprint, Random, RootKey, SealedRootKey};

use crate::server::passphrase::{self, AskPassphrase, PassphraseError};

const GENERATED: &str = "root.key";
const PREVIOUS: &str = "root.key.previous";

/// The names under which a root key is given.
struct Names {
    variable: &'static str,
    file_variable: &'static str,
    credential: &'static str,
    passphrase: &'static passphrase::Names,
}

const CURRENT_NAMES: Names = Names {
    variable: "COFFER_ROOT_KEY",
    file_variable: "COFFER_ROOT_KEY_FILE",
    credential: "coffer-root-key",
    passphrase: &passphrase::CURRENT,
};

const PREVIOUS_NAMES: Names = Names {
    variable: "COFFER_PREVIOUS_ROOT_KEY",
    file_variable: "COFFER_PREVIOUS_ROOT_KEY_FILE",
    credential: "coffer-previous-root-key",
    passphrase: &passphrase::PREVIOUS,
};

/// Which source gave the root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Variable(&'static str),
    File(PathBuf),
    /// The file in the data directory, which this start made.
    Generated(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Variable(name) => f.write_str(name),
            Source::File(path) | Source::Generated(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a root key is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    what: &'static str,
    under: Fingerprint,
}

impl Sealed {
    pub(crate) fn database(under: Fingerprint) -> Self {
        Self { what: "database", under }
    }

    pub(crate) fn backup(under: Fingerprint) -> Self {
        Self { what: "backup", under }
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
    /// Something is sealed, and the generated key is not there.
    #[error(
        "{path} is missing, and the {} is sealed under root key {}. Put the file back, or give the key by COFFER_ROOT_KEY_FILE.", sealed.what, sealed.under
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is sealed, under which key.
        sealed: Sealed,
    },
    /// It is protected by a passphrase.
    #[error("{place}: {problem}")]
    Protected {
        /// Where it is.
        place: String,
        /// Why it stays closed, and what to do.
        problem: PassphraseError,
    },
    /// There are no random bytes.
    #[error("{0}")]
    Random(crate::vault::Error),
}

/// Finds the root key, or makes it when the database is empty.
pub(crate) fn resolve(
    config: &Config,
    variables: &Variables,
    sealed: Option<Sealed>,
    ask: AskPassphrase,
) -> Result<(RootKey, Source), RootKeyError> {
    // A new key opens nothing that was sealed under another.
    let remedy = match sealed {
        Some(Sealed { what, under }) => {
            format!("Give root key {under}, which the {what} is sealed under.")
        }
        None => "Make one with `coffer key generate`, or: openssl rand -base64 32".to_owned(),
    };
    let reader = Reader { variables, names: &CURRENT_NAMES, remedy, ask };
    if let Some(found) = reader.find(config.keys.root_key_file.as_deref())? {
        return Ok(found);
    }
    let path = config.server.data_dir.join(GENERATED);
    match (exists(&path)?, sealed) {
        (true, _) => Ok((reader.file(&path)?, Source::File(path))),
        (false, Some(sealed)) => Err(RootKeyError::Missing { path, sealed }),
        (false, None) => {
            let key = RootKey::generate(Random).map_err(RootKeyError::Random)?;
            // Durable before anything is sealed under it.
            match write_new_private(&path, &key.to_text()) {
                Ok(()) => Ok((key, Source::Generated(path))),
                // Somebody has put one there meanwhile, and means that one.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                    Ok((reader.file(&path)?, Source::File(path)))
                }
                Err(cause) => Err(RootKeyError::Io { path, cause }),
            }
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

/// Reads root keys that are given under some names.
struct Reader<'a> {
    variables: &'a Variables,
    names: &'a Names,
    /// What to do about a text that is no key.
    remedy: String,
    ask: AskPassphrase,
}

impl Reader<'_> {
    /// The key of the first source, down to the setting, that is there.
    fn find(&self, setting: Option<&Path>) -> Result<Option<(RootKey, Source)>, RootKeyError> {
        if let Some(text) = self.variables.get(self.names.variable) {
            let key = self.key(text, self.names.variable)?;
            return Ok(Some((key, Source::Variable(self.names.variable))));
        }
        let found = |path: PathBuf| Ok(Some((self.file(&path)?, Source::File(path))));
        if let Some(path) = self.variables.get(self.names.file_variable) {
            return found(path.into());
        }
        let directory = self.variables.given("CREDENTIALS_DIRECTORY");
        if let Some(path) = directory.map(|dir| Path::new(dir).join(self.names.credential))
            && exists(&path)?
        {
            return found(path);
        }
        match setting {
            Some(path) => found(path.to_owned()),
            None => Ok(None),
        }
    }

    fn file(&self, path: &Path) -> Result<RootKey, RootKeyError> {
        let key = self.key(&read_text(path)?, &path.display().to_string())?;
        warn_if_shared(path);
        Ok(key)
    }

    fn key(&self, text: &str, place: &str) -> Result<RootKey, RootKeyError> {
        if SealedRootKey::is_meant(text) {
            let opened =
                passphrase::open(text, place, self.names.passphrase, self.variables, self.ask);
            return opened
                .map_err(|problem| RootKeyError::Protected { place: place.to_owned(), problem });
        }
        RootKey::parse(text).map_err(|bad| RootKeyError::Bad {
            place: place.to_owned(),
            bad,
            remedy: self.remedy.clone(),
        })
    }
}

/// The root key before the one that [`resolve`] finds, if one is given.
pub(crate) fn previous(
    config: &Config,
    variables: &Variables,
    ask: AskPassphrase,
) -> Result<Option<RootKey>, RootKeyError> {
    let remedy = "Give the root key before this one, or nothing once the change is finished.";
    let reader = Reader { variables, names: &PREVIOUS_NAMES, remedy: remedy.to_owned(), ask };
    if let Some((key, _)) = reader.find(config.keys.previous_root_key_file.as_deref())? {
        return Ok(Some(key));
    }
    let path = config.server.data_dir.join(PREVIOUS);
    if exists(&path)? { reader.file(&path).map(Some) } else { Ok(None) }
}

/// The root key in a file, and whether a passphrase protects it.
pub(crate) fn in_file(
    path: &Path,
    variables: &Variables,
    ask: AskPassphrase,
) -> Result<(RootKey, bool), RootKeyError> {
    let remedy = "Make one with `coffer key generate`.".to_owned();
    let reader = Reader { variables, names: &CURRENT_NAMES, remedy, ask };
    let text = read_text(path)?;
    let key = reader.key(&text, &path.display().to_string())?;
    Ok((key, SealedRootKey::is_meant(&text)))
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, RootKeyError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|cause| RootKeyError::Io { path: path.to_owned(), cause })
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
