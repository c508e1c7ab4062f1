//! Scopes as they are given: a list names environments that exist.

use std::collections::BTreeSet;

use crate::domain::{EnvironmentId, Scope};
use crate::store::{Environments, ReadError, View};

use crate::access::error::Error;

/// A scope that somebody wants a principal to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewScope {
    /// Every environment.
    All,
    /// These, in the order in which they were named.
    Environments(Vec<EnvironmentId>),
}

impl NewScope {
    /// Most environments in a list, so that rows stay small.
    pub const MOST: usize = 100;

    /// The scope, if every environment in it exists.
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

/// A stored scope without the environments that are gone.
pub(super) fn present(view: &impl View, scope: Scope) -> Result<Scope, ReadError> {
    let Scope::Environments(list) = scope else { return Ok(scope) };
    let mut there = BTreeSet::new();
    for id in list {
        if view.has::<Environments>(&id)? {
            there.insert(id);
        }
    }
    Ok(Scope::Environments(there))
}
