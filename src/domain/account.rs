//! What may be told about users, service accounts, tokens and sessions. There
//! is no member for a password, a token or a hash of one.

use serde::{Deserialize, Serialize};

use super::{
    Description, Email, PersonName, Role, Scope, ServiceAccountId, ServiceAccountName, SessionId,
    Timestamp, TokenId, TokenName, UserId,
};

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OwnerId {
    /// The operator of the host: the token of the first start, and those that
    /// were made with it.
    Host,
    /// A person.
    User(UserId),
    /// A machine.
    ServiceAccount(ServiceAccountId),
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Its id.
    pub id: UserId,
    /// What it logs in with.
    pub email: Email,
    /// What it is called.
    pub name: PersonName,
    /// Its role.
    pub role: Role,
    /// Its scope, without environments that are gone.
    pub scope: Scope,
    /// Whether it may not do anything for now.
    pub disabled: bool,
    /// When it last did something, to the minute.
    pub last_active_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountInfo {
    /// Its id.
    pub id: ServiceAccountId,
    /// Its name.
    pub name: ServiceAccountName,
    /// What it is for.
    pub description: Description,
    /// Its role.
    pub role: Role,
    /// Its scope, without environments that are gone.
    pub scope: Scope,
    /// Whether it may not do anything for now.
    pub disabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who created it, by the name they had then.
    pub created_by: String,
    /// How many API tokens it has.
    pub tokens: u32,
}

/// An API token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its id.
    pub id: TokenId,
    /// What its owner calls it.
    pub name: TokenName,
    /// Its first characters, to recognise it by.
    pub prefix: String,
    /// Its own role.
    pub role: Role,
    /// Its own scope, without environments that are gone.
    pub scope: Scope,
    /// Whose it is.
    pub owner: OwnerId,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it, by the name they had then.
    pub created_by: String,
}

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// The client's address at the login.
    pub ip: Option<String>,
    /// What the client said it was, at the login.
    pub user_agent: Option<String>,
}
