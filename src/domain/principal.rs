//! Who is asking: role, scope, principal.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EnvironmentId, ServiceAccountId, SessionId, TokenId, UserId};

/// What a principal may do. Ordered: each role may do all that a lower one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything that is not a secret's value.
    Viewer,
    /// Also writes secrets and vars.
    Operator,
    /// Also reveals, and administers.
    Admin,
}

impl Role {
    /// The word for it on the wire, in the audit log and in messages.
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

/// Where a principal may do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every environment, those of the future included.
    All,
    /// These environments and no others.
    Environments(BTreeSet<EnvironmentId>),
}

impl Scope {
    /// Whether the scope reaches this environment.
    pub fn covers(&self, environment: EnvironmentId) -> bool {
        match self {
            Scope::All => true,
            Scope::Environments(list) => list.contains(&environment),
        }
    }

    /// Whether it reaches wherever another one does.
    pub fn contains(&self, other: &Scope) -> bool {
        self.intersection(other) == *other
    }

    /// Where both of two scopes reach.
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

/// What the caller showed to become a principal; copied into audit rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The server itself: first start, start, stop.
    Host,
    /// An API token.
    Token(TokenId),
    /// A session of a user, by token or by cookie.
    Session(SessionId),
}

/// Tells principals apart: each API token is one of its own, and all sessions
/// of a user are that user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKey {
    /// The server itself.
    Host,
    /// An API token.
    Token(TokenId),
    /// A user in person.
    User(UserId),
    /// A session that belongs to no user; there is none such.
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

/// A user as audit rows name it: copied, so that the row outlives the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLabel {
    /// Its id.
    pub id: UserId,
    /// Its e-mail address at that time.
    pub email: String,
    /// Its name at that time.
    pub name: Option<String>,
}

/// On whose behalf a credential acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The operator of the host: the first token belongs to nobody else.
    Host,
    /// A person.
    User(UserLabel),
    /// A machine.
    ServiceAccount(ServiceAccountId),
}

/// An authenticated caller, with what it may really do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How it proved who it is.
    pub credential: Credential,
    /// On whose behalf it acts.
    pub owner: Owner,
    /// The name that audit rows and versions show.
    pub name: String,
    /// Its effective role.
    pub role: Role,
    /// Its effective scope.
    pub scope: Scope,
}

impl Principal {
    /// The server acting on its own account.
    pub fn host() -> Self {
        Self {
            credential: Credential::Host,
            owner: Owner::Host,
            name: "coffer".to_owned(),
            role: Role::Admin,
            scope: Scope::All,
        }
    }

    /// Tells it from other principals.
    pub fn key(&self) -> PrincipalKey {
        match (&self.credential, self.user_id()) {
            (Credential::Host, _) => PrincipalKey::Host,
            (Credential::Token(id), _) => PrincipalKey::Token(*id),
            (Credential::Session(_), Some(user)) => PrincipalKey::User(user),
            (Credential::Session(id), None) => PrincipalKey::Session(*id),
        }
    }

    /// The API token it came with, if any.
    pub fn token_id(&self) -> Option<TokenId> {
        match self.credential {
            Credential::Host | Credential::Session(_) => None,
            Credential::Token(id) => Some(id),
        }
    }

    /// The session it came with, if any.
    pub fn session_id(&self) -> Option<SessionId> {
        match self.credential {
            Credential::Host | Credential::Token(_) => None,
            Credential::Session(id) => Some(id),
        }
    }

    /// The user on whose behalf it acts, if any.
    pub fn user_id(&self) -> Option<UserId> {
        match &self.owner {
            Owner::User(label) => Some(label.id),
            Owner::Host | Owner::ServiceAccount(_) => None,
        }
    }

    /// Whether it is this user in person: logged in, not acting by a token.
    pub fn is_in_person(&self, user: UserId) -> bool {
        matches!(self.credential, Credential::Session(_)) && self.user_id() == Some(user)
    }

    /// Whether it administers everything, so that no list bounds it.
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
