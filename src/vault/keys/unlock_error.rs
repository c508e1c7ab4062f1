//! Why a database stays locked, and what the operator can do about it.

use crate::audit::Broken;
use crate::store::ReadError;

use crate::vault::crypto::keyring::MissingRootKey;
use crate::vault::crypto::root_key::RootKeys;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;

/// Why a database stays locked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The database is sealed under another root key.
    #[error("the database is sealed under root key {wanted}, but the root key given is {given}")]
    OtherRootKey {
        /// The fingerprint that the database names.
        wanted: Fingerprint,
        /// The fingerprint of the supplied key.
        given: Fingerprint,
    },
    /// The root key is being changed, and one of the two was not supplied.
    #[error(
        "the root key is being changed: the database still needs root key {wanted} in addition to {given}"
    )]
    UnfinishedChange {
        /// The fingerprint of the missing key.
        wanted: Fingerprint,
        /// The fingerprint of the supplied key.
        given: Fingerprint,
    },
    /// A stored key does not open although the root key is the right one.
    #[error("the keys in the database are damaged; restore a backup")]
    DamagedKeys,
    /// The end of the audit log was tampered with.
    #[error("the audit log does not verify: {0}")]
    Audit(#[from] Broken),
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The writer thread could not be started.
    #[error("cannot start the writer thread: {0}")]
    Thread(std::io::Error),
    /// The operating system returned no random bytes.
    #[error("{0}")]
    Other(Error),
}

impl UnlockError {
    pub(super) fn missing_root_key(
        MissingRootKey { wanted, partly }: MissingRootKey,
        roots: RootKeys<'_>,
    ) -> Self {
        let given = roots.current.fingerprint();
        if partly {
            Self::UnfinishedChange { wanted, given }
        } else {
            Self::OtherRootKey { wanted, given }
        }
    }

    /// Returns what to do if the root key, which came from `source`, is the problem.
    pub fn remedy(&self, source: &str) -> Option<String> {
        match self {
            Self::OtherRootKey { wanted, .. } => Some(format!(
                "The root key came from {source}. Use the one that the database was created with. \
                 To change the root key, set COFFER_PREVIOUS_ROOT_KEY_FILE to a file with root key {wanted}."
            )),
            Self::UnfinishedChange { .. } => Some(format!(
                "The root key came from {source}. Set COFFER_PREVIOUS_ROOT_KEY_FILE to a file with the other one, \
                 until `coffer key status` says that it is no longer needed."
            )),
            _ => None,
        }
    }
}
