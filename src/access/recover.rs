//! A new admin token for an operator who has lost the last one.
//!
//! Owns: the only way to a credential without a credential.
//! Must never: run while a server has the database open (opening it fails then).
//! Called by: `cli`, on the host.

use crate::access::error::Error;
use crate::access::hash::Hasher;
use crate::access::token::Token;
use crate::access::tokens::{HostToken, described, put_token};
use crate::audit::{Action, Draft};
use crate::domain::{Origin, Principal, Role, Scope, Timestamp, TokenId, TokenName};
use crate::vault::{Random, Unlocked};

/// Creates a token with the admin role for every environment, in a database that no server has open.
/// The audit log records it like any other.
pub fn recover_admin_token(
    unlocked: &Unlocked,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(TokenId, Token), Error> {
    let token = Token::generate(Random)?;
    let id = TokenId::new(now, Random.bytes()?);
    let new = HostToken {
        name: TokenName::parse("recovery").expect("the name follows the rule"),
        role: Role::Admin,
        scope: Scope::All,
        expires_at,
    };
    let row = new.into_row(&token, Hasher::new(unlocked).token(&token), now);
    let draft = Draft::new(Action::TokenRecover, &Principal::host(), &Origin::host(), now);
    let draft = draft.on(id, Some(row.name.as_str())).details(&described(&row));
    unlocked
        .store
        .change(move |tx| {
            put_token(tx, id, &row);
            Ok::<_, Error>(((), draft))
        })
        .commit_blocking()
        .map_err(Error::from)?;
    Ok((id, token))
}
