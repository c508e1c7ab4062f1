//! Why the server did not start, or stopped.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::access;
use crate::server::enrolments::DeclareError;
use crate::server::first_user::FirstUserError;
use crate::server::root_key::RootKeyError;
use crate::store;
use crate::vault;
use crate::vault::UnlockError;
use crate::vault::backup::BadRecipient;

/// The remedy for a database that cannot be opened for another reason than its root key.
pub(super) const RESTORE_BACKUP: &str = "Nothing was changed. Check the disk, or restore a backup.";

/// Why the server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database could not be opened.
    #[error("{0}")]
    Open(#[from] store::OpenError),
    /// The database could not be read.
    #[error("{0}. {RESTORE_BACKUP}")]
    Read(#[from] store::ReadError),
    /// There is no usable root key.
    #[error("{0}")]
    RootKey(#[from] RootKeyError),
    /// The root key does not unlock the database.
    #[error("{error}. {remedy}")]
    Unlock {
        /// Why.
        error: UnlockError,
        /// What to do.
        remedy: String,
    },
    /// `COFFER_BOOTSTRAP_TOKEN` is not a valid token.
    #[error("COFFER_BOOTSTRAP_TOKEN: {0}")]
    BootstrapToken(access::BadToken),
    /// The first user in the variables is not valid.
    #[error("{0}")]
    FirstUser(#[from] FirstUserError),
    /// A declared workload or file is not valid.
    #[error("{0}")]
    Declare(#[from] DeclareError),
    /// The files of the workload `local` could not be written.
    #[error("{path}: {cause}. Check the directory and its permissions.")]
    LocalWorkload {
        /// The data directory.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A recipient of the scheduled backups is not valid.
    #[error("[backup] recipients: {0}")]
    Recipient(#[from] BadRecipient),
    /// The bootstrap token's file could not be written.
    #[error("{path}: {cause}. Check the directory and its permissions.")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The address is not available.
    #[error("cannot listen on {address}: {cause}. Choose another address with --listen.")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        cause: io::Error,
    },
    /// The vault could not write its first rows or the audit event of the start.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// The first credentials could not be written.
    #[error("{0}")]
    Access(#[from] access::Error),
    /// The HTTP server failed.
    #[error("the HTTP server failed: {0}")]
    Http(io::Error),
    /// A write or sync failed while the server was running.
    #[error(
        "the database failed; acknowledged changes are saved, others may be lost. Check the disk, then start the server again."
    )]
    Failed,
}

impl ServeError {
    /// The exit code: 2 if the configuration is wrong, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::BootstrapToken(_)
            | Self::RootKey(_)
            | Self::FirstUser(_)
            | Self::Declare(_)
            | Self::Recipient(_) => 2,
            _ => 1,
        }
    }
}
