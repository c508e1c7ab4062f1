//! The rows of users, service accounts, tokens and sessions. Hashes of
//! credentials are in them, never a credential.

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

/// A password's hash, and how to come by it: Argon2id, version 0x13 (RFC 9106).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordRow {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
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
    /// Who created it, by the name they had then.
    pub created_by: String,
}

/// An API token, without the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// What its owner calls it.
    pub name: TokenName,
    /// The first characters of the token, to recognise it by.
    pub prefix: String,
    /// The hash under which it is found.
    pub hash: [u8; 32],
    /// Its own role.
    pub role: Role,
    /// Its own scope.
    pub scope: Scope,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whose it is.
    pub owner: OwnerId,
    /// Who made it, by the name they had then.
    pub created_by: String,
}

/// Format 1 of a token: before there were owners, all of them were the host's.
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

/// From an older format.
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
    /// Whose it is.
    pub user: UserId,
    /// The hash under which it is found.
    pub hash: [u8; 32],
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// The client's address at the login.
    pub ip: Option<String>,
    /// What the client said it was, at the login.
    pub user_agent: Option<String>,
}

/// Something of which the last use is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Used {
    /// A token.
    Token(TokenId),
    /// A session.
    Session(SessionId),
    /// A user, by a session or a token of theirs.
    User(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that the first version of this program wrote.
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
