//! The passphrase of a protected root key, and where it comes from.
//!
//! ```text
//! root key            COFFER_ROOT_KEY_PASSPHRASE_FILE, the systemd credential
//!                     coffer-root-key-passphrase, the terminal
//! previous root key   likewise, COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE and
//!                     coffer-previous-root-key-passphrase
//! ```
//!
//! The first of these that is there is the one that is used. A line break at the
//! end of a file is not part of the passphrase.
//! Must never: take a passphrase from the arguments or from a variable's value,
//! which other processes may read; show one.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Variables;
use crate::vault::{BadSealedKey, Passphrase, RootKey, SealedRootKey};

/// The names under which a passphrase is given.
pub(crate) struct Names {
    file_variable: &'static str,
    credential: &'static str,
}

pub(crate) const CURRENT: Names = Names {
    file_variable: "COFFER_ROOT_KEY_PASSPHRASE_FILE",
    credential: "coffer-root-key-passphrase",
};

pub(crate) const PREVIOUS: Names = Names {
    file_variable: "COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE",
    credential: "coffer-previous-root-key-passphrase",
};

/// Prompts a person for a passphrase; `None` when there is no terminal to prompt on. The
/// command hands it in, so that a server that is started by a service manager or a test
/// never waits for a keyboard.
pub type AskPassphrase = fn(&str) -> Option<io::Result<Zeroizing<String>>>;

/// How often a person may try.
const TRIES: usize = 3;

/// Why a protected root key stays closed.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// There is no passphrase and nobody to ask.
    #[error(
        "it is protected by a passphrase, and there is no terminal to ask on. Give the passphrase by {variable} or the systemd credential {credential}."
    )]
    None {
        /// The variable that names its file.
        variable: &'static str,
        /// The credential.
        credential: &'static str,
    },
    /// The passphrase's file could not be read.
    #[error(
        "the passphrase is in {path}, which cannot be read: {cause}. Check the path and its permissions."
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Nobody could be asked after all.
    #[error("the passphrase cannot be asked for: {0}. Give it by a file.")]
    Terminal(io::Error),
    /// It does not open.
    #[error("{bad}. The passphrase came from {place}.")]
    Closed {
        /// Why.
        bad: BadSealedKey,
        /// Where the passphrase came from.
        place: String,
    },
    /// Not a protected root key at all.
    #[error("{0}. Put the file back from a backup.")]
    Form(BadSealedKey),
}

/// Opens a protected root key, which is in `place`.
pub(crate) fn open(
    text: &str,
    place: &str,
    names: &Names,
    variables: &Variables,
    ask: AskPassphrase,
) -> Result<RootKey, PassphraseError> {
    let sealed = SealedRootKey::parse(text).map_err(PassphraseError::Form)?;
    let closed = |place: String| move |bad| PassphraseError::Closed { bad, place };
    if let Some(path) = file(names, variables) {
        let passphrase = Passphrase::given(read(&path)?);
        return sealed.open(&passphrase).map_err(closed(path.display().to_string()));
    }
    let mut tries = 1;
    loop {
        let Some(typed) = ask(&format!("Passphrase of {place}: ")) else {
            let (variable, credential) = (names.file_variable, names.credential);
            return Err(PassphraseError::None { variable, credential });
        };
        let passphrase = Passphrase::given(typed.map_err(PassphraseError::Terminal)?);
        match sealed.open(&passphrase) {
            Err(BadSealedKey::Unopened) if tries < TRIES => tries += 1,
            opened => return opened.map_err(closed("the terminal".to_owned())),
        }
    }
}

/// The file that the passphrase is in, if one is named.
pub(crate) fn file(names: &Names, variables: &Variables) -> Option<PathBuf> {
    if let Some(path) = variables.get(names.file_variable) {
        return Some(path.into());
    }
    let directory = variables.given("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(directory).join(names.credential);
    // A link to nowhere was meant to be there.
    path.symlink_metadata().is_ok().then_some(path)
}

/// The passphrase in a file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, PassphraseError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| PassphraseError::Io { path: path.to_owned(), cause })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Zeroizing::new(line.to_owned()))
}
