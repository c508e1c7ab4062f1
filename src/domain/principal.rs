//! The caller: role, scope, principal.
//!
//! Owns: what a principal consists of, and the arithmetic of scopes.
//! Must never: decide whether an operation is allowed; `vault::policy` does.
//! Called by: `access`, which creates principals; `vault` and `http`, which check them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::id::{EnvironmentId, ServiceAccountId, SessionId, TokenId, UserId};

/// What a principal may do. Ordered: each role includes the ones below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May read everything except the values of secrets.
    Viewer,
    /// May also write secrets and variables.
    Operator,
    /// May also reveal values and administer.
    Admin,
}

impl Role {
    /// Returns the name used in the API, the audit log and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The environments in which a principal may act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every environment, including future ones.
    All,
    /// Only these environments.
    Environments(BTreeSet<EnvironmentId>),
}

impl Scope {
    /// Reports whether the scope includes an environment.
    pub fn covers(&self, environment: EnvironmentId) -> bool {
        match self {
            Scope::All => true,
            Scope::Environments(list) => list.contains(&environment),
        }
    }

    /// Reports whether the scope includes all of another scope.
    pub fn contains(&self, other: &Scope) -> bool {
        self.intersection(other) == *other
    }

    /// Returns the environments that both scopes include.
    #[must_use]
    pub fn intersection(&self, other: &Scope) -> Scope {
        match (self, other) {
            (Scope::All, other) => other.clone(),
            (own, Scope::All) => own.clone(),
            (Scope::Environments(own), Scope::Environments(other)) => {
                Scope::Environments(own.intersection(other).copied().collect())
            }
        }
    }
}

/// The credential by which a caller became a principal; copied into audit rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// None: the server acts by itself, as at a start or a stop.
    Host,
    /// An API token.
    Token(TokenId),
    /// A session of a user, presented as a token or as a cookie.
    Session(SessionId),
}

/// Identifies a principal, for limits and idempotency: each API token is a principal of its own, and
/// all sessions of a user are the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKey {
    /// The server itself.
    Host,
    /// An API token.
    Token(TokenId),
    /// A user, through any of their sessions.
    User(UserId),
    /// A session without a user. Does not occur, but the type allows it.
    Session(SessionId),
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Token(id) => id.fmt(f),
            Self::User(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
        }
    }
}

/// A user as recorded in audit rows: a copy, so that the row outlives the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLabel {
    /// The id.
    pub id: UserId,
    /// The email address at that time.
    pub email: String,
    /// The name at that time.
    pub name: Option<String>,
}

/// The owner of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The operator of the host, who owns the first token.
    Host,
    /// A person.
    User(UserLabel),
    /// A machine.
    ServiceAccount(ServiceAccountId),
}

/// An authenticated caller, with its effective role and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The credential that authenticated it.
    pub credential: Credential,
    /// The owner of the credential.
    pub owner: Owner,
    /// The name shown in audit rows and versions.
    pub name: String,
    /// The effective role: the lower one of the credential's and the owner's.
    pub role: Role,
    /// The effective scope: the intersection of the credential's and the owner's.
    pub scope: Scope,
}

impl Principal {
    /// Returns the principal for actions of the server itself.
    pub fn host() -> Self {
        Self {
            credential: Credential::Host,
            owner: Owner::Host,
            name: "coffer".to_owned(),
            role: Role::Admin,
            scope: Scope::All,
        }
    }

    /// Returns the key that identifies the principal.
    pub fn key(&self) -> PrincipalKey {
        match (&self.credential, self.user_id()) {
            (Credential::Host, _) => PrincipalKey::Host,
            (Credential::Token(id), _) => PrincipalKey::Token(*id),
            (Credential::Session(_), Some(user)) => PrincipalKey::User(user),
            (Credential::Session(id), None) => PrincipalKey::Session(*id),
        }
    }

    /// Returns the API token that authenticated it, if any.
    pub fn token_id(&self) -> Option<TokenId> {
        match self.credential {
            Credential::Host | Credential::Session(_) => None,
            Credential::Token(id) => Some(id),
        }
    }

    /// Returns the session that authenticated it, if any.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Host | Credential::Token(_) => None,
            Credential::Session(id) => Some(id),
        }
    }

    /// Returns the user who owns the credential, if any.
    pub fn user_id(&self) -> Option<UserId> {
        match &self.owner {
            Owner::User(label) => Some(label.id),
            Owner::Host | Owner::ServiceAccount(_) => None,
        }
    }

    /// Reports whether this user is the caller in person: by a session, not by a token.
    pub fn is_in_person(&self, user: UserId) -> bool {
        matches!(self.credential, Credential::Session(_)) && self.user_id() == Some(user)
    }

    /// Reports whether it is an admin of every environment.
    pub fn administers_everything(&self) -> bool {
        self.role == Role::Admin && self.scope == Scope::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intersection_covers_what_both_cover() {
        let id = |n| EnvironmentId::from_bytes([n; 16]);
        let list = |ids: &[u8]| Scope::Environments(ids.iter().map(|n| id(*n)).collect());
        for (a, b) in [
            (Scope::All, list(&[1, 2])),
            (list(&[1, 2]), list(&[2, 3])),
            (list(&[]), Scope::All),
            (Scope::All, Scope::All),
        ] {
            let both = a.intersection(&b);
            assert_eq!(both, b.intersection(&a));
            for n in 0..5 {
                assert_eq!(both.covers(id(n)), a.covers(id(n)) && b.covers(id(n)));
            }
        }
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
    }
}
