//! Why a verb was not carried out: whose fault it is, without knowing HTTP.

use crate::audit::ResourceType;
use crate::domain::{Role, Version};
use crate::store::{CommitError, ReadError, Unavailable};

use crate::vault::crypto::keyring::Fingerprint;
use crate::vault::verbs::copy::CopyRefusal;

/// Why a verb was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thing does not exist, or not for this caller.
    #[error("{} not found", .0.as_str())]
    NotFound(ResourceType),
    /// The caller's role is too low.
    #[error("this needs the role {needed}")]
    Role {
        /// The lowest role that may.
        needed: Role,
    },
    /// The caller's credential does not reach there.
    #[error("the credential does not cover this")]
    Scope,
    /// The name or key is taken.
    #[error("{} already exists", .0.as_str())]
    Exists(ResourceType),
    /// The environment still holds secrets.
    #[error("the environment holds {secrets} secrets")]
    NotEmpty {
        /// How many.
        secrets: u32,
    },
    /// The caller's precondition names another version.
    #[error("the version in force is {current}")]
    OtherVersion {
        /// The version in force.
        current: Version,
    },
    /// There is no higher version number.
    #[error("no version number is left")]
    VersionsExhausted,
    /// The secret is never-reveal.
    #[error("the secret is never-reveal")]
    WriteOnly,
    /// Reveal is switched off for the environment.
    #[error("reveal is switched off")]
    RevealDisabled,
    /// `neverReveal` cannot be taken back.
    #[error("never-reveal is for good")]
    NeverRevealIsForGood,
    /// A value is longer than the limit, or empty.
    #[error("a value has 1 to {limit} bytes")]
    ValueSize {
        /// The limit in bytes.
        limit: usize,
    },
    /// A stored value does not open.
    #[error("a stored value does not open under key {key}")]
    Unreadable {
        /// The key that it says it was sealed under.
        key: Fingerprint,
    },
    /// A stored row is damaged.
    #[error("a stored row is damaged")]
    Damaged(ResourceType),
    /// Values that somebody is to get do not open, or are damaged.
    #[error("{} values do not open", keys.len())]
    Undeliverable {
        /// Their keys.
        keys: Vec<String>,
    },
    /// What somebody is to get is too much for one bundle.
    #[error("the bundle is too large")]
    BundleTooLarge,
    /// No write is taken just now.
    #[error("{0}")]
    Unavailable(#[from] Unavailable),
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// A version of a secret is not kept, or never was.
    #[error("version not found")]
    NoSuchVersion,
    /// The caller's credential ended, or may do less, since the request was
    /// authorised.
    #[error("the credential is no longer what it was")]
    NoLongerValid,
    /// The request that wanted to be done once was done a moment ago.
    #[error("the request was done a moment ago")]
    JustDone,
    /// A rotation is under way; there is one at a time.
    #[error("a rotation is under way")]
    RotationUnderWay,
    /// The wrapping key is the one that new keys are wrapped under.
    #[error("the key is in force")]
    KeyInForce,
    /// Something is still wrapped under the wrapping key.
    #[error("{wrapped} keys are still wrapped under it")]
    KeyNeeded {
        /// How many.
        wrapped: u64,
    },
    /// There is no higher key number.
    #[error("no key number is left")]
    KeysExhausted,
    /// One item of a list did not get through.
    #[error("item {index} of {list}: {error}")]
    OfItem {
        /// What the list is called.
        list: &'static str,
        /// Which item, from 0 on.
        index: usize,
        /// Why.
        error: Box<Error>,
    },
    /// Keys of an import are taken, and it was to fail then.
    #[error("{} keys of {list} are taken", .indices.len())]
    Conflicts {
        /// What the list is called.
        list: &'static str,
        /// Which items, from 0 on.
        indices: Vec<usize>,
    },
    /// Nothing was copied.
    #[error("{0}")]
    Copy(#[from] CopyRefusal),
    /// A change panicked. That is a bug; nothing was written.
    #[error("a change panicked")]
    Panicked,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
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
    /// A row that cannot be read: damaged, or not to be had.
    pub(super) fn damaged_or(error: ReadError, what: ResourceType) -> Self {
        match error {
            ReadError::Damaged { .. } => Error::Damaged(what),
            error => Error::Read(error),
        }
    }
}
