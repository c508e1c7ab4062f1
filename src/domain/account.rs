//! Users, service accounts, tokens and sessions as other code sees them.
//!
//! Owns: their public fields.
//! Must never: have a field for a password, a token, or a hash of one.
//! Called by: `access`, which fills them in, and `http`, which serves them.

use serde::{Deserialize, Serialize};

use crate::domain::id::{ServiceAccountId, SessionId, TokenId, UserId};
use crate::domain::name::{Description, Email, PersonName, ServiceAccountName, TokenName};
use crate::domain::principal::{Role, Scope};
use crate::domain::time::Timestamp;

/// The owner of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OwnerId {
    /// The operator of the host: owns the token of the first start and the tokens created with it.
    Host,
    /// A person.
    User(UserId),
    /// A machine.
    ServiceAccount(ServiceAccountId),
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The id.
    pub id: UserId,
    /// The email address used to log in.
    pub email: Email,
    /// The display name.
    pub name: PersonName,
    /// The role.
    pub role: Role,
    /// The scope, without deleted environments.
    pub scope: Scope,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// The time of the last request, accurate to the minute.
    pub last_active_at: Option<Timestamp>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountInfo {
    /// The id.
    pub id: ServiceAccountId,
    /// The name.
    pub name: ServiceAccountName,
    /// The purpose, in free text.
    pub description: Description,
    /// The role.
    pub role: Role,
    /// The scope, without deleted environments.
    pub scope: Scope,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The creator's name at that time.
    pub created_by: String,
    /// The number of API tokens.
    pub tokens: u32,
}

/// An API token, without the token text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The id.
    pub id: TokenId,
    /// The name given by the owner.
    pub name: TokenName,
    /// The first characters of the token, to recognize it by.
    pub prefix: String,
    /// The token's own role.
    pub role: Role,
    /// The token's own scope, without deleted environments.
    pub scope: Scope,
    /// The owner.
    pub owner: OwnerId,
    /// The time of the last use, accurate to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The time of expiry, if any.
    pub expires_at: Option<Timestamp>,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The creator's name at that time.
    pub created_by: String,
}

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The id.
    pub id: SessionId,
    /// The time of the login.
    pub created_at: Timestamp,
    /// The time of the last use, accurate to the minute.
    pub last_used_at: Timestamp,
    /// The latest time at which the session ends.
    pub expires_at: Timestamp,
    /// The client's address at the login.
    pub ip: Option<String>,
    /// The client's user agent at the login.
    pub user_agent: Option<String>,
}
