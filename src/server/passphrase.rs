//! The passphrase of a protected root key, and where it comes from.
//!
//! ```text
//! root key            COFFER_ROOT_KEY_PASSPHRASE_FILE, the systemd credential
//!                     coffer-root-key-passphrase, the terminal
//! previous root key   COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE, the systemd credential
//!                     coffer-previous-root-key-passphrase, the terminal
//! ```
//!
//! The first that exists is used. A line break at the end of a file is not part of the passphrase.
//! Must never: take a passphrase from the arguments or from a variable's value, which other
//! processes may read; show a passphrase.
//! Called by: `root_key`, and the commands that protect a root key.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Variables;
use crate::vault::{BadSealedKey, Passphrase, RootKey, SealedRootKey};

/// The names of the sources of a passphrase.
pub(crate) struct PassphraseNames {
    file_variable: &'static str,
    credential: &'static str,
}

/// The sources for the root key.
pub(crate) const CURRENT: PassphraseNames = PassphraseNames {
    file_variable: "COFFER_ROOT_KEY_PASSPHRASE_FILE",
    credential: "coffer-root-key-passphrase",
};

/// The sources for the previous root key.
pub(super) const PREVIOUS: PassphraseNames = PassphraseNames {
    file_variable: "COFFER_PREVIOUS_ROOT_KEY_PASSPHRASE_FILE",
    credential: "coffer-previous-root-key-passphrase",
};

/// Prompts for a passphrase; returns `None` if there is no terminal to prompt on. The command
/// passes it in, so that a server started by a service manager or a test never waits for a
/// keyboard.
pub type AskPassphrase = fn(&str) -> Option<io::Result<Zeroizing<String>>>;

/// How many times a passphrase can be typed.
const MAX_TRIES: usize = 3;

/// Why a protected root key could not be unlocked.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// No passphrase is given, and there is no terminal to prompt on.
    #[error(
        "protected with a passphrase, and there is no terminal to prompt on. Provide the passphrase with {variable} or the systemd credential {credential}."
    )]
    None {
        /// The variable for its file.
        variable: &'static str,
        /// The credential.
        credential: &'static str,
    },
    /// The passphrase's file could not be read.
    #[error("cannot read the passphrase from {path}: {cause}. Check the path and its permissions.")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The prompt failed.
    #[error("cannot prompt for the passphrase: {0}. Provide it in a file.")]
    Terminal(io::Error),
    /// The passphrase does not unlock the key.
    #[error("{bad}. The passphrase came from {source_name}.")]
    Closed {
        /// Why.
        bad: BadSealedKey,
        /// Where the passphrase came from.
        source_name: String,
    },
    /// The text is not a valid protected root key.
    #[error("{0}. Restore the file from a backup.")]
    Form(BadSealedKey),
}

/// Unlocks a protected root key. `origin` is where the text came from, for the prompt.
pub(super) fn open(
    text: &str,
    origin: &str,
    names: &PassphraseNames,
    variables: &Variables,
    ask: AskPassphrase,
) -> Result<RootKey, PassphraseError> {
    let sealed = SealedRootKey::parse(text).map_err(PassphraseError::Form)?;
    let closed = |source_name: String| move |bad| PassphraseError::Closed { bad, source_name };
    if let Some(path) = file(names, variables) {
        let passphrase = Passphrase::given(read(&path)?);
        return sealed.open(&passphrase).map_err(closed(path.display().to_string()));
    }
    let mut tries = 1;
    loop {
        let Some(typed) = ask(&format!("Passphrase for {origin}: ")) else {
            let (variable, credential) = (names.file_variable, names.credential);
            return Err(PassphraseError::None { variable, credential });
        };
        let passphrase = Passphrase::given(typed.map_err(PassphraseError::Terminal)?);
        match sealed.open(&passphrase) {
            Err(BadSealedKey::Unopened) if tries < MAX_TRIES => tries += 1,
            opened => return opened.map_err(closed("the terminal".to_owned())),
        }
    }
}

/// The file that contains the passphrase, if a variable or a credential provides one.
pub(crate) fn file(names: &PassphraseNames, variables: &Variables) -> Option<PathBuf> {
    if let Some(path) = variables.get(names.file_variable) {
        return Some(path.into());
    }
    let directory = variables.given("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(directory).join(names.credential);
    // A dangling link counts: it was meant to provide a passphrase.
    path.symlink_metadata().is_ok().then_some(path)
}

/// Reads the passphrase from a file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, PassphraseError> {
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|cause| PassphraseError::Io { path: path.to_owned(), cause })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    Ok(Zeroizing::new(line.to_owned()))
}
