//! Ending credentials, inside a change: what has ended before the change is
//! answered lets nobody in after it.

use std::collections::HashMap;

use crate::domain::{OwnerId, Role, SessionId, TokenId, UserId};
use crate::store::{
    LastUses, ReadError, SessionHashes, Sessions, TokenHashes, TokenRow, Tokens, Tx, Used,
    UserSessions, View,
};

/// Ends a session, whatever state its rows are in.
pub(super) fn end_session(tx: &mut Tx<'_>, user: UserId, id: SessionId) -> Result<(), ReadError> {
    match tx.get::<Sessions>(&id) {
        Ok(Some(row)) => tx.remove::<SessionHashes>(&row.hash),
        // Without its row its hash leads nowhere.
        Ok(None) | Err(ReadError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    tx.remove::<Sessions>(&id);
    tx.remove::<UserSessions>(&(user, id));
    tx.remove::<LastUses>(&Used::Session(id));
    Ok(())
}

/// Ends all sessions of a user; how many.
pub(super) fn end_sessions(tx: &mut Tx<'_>, user: UserId) -> Result<usize, ReadError> {
    let sessions = sessions_of(tx, user)?;
    for id in &sessions {
        end_session(tx, user, *id)?;
    }
    Ok(sessions.len())
}

/// A user's sessions, the oldest first.
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

/// Deletes all tokens of an owner, or those with a role above `above`; how many.
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

/// An owner's tokens, the oldest first. One that is damaged lets nobody in and
/// is left out.
pub(super) fn tokens_of(
    view: &impl View,
    owner: OwnerId,
) -> Result<Vec<(TokenId, TokenRow)>, ReadError> {
    let mut found = Vec::new();
    for row in view.scan::<Tokens>(&[], None) {
        match row {
            Ok((id, row)) if row.owner == owner => found.push((id, row)),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// How many tokens each owner has.
pub(super) fn tokens_by_owner(view: &impl View) -> Result<HashMap<OwnerId, usize>, ReadError> {
    let mut counts = HashMap::new();
    for row in view.scan::<Tokens>(&[], None) {
        match row {
            Ok((_, row)) => *counts.entry(row.owner).or_insert(0) += 1,
            Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}
