//! The errors of `access`.
//!
//! Owns: what can go wrong with users, sessions and tokens.
//! Must never: know HTTP, or contain a credential.
//! Called by: everything in `access`; `http` maps it to a response.

use crate::access::limits::LimitExceeded;
use crate::domain::Role;
use crate::store::{CommitError, ReadError};
use crate::vault;

/// The reason why a verb of `access` failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// An error that the verbs of the vault have too.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// The address is unknown, the user is disabled, or the password is wrong; the caller does not
    /// learn which.
    #[error("wrong email address or password")]
    WrongLogin,
    /// The current password is wrong.
    #[error("the current password is wrong")]
    WrongPassword,
    /// A user who changes their own password must send the current one.
    #[error("the current password is required")]
    PasswordNeeded,
    /// There were too many failed logins.
    #[error("too many failed logins")]
    Limited(LimitExceeded),
    /// A user already exists.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The first user must prove that they own the server.
    #[error("registration requires the bootstrap token")]
    RegistrationNeedsToken,
    /// The operation needs a session, and the credential is a token.
    #[error("the credential is not a session")]
    NotASession,
    /// The change would leave no admin of every environment.
    #[error("this is the last admin of every environment")]
    LastAdmin,
    /// Another user has the email address.
    #[error("the email address is already in use")]
    EmailInUse,
    /// A scope names an environment that does not exist.
    #[error("the environment does not exist")]
    NoSuchEnvironment {
        /// The index in the list.
        index: usize,
    },
    /// A token's owner does not exist.
    #[error("the owner does not exist")]
    NoSuchOwner {
        /// Whether the owner was to be a user.
        user: bool,
    },
    /// A token's owner is disabled.
    #[error("the owner is disabled")]
    OwnerDisabled,
    /// A token would have a higher role than its owner.
    #[error("the role is higher than the owner's role, {owner}")]
    RoleAboveOwner {
        /// The owner's role.
        owner: Role,
    },
    /// A stored hash has parameters that coffer never uses.
    #[error("a stored password hash is damaged")]
    BadHash,
}

impl From<CommitError<Error>> for Error {
    fn from(error: CommitError<Error>) -> Self {
        match error {
            CommitError::Refused(error) => error,
            CommitError::Unavailable(why) => vault::Error::from(why).into(),
            CommitError::Panicked => vault::Error::Panicked.into(),
        }
    }
}
