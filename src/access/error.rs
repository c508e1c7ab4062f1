//! Why something about users, sessions or tokens was not done.

use crate::domain::Role;
use crate::store::{CommitError, ReadError};
use crate::vault;

use crate::access::limits::Limited;

/// Why it was not done: whose fault it is, without knowing HTTP.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// As with the verbs of the vault.
    #[error("{0}")]
    Vault(#[from] vault::Error),
    /// Unknown address, disabled user or wrong password; nobody is told which.
    #[error("wrong e-mail address or password")]
    WrongLogin,
    /// Not the password in force.
    #[error("the current password is another")]
    WrongPassword,
    /// Whoever changes their own password has to give the one in force.
    #[error("the current password is missing")]
    PasswordNeeded,
    /// Too many failed logins.
    #[error("too many failed logins")]
    Limited(Limited),
    /// There is a user already.
    #[error("registration is closed")]
    RegistrationClosed,
    /// The first user has to show that the server is theirs.
    #[error("registration needs the first token")]
    RegistrationNeedsToken,
    /// A token is not a session.
    #[error("the credential is not a session")]
    NotASession,
    /// It is the last user that can administer everything.
    #[error("the last admin")]
    LastAdmin,
    /// The e-mail address is another user's.
    #[error("the e-mail address is in use")]
    EmailInUse,
    /// A scope names an environment that does not exist.
    #[error("no such environment")]
    NoSuchEnvironment {
        /// Its place in the list.
        index: usize,
    },
    /// A token's owner does not exist.
    #[error("no such owner")]
    NoSuchOwner {
        /// Whether it was to be a user.
        user: bool,
    },
    /// A token's owner is disabled.
    #[error("the owner is disabled")]
    OwnerDisabled,
    /// A token would have a higher role than its owner.
    #[error("the role is above the owner's, {owner}")]
    RoleAboveOwner {
        /// The owner's.
        owner: Role,
    },
    /// A stored hash is not one that this program makes.
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
