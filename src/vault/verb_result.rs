//! What verbs return, in the one form that an idempotent answer is rendered from.
//!
//! Owns: the results that `domain` has no type for, and [`VerbResult`], which lists all of them.
//! Must never: hold a credential or the value of a secret.
//! Called by: the verbs, which return these types; `idempotency`, which keeps answers.

use crate::domain::{
    EnvironmentId, EnvironmentInfo, EnvironmentSettings, KeyName, SecretInfo, ServiceAccountInfo,
    Timestamp, TokenInfo, UserInfo, VarInfo, Version,
};

/// What an import did with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// The item is new.
    Created,
    /// The existing item got a new version.
    Replaced,
    /// The existing item was left alone.
    Skipped,
    /// The item exists, so the import would fail.
    Conflict,
}

impl ImportOutcome {
    /// All outcomes.
    pub const ALL: [ImportOutcome; 4] =
        [Self::Created, Self::Replaced, Self::Skipped, Self::Conflict];

    /// Returns the word for the outcome on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Skipped => "skipped",
            Self::Conflict => "conflict",
        }
    }
}

/// One item after an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The key of the item.
    pub key: KeyName,
    /// What the import did with it.
    pub outcome: ImportOutcome,
    /// The current version of the item.
    pub version: Version,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The items, in the order of the request.
    pub items: Vec<Imported>,
}

/// What a copy did with one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The target has a new secret.
    Created,
    /// A secret of the target has a new version.
    Replaced,
    /// The target had a secret with this key, which was left alone.
    Skipped,
}

/// One secret after a copy.
#[derive(Debug, Clone)]
pub struct Copied {
    /// What the copy did with it.
    pub outcome: CopyOutcome,
    /// The secret in the target.
    pub secret: SecretInfo,
}

/// A key rotation that has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationBegun {
    /// The number of the new wrapping key, which is active.
    pub key: u32,
    /// When the rotation started.
    pub started_at: Timestamp,
}

/// What a verb returned, as far as its answer shows it.
#[derive(Debug)]
pub enum VerbResult<'a> {
    /// A secret, without its value.
    Secret(&'a SecretInfo),
    /// A var.
    Var(&'a VarInfo),
    /// An environment.
    Environment(&'a EnvironmentInfo),
    /// The settings of an environment.
    Settings(&'a EnvironmentSettings),
    /// A user.
    User(&'a UserInfo),
    /// A service account.
    ServiceAccount(&'a ServiceAccountInfo),
    /// An import.
    Import(&'a ImportReport),
    /// A key rotation that has started.
    Rotation(&'a RotationBegun),
    /// The secrets that were copied into the environment of the path.
    Copied(&'a [Copied]),
    /// Success, with nothing to show.
    Done,
    /// An answer that shows a credential, so it must not be kept.
    Credential,
}

impl VerbResult<'_> {
    /// Returns the environment that the result is about, unless the path named it already.
    pub(super) fn environment(&self) -> Option<EnvironmentId> {
        match self {
            VerbResult::Secret(info) => Some(info.environment),
            VerbResult::Var(info) => Some(info.environment),
            VerbResult::Environment(info) => Some(info.id),
            VerbResult::Settings(_)
            | VerbResult::User(_)
            | VerbResult::ServiceAccount(_)
            | VerbResult::Import(_)
            | VerbResult::Rotation(_)
            | VerbResult::Copied(_)
            | VerbResult::Done
            | VerbResult::Credential => None,
        }
    }
}

/// The return type of a verb that accepts an `Idempotency-Key`.
pub trait HasVerbResult {
    /// Returns the part that an answer is rendered from.
    fn verb_result(&self) -> VerbResult<'_>;
}

macro_rules! verb_results {
    ($($type:ty => $variant:ident)*) => {$(
        impl HasVerbResult for $type {
            fn verb_result(&self) -> VerbResult<'_> {
                VerbResult::$variant(self)
            }
        }
    )*};
}

verb_results! {
    SecretInfo => Secret
    VarInfo => Var
    EnvironmentInfo => Environment
    EnvironmentSettings => Settings
    UserInfo => User
    ServiceAccountInfo => ServiceAccount
    ImportReport => Import
    RotationBegun => Rotation
    Vec<Copied> => Copied
}

impl HasVerbResult for () {
    fn verb_result(&self) -> VerbResult<'_> {
        VerbResult::Done
    }
}

/// The record of a new token, whose answer also shows the token.
impl HasVerbResult for TokenInfo {
    fn verb_result(&self) -> VerbResult<'_> {
        VerbResult::Credential
    }
}
