//! Why a backup was not made, opened or restored.

use std::io;

use crate::store::{PointInTimeError, ReadError, RestoreError};

use crate::vault::crypto::recipients::AgeError;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::keys::unlock_error::UnlockError;

/// Why a backup was not made, opened or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is something else.
    #[error("the file is not a coffer backup")]
    NotABackup,
    /// The file has a format that this version does not support.
    #[error("this version cannot read the backup; use the version of coffer that made it")]
    OtherForm,
    /// The backup is sealed under another root key.
    #[error("the backup is sealed under root key {wanted}, but the root key given is {given}")]
    OtherRootKey {
        /// The fingerprint that the file names.
        wanted: Fingerprint,
        /// The fingerprint of the supplied key.
        given: Fingerprint,
    },
    /// The backup is sealed to age recipients, and no identity was supplied.
    #[error("the backup is sealed to an age recipient. Pass its identity with --identity FILE")]
    NeedsIdentity,
    /// No supplied identity opens the backup.
    #[error("no identity opens the backup: it is sealed to another recipient, or damaged")]
    NoIdentityFits,
    /// The end of the backup is missing.
    #[error("the backup is truncated: its end is missing")]
    CutOff,
    /// The backup was changed after it was written.
    #[error("the backup is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// The backup opens, but was made by someone without the root key.
    #[error("the backup was not made under this root key: its origin does not verify")]
    OtherOrigin,
    /// The file could not be read or written.
    #[error("{0}")]
    Io(io::Error),
    /// The frozen database could not be read to its end.
    #[error("{0}")]
    PointInTime(#[from] PointInTimeError),
    /// The rows could not be loaded into a database.
    #[error("{0}")]
    Load(#[from] RestoreError),
    /// The restored database does not unlock.
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
    /// Converts to an I/O error, for implementations of `io::Read`.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl From<AgeError> for BackupError {
    fn from(error: AgeError) -> Self {
        match error {
            AgeError::NoIdentityMatches => Self::NoIdentityFits,
            AgeError::UnknownFormat => Self::OtherForm,
            AgeError::Damaged => Self::Damaged { what: "its age header does not verify" },
            AgeError::Io(cause) => cause.into(),
        }
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            // The kinds that age returns for a missing end, and for a chunk that does not open.
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::CutOff,
                io::ErrorKind::InvalidData => Self::Damaged { what: "a chunk does not open" },
                _ => Self::Io(error),
            },
        }
    }
}
