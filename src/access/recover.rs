//! A new admin token for whoever holds the host and has lost every other one.

use crate::audit::{Action, Draft};
use crate::domain::{Origin, Principal, Role, Scope, Timestamp, TokenId};
use crate::vault::{self, Random, Unlocked};

use super::{Error, NewToken, Token, TokenHasher, put_token};

/// Makes an admin token for everything, named "recovery". Blocks; for a
/// database that no server runs on.
pub fn recover_admin_token(
    unlocked: &Unlocked,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(TokenId, Token), Error> {
    let token = Token::generate(Random)?;
    let id = TokenId::new(now, Random.bytes()?);
    let hash = TokenHasher::new(unlocked).hash(&token);
    let name = "recovery".to_owned();
    let new = NewToken { name, role: Role::Admin, scope: Scope::All, expires_at };
    let row = new.into_row(&token, hash, now);
    let draft = Draft::new(Action::TokenCreate, &Principal::host(), &Origin::host(), now)
        .on(id, Some(&row.name));
    let stored = unlocked.store.commit_blocking(move |tx| {
        put_token(tx, id, &row);
        Ok(((), draft))
    });
    stored.map_err(vault::Error::from)?;
    Ok((id, token))
}
