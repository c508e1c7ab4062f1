//! Scopes in requests, and scopes as they are shown.
//!
//! Owns: the check that the environments of a scope exist.
//! Must never: widen a scope.
//! Called by: the verbs on users, service accounts and tokens.

use std::collections::BTreeSet;

use crate::access::error::Error;
use crate::domain::{EnvironmentId, Scope};
use crate::store::{Environments, ReadError, View};

/// A requested scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewScope {
    /// Every environment.
    All,
    /// These environments, in the order of the request.
    Environments(Vec<EnvironmentId>),
}

impl NewScope {
    /// The most environments in a list, so that rows stay small.
    pub const MAX_ENVIRONMENTS: usize = 100;

    /// Returns the scope. Fails if one of its environments does not exist.
    pub(super) fn check(self, view: &impl View) -> Result<Scope, Error> {
        let list = match self {
            NewScope::All => return Ok(Scope::All),
            NewScope::Environments(list) => list,
        };
        for (index, id) in list.iter().enumerate() {
            if !view.has::<Environments>(id)? {
                return Err(Error::NoSuchEnvironment { index });
            }
        }
        Ok(Scope::Environments(list.into_iter().collect()))
    }
}

/// Returns a stored scope without deleted environments.
pub(super) fn existing_scope(view: &impl View, scope: Scope) -> Result<Scope, ReadError> {
    let Scope::Environments(list) = scope else { return Ok(scope) };
    let mut existing = BTreeSet::new();
    for id in list {
        if view.has::<Environments>(&id)? {
            existing.insert(id);
        }
    }
    Ok(Scope::Environments(existing))
}
