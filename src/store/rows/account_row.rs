//! The rows of users, service accounts, tokens and sessions.
//!
//! Owns: the row types of accounts, and upgrades from their older formats.
//! Must never: contain a credential, only hashes of credentials.
//! Called by: `access`, through the tables.

use serde::{Deserialize, Serialize};

use crate::domain::{
    Description, Email, OwnerId, PersonName, Role, Scope, ServiceAccountName, SessionId, Timestamp,
    TokenId, TokenName, UserId,
};

use crate::store::rows::row::decode_body;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct UserRow {
    pub email: Email,
    pub name: PersonName,
    pub role: Role,
    pub scope: Scope,
    pub disabled: bool,
    pub password: PasswordRow,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A password hash and its parameters: Argon2id, version 0x13 (RFC 9106).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRow {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Number of passes.
    pub passes: u32,
    /// Salt, random for each password.
    pub salt: [u8; 16],
    /// The hash.
    pub hash: [u8; 32],
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ServiceAccountRow {
    pub name: ServiceAccountName,
    pub description: Description,
    pub role: Role,
    pub scope: Scope,
    pub disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The name, at that time, of who created it.
    pub created_by: String,
}

/// An API token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// The name that its owner gave it.
    pub name: TokenName,
    /// The first characters of the token, to recognize it by.
    pub prefix: String,
    /// The hash that it is looked up by.
    pub hash: [u8; 32],
    /// The role that limits it.
    pub role: Role,
    /// The scope that limits it.
    pub scope: Scope,
    /// When it expires, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its owner.
    pub owner: OwnerId,
    /// The name, at that time, of who created it.
    pub created_by: String,
}

/// Format 1 of a token, from before tokens had owners: all of them belonged to the host.
#[derive(Deserialize)]
struct TokenRow1 {
    name: String,
    prefix: String,
    hash: [u8; 32],
    role: Role,
    scope: Scope,
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// Converts a token's row from an older format.
pub(in crate::store) fn upgrade_token(format: u8, body: &[u8]) -> Option<TokenRow> {
    if format != 1 {
        return None;
    }
    let old: TokenRow1 = decode_body(body).ok()?;
    Some(TokenRow {
        name: TokenName::parse(&old.name).ok()?,
        prefix: old.prefix,
        hash: old.hash,
        role: old.role,
        scope: old.scope,
        expires_at: old.expires_at,
        created_at: old.created_at,
        owner: OwnerId::Host,
        created_by: "coffer".to_owned(),
    })
}

/// A session, without its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Its owner.
    pub user: UserId,
    /// The hash that it is looked up by.
    pub hash: [u8; 32],
    /// When the user logged in.
    pub created_at: Timestamp,
    /// When it expires if it is not ended before.
    pub expires_at: Timestamp,
    /// The client's IP address at login.
    pub ip: Option<String>,
    /// The client's `User-Agent` header at login.
    pub user_agent: Option<String>,
}

/// Something whose time of last use is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// A token.
    Token(TokenId),
    /// A session.
    Session(SessionId),
    /// A user, through one of their sessions or tokens.
    User(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that version 1 of the format consists of.
    #[test]
    fn a_token_of_the_first_format_is_the_hosts() {
        let old = (
            "bootstrap".to_owned(),
            "cof_abcd".to_owned(),
            [7u8; 32],
            Role::Admin,
            Scope::All,
            None::<Timestamp>,
            Timestamp::from_millis(5),
        );
        let body = postcard::to_stdvec(&old).unwrap();
        let row = upgrade_token(1, &body).unwrap();
        assert_eq!((row.owner, row.role, row.hash), (OwnerId::Host, Role::Admin, [7; 32]));
        assert_eq!(upgrade_token(2, &body), None);
        assert_eq!(upgrade_token(1, &[&body[..], b"x"].concat()), None);
    }
}
