//! Authentication: from a presented credential to a principal.
//!
//! Owns: the look-up by hash, and the idle limit of sessions.
//! Must never: say why a credential was refused.
//! Called by: `http` for every request with a credential.

use subtle::ConstantTimeEq;

use crate::access::error::Error;
use crate::access::state::Access;
use crate::access::token::{Token, TokenKind};
use crate::domain::{Principal, SessionId, Timestamp, TokenId};
use crate::store::{
    ReadError, SessionHashes, SessionRow, Sessions, TokenHashes, Tokens, Used, View,
};
use crate::vault;

impl Access {
    /// Returns the principal of a credential, with its present permissions. Returns `None` for a
    /// credential that is malformed, unknown, expired or revoked, without saying which.
    pub fn authenticate(&self, presented: &str) -> Result<Option<Principal>, Error> {
        let Ok((kind, token)) = Token::parse_any(presented) else { return Ok(None) };
        let hash = self.hasher.token(&token);
        let now = self.clock.now();
        let (principal, used) = match kind {
            TokenKind::Api => match self.store.get::<TokenHashes>(&hash)? {
                Some(id) => (self.by_token(id, &hash, now)?, Used::Token(id)),
                None => return Ok(None),
            },
            TokenKind::Session => match self.store.get::<SessionHashes>(&hash)? {
                Some(id) => (self.by_session(id, &hash, now)?, Used::Session(id)),
                None => return Ok(None),
            },
        };
        if let Some(principal) = &principal {
            let user = principal.user_id().map(Used::User);
            let used: Vec<_> = [Some(used), user].into_iter().flatten().collect();
            self.last_used.touch(&self.store, &used, now);
        }
        Ok(principal)
    }

    fn by_token(
        &self,
        id: TokenId,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Principal>, ReadError> {
        match self.store.get::<Tokens>(&id)? {
            Some(row) if is_same(&row.hash, hash) => {
                vault::token_principal(&*self.store, id, row, now)
            }
            _ => Ok(None),
        }
    }

    fn by_session(
        &self,
        id: SessionId,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Principal>, ReadError> {
        let Some(row) = self.store.get::<Sessions>(&id)? else { return Ok(None) };
        let last_used_at = self.last_used_at(id, &row)?;
        if !is_same(&row.hash, hash) || self.is_idle(last_used_at, now) {
            return Ok(None);
        }
        vault::session_principal(&*self.store, id, &row, now)
    }

    /// Returns the time of the last request of a session, or of its login.
    pub(super) fn last_used_at(
        &self,
        id: SessionId,
        row: &SessionRow,
    ) -> Result<Timestamp, ReadError> {
        Ok(self.last_used.get(&self.store, Used::Session(id))?.unwrap_or(row.created_at))
    }

    /// Reports whether a session has ended because it was not used.
    pub(super) fn is_idle(&self, last_used_at: Timestamp, now: Timestamp) -> bool {
        let idle = now.millis().saturating_sub(last_used_at.millis());
        idle >= self.settings.session_idle_millis
    }
}

fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}
