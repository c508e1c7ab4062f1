//! Why a backup was not made, not opened, or not restored.

use std::io;

use crate::store::{PointInTimeError, ReadError, RestoreError};

use crate::vault::crypto::keyring::Fingerprint;
use crate::vault::crypto::recipients::Unopened;
use crate::vault::error::Error;
use crate::vault::keys::unlock::UnlockError;

/// Why a backup was not made, not opened, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("the file is not a coffer backup")]
    NotABackup,
    /// It has another version's form.
    #[error("the backup has a form that this version does not know; use the version that made it")]
    OtherForm,
    /// It is sealed under another root key.
    #[error("the backup is sealed under root key {wanted}, but the root key given is {given}")]
    OtherRootKey {
        /// The fingerprint that the file names.
        wanted: Fingerprint,
        /// The fingerprint of the key that was given.
        given: Fingerprint,
    },
    /// It is sealed to age recipients, and there is no identity.
    #[error("the backup is sealed to an age recipient; give its identity with --identity FILE")]
    NeedsIdentity,
    /// None of the identities opens it.
    #[error(
        "none of the identities opens the backup; it is sealed to another recipient, or damaged"
    )]
    NoIdentityFits,
    /// Its end is missing.
    #[error("the backup is cut off: its end is missing")]
    CutOff,
    /// Something in it is not what was written.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// What does not hold.
        what: &'static str,
    },
    /// It opens, and was made by somebody without the root key.
    #[error("the backup was not made under this root key: its origin does not verify")]
    OtherOrigin,
    /// The file could not be read or written.
    #[error("{0}")]
    Io(io::Error),
    /// The database could not be read to its end.
    #[error("{0}")]
    PointInTime(#[from] PointInTimeError),
    /// The rows could not be put into a database.
    #[error("{0}")]
    Load(#[from] RestoreError),
    /// The restored database does not open.
    #[error("{0}")]
    Unlock(#[from] UnlockError),
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The audit row could not be written.
    #[error("{0}")]
    Vault(#[from] Error),
}

impl BackupError {
    /// For reading through `io::Read`, which only knows its own errors.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl From<Unopened> for BackupError {
    fn from(error: Unopened) -> Self {
        match error {
            Unopened::NoIdentityFits => Self::NoIdentityFits,
            Unopened::OtherForm => Self::OtherForm,
            Unopened::Damaged => Self::Damaged { what: "its age header does not hold" },
            Unopened::Io(cause) => cause.into(),
        }
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            // What age says of a chunk that does not open, and of a missing end.
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::CutOff,
                io::ErrorKind::InvalidData => Self::Damaged { what: "a piece does not open" },
                _ => Self::Io(error),
            },
        }
    }
}
