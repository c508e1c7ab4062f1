//! Why a verb was not carried out, and whose fault it is, without any knowledge of HTTP.

use crate::audit::ResourceType;
use crate::domain::{Role, Version};
use crate::store::{CommitError, ReadError, Unavailable};

use crate::vault::fingerprint::Fingerprint;

/// Why a verb was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource does not exist, or the caller may not know that it does.
    #[error("{} not found", .0.as_str())]
    NotFound(ResourceType),
    /// The caller's role is too low.
    #[error("the role {needed} is required")]
    Role {
        /// The lowest role that is allowed.
        needed: Role,
    },
    /// The caller's scope does not cover the target.
    #[error("the credential does not cover this environment")]
    Scope,
    /// The name or key is taken.
    #[error("{} already exists", .0.as_str())]
    Exists(ResourceType),
    /// The environment still contains secrets.
    #[error("the environment contains {secrets} secrets")]
    NotEmpty {
        /// The number of secrets.
        secrets: u32,
    },
    /// The caller's precondition names another version.
    #[error("the current version is {current}")]
    OtherVersion {
        /// The current version.
        current: Version,
    },
    /// The secret or var has used the highest version number.
    #[error("no version number is left")]
    VersionsExhausted,
    /// The secret is never-reveal.
    #[error("the secret is never-reveal")]
    WriteOnly,
    /// Reveal is disabled in the settings of the environment.
    #[error("reveal is disabled for the environment")]
    RevealDisabled,
    /// The caller tried to clear `neverReveal`.
    #[error("never-reveal cannot be undone")]
    NeverRevealIsPermanent,
    /// A value is empty, or longer than the limit.
    #[error("a value must have 1 to {limit} bytes")]
    ValueSize {
        /// The limit in bytes.
        limit: usize,
    },
    /// A stored value does not open.
    #[error("a stored value does not open under key {key}")]
    Unreadable {
        /// The root key that it names. The number of its wrapping key, if that key is not loaded.
        key: Fingerprint,
    },
    /// A stored row is damaged.
    #[error("a stored {} is damaged", .0.as_str())]
    Damaged(ResourceType),
    /// Values that an enrolment needs do not open, or are damaged.
    #[error("{} values do not open", keys.len())]
    Undeliverable {
        /// The keys of all these values.
        keys: Vec<String>,
    },
    /// An enrolment has more values than fit into one bundle.
    #[error("the bundle is too large")]
    BundleTooLarge,
    /// The database takes no writes right now.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The secret has no such version, or no longer keeps it.
    #[error("version not found")]
    NoSuchVersion,
    /// The caller's credential was revoked, or lost rights, after the request was authorized.
    #[error("the credential was revoked or lost rights during the request")]
    NoLongerValid,
    /// A request with the same idempotency key was completed while this one waited.
    #[error("a request with the same idempotency key has just completed")]
    JustDone,
    /// Another rotation is in progress.
    #[error("a key rotation is in progress")]
    RotationInProgress,
    /// The wrapping key is the active one.
    #[error("the key is active")]
    KeyIsActive,
    /// Keys are still wrapped under the wrapping key.
    #[error("{wrapped} keys are still wrapped under it")]
    KeyNeeded {
        /// The number of these keys.
        wrapped: u64,
    },
    /// The highest key number is used.
    #[error("no key number is left")]
    KeysExhausted,
    /// One item of a list failed.
    #[error("item {index} of {list}: {error}")]
    OfItem {
        /// The name of the list.
        list: &'static str,
        /// The index of the item, from 0.
        index: usize,
        /// Why the item failed.
        error: Box<Error>,
    },
    /// An import that must not overwrite anything found keys that exist.
    #[error("{} keys of {list} already exist", .indices.len())]
    Conflicts {
        /// The name of the list.
        list: &'static str,
        /// The indices of these items, from 0.
        indices: Vec<usize>,
    },
    /// Nothing was copied.
    #[error("{0}")]
    Copy(#[from] CopyRefusal),
    /// A change panicked, which is a bug. Nothing was written.
    #[error("a change panicked")]
    Panicked,
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes")]
    NoRandomness,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyRefusal {
    /// The source does not exist, or the caller may not know that it does.
    #[error("source environment: {0}")]
    Source(Box<Error>),
    /// Source and target are the same environment.
    #[error("source and target are the same environment")]
    SameEnvironment,
    /// The source has no secrets with these keys. Holds their indices in the list of keys.
    #[error("{} keys do not exist in the source environment", .0.len())]
    Missing(Vec<usize>),
    /// The target has secrets with these keys. Holds their indices in the list of keys.
    #[error("{} keys already exist in the target environment", .0.len())]
    Taken(Vec<usize>),
    /// The list of keys is too long for one copy.
    #[error("a copy can have at most {most} keys")]
    TooMany {
        /// The longest list allowed.
        most: usize,
    },
    /// One secret cannot be copied.
    #[error("key {at}: {error}")]
    Secret {
        /// The index of its key in the list.
        at: usize,
        /// Why it cannot be copied.
        error: Box<Error>,
    },
}

impl From<CommitError<Error>> for Error {
    fn from(error: CommitError<Error>) -> Self {
        match error {
            CommitError::Refused(error) => error,
            CommitError::Unavailable(why) => Error::Unavailable(why),
            CommitError::Panicked => Error::Panicked,
        }
    }
}

impl Error {
    /// Returns a function for `map_err` that reports a damaged row as a damaged `what`, and any
    /// other failure as it is.
    pub(super) fn damaged_or(what: ResourceType) -> impl Fn(ReadError) -> Self + Copy {
        move |error| match error {
            ReadError::Damaged { .. } => Error::Damaged(what),
            error => Error::Read(error),
        }
    }
}
