//! Revocation of sessions and tokens, inside a change: once the change is acknowledged, a revoked
//! credential no longer works.
//!
//! Owns: which rows a session and a token consist of.
//! Must never: fail because a row is damaged; a damaged credential must still be revocable.
//! Called by: the verbs on users, service accounts, sessions and tokens.

use std::collections::HashMap;

use crate::access::damaged_rows::only_readable;
use crate::domain::{OwnerId, Role, SessionId, TokenId, UserId};
use crate::store::{
    LastUses, ReadError, SessionHashes, Sessions, TokenHashes, TokenRow, Tokens, Tx, Used,
    UserSessions, View,
};

/// Ends a session, even if its rows are damaged.
pub(super) fn end_session(tx: &mut Tx<'_>, user: UserId, id: SessionId) -> Result<(), ReadError> {
    match tx.get::<Sessions>(&id) {
        Ok(Some(row)) => tx.remove::<SessionHashes>(&row.hash),
        // Without the row, the entry by hash leads nowhere.
        Ok(None) | Err(ReadError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    tx.remove::<Sessions>(&id);
    tx.remove::<UserSessions>(&(user, id));
    tx.remove::<LastUses>(&Used::Session(id));
    Ok(())
}

/// Ends all sessions of a user, and returns their number.
pub(super) fn end_sessions(tx: &mut Tx<'_>, user: UserId) -> Result<usize, ReadError> {
    let sessions = sessions_of(tx, user)?;
    for id in &sessions {
        end_session(tx, user, *id)?;
    }
    Ok(sessions.len())
}

/// Returns the sessions of a user, oldest first.
pub(super) fn sessions_of(view: &impl View, user: UserId) -> Result<Vec<SessionId>, ReadError> {
    let within = user.to_bytes();
    view.keys::<UserSessions>(&within).map(|key| key.map(|(_, id)| id)).collect()
}

/// Deletes a token.
pub(super) fn end_token(tx: &mut Tx<'_>, id: TokenId, hash: &[u8; 32]) {
    tx.remove::<TokenHashes>(hash);
    tx.remove::<Tokens>(&id);
    tx.remove::<LastUses>(&Used::Token(id));
}

/// Deletes the tokens of an owner, or only those with a role above `above`, and returns their
/// number.
pub(super) fn end_tokens(
    tx: &mut Tx<'_>,
    owner: OwnerId,
    above: Option<Role>,
) -> Result<usize, ReadError> {
    let mut ended = tokens_of(tx, owner)?;
    ended.retain(|(_, row)| above.is_none_or(|role| row.role > role));
    for (id, row) in &ended {
        end_token(tx, *id, &row.hash);
    }
    Ok(ended.len())
}

/// Returns the tokens of an owner, oldest first. Skips a damaged one, which does not authenticate
/// anybody.
pub(super) fn tokens_of(
    view: &impl View,
    owner: OwnerId,
) -> Result<Vec<(TokenId, TokenRow)>, ReadError> {
    let is_owned = |found: &Result<(TokenId, TokenRow), ReadError>| {
        found.as_ref().map_or(true, |(_, row)| row.owner == owner)
    };
    view.scan::<Tokens>(&[], None).filter_map(only_readable).filter(is_owned).collect()
}

/// Returns the number of tokens of each owner.
pub(super) fn tokens_by_owner(view: &impl View) -> Result<HashMap<OwnerId, usize>, ReadError> {
    let mut counts = HashMap::new();
    for row in view.scan::<Tokens>(&[], None).filter_map(only_readable) {
        let (_, row) = row?;
        *counts.entry(row.owner).or_insert(0) += 1;
    }
    Ok(counts)
}
