//! Access: from a credential to a principal.
//!
//! Owns: API tokens: making, hashing, looking up; how many requests a minute.
//! Must never: store or log a token; say why a token was refused.
//! Called by: `http` for every request, `cli` at the first start.

mod bootstrap;
mod limits;
mod recover;
mod token;

pub use bootstrap::{NewTokenFile, bootstrap};
pub use limits::{Limited, Limits, Rates};
pub use recover::recover_admin_token;
pub use token::{BadToken, NewToken, Token};

use std::sync::Arc;

use ring::hmac;
use subtle::ConstantTimeEq;

use crate::audit::{Action, Draft};
use crate::domain::{Clock, Credential, Origin, Owner, Principal, TokenId};
use crate::store::{ReadError, Store, TokenHashes, TokenRow, Tokens, Tx, View};
use crate::vault::{self, Random, Unlocked};

/// Why access could not be decided: never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The change could not be made.
    #[error("{0}")]
    Vault(#[from] vault::Error),
}

/// The room itself.
#[derive(Debug)]
pub struct Access {
    store: Arc<Store>,
    hasher: TokenHasher,
    clock: Arc<dyn Clock>,
}

impl Access {
    /// Puts the parts together.
    pub fn new(unlocked: &Unlocked, clock: Arc<dyn Clock>) -> Self {
        Self { store: Arc::clone(&unlocked.store), hasher: TokenHasher::new(unlocked), clock }
    }

    /// Who a token belongs to, with what it may do now; `None` for a token
    /// that is malformed, unknown or expired, without saying which.
    pub fn authenticate(&self, presented: &str) -> Result<Option<Principal>, Error> {
        let Ok(token) = Token::parse(presented) else { return Ok(None) };
        let hash = self.hasher.hash(&token);
        let Some(id) = self.store.get::<TokenHashes>(&hash)? else { return Ok(None) };
        let Some(row) = self.store.get::<Tokens>(&id)? else { return Ok(None) };
        let same: bool = row.hash.ct_eq(&hash).into();
        let expired = row.expires_at.is_some_and(|at| at <= self.clock.now());
        if !same || expired {
            return Ok(None);
        }
        Ok(Some(Principal {
            credential: Credential::Token(id),
            owner: Owner::Host,
            name: row.name,
            role: row.role,
            scope: row.scope,
        }))
    }

    /// Makes a token. It is shown this once; only its hash is stored.
    pub async fn create_token(&self, new: NewToken) -> Result<(TokenId, Token), Error> {
        let token = Token::generate(Random)?;
        let now = self.clock.now();
        let id = TokenId::new(now, Random.bytes()?);
        let hash = self.hasher.hash(&token);
        let row = new.into_row(&token, hash, now);
        let draft = Draft::new(Action::TokenCreate, &Principal::host(), &Origin::host(), now);
        let draft = draft.on(id, Some(&row.name));
        let stored = self.store.commit(move |tx| {
            put_token(tx, id, &row);
            Ok::<_, vault::Error>(((), draft))
        });
        stored.await.map_err(vault::Error::from)?;
        Ok((id, token))
    }
}

fn put_token(tx: &mut Tx<'_>, id: TokenId, row: &TokenRow) {
    tx.put::<Tokens>(&id, row);
    tx.put::<TokenHashes>(&row.hash, &id);
}

/// hash = HMAC-SHA256(token key, "coffer token v1\0" | token)
///
/// A token has 256 random bits, so nothing slow is needed; the key makes the
/// hashes of a stolen database useless for checking guesses at weaker ones.
struct TokenHasher(hmac::Key);

impl std::fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHasher(..)")
    }
}

impl TokenHasher {
    fn new(unlocked: &Unlocked) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, unlocked.token_key.bytes().as_slice()))
    }

    fn hash(&self, token: &Token) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"coffer token v1\0");
        context.update(token.expose().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }
}
