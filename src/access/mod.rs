//! Access: from a credential to a principal; who there is at all.
//!
//! Owns: users and their passwords, sessions, service accounts, API tokens;
//! looking up who a credential belongs to; how many requests and how many
//! failed logins there may be.
//! Must never: store or log a credential, or keep one in memory; say why one
//! was refused; decide what a principal may do (the vault's policy does).
//! Called by: `http` for every request, `cli` at the first start and for the
//! operator of the host.

mod bootstrap;
mod error;
mod failures;
mod hash;
mod last_used;
mod limits;
mod password;
mod recover;
mod registration;
mod revocation;
mod scope;
mod service_accounts;
mod sessions;
mod token;
mod tokens;
mod users;

pub use bootstrap::{FirstUser, NewTokenFile, bootstrap};
pub use error::Error;
pub use limits::{Limit, Limited, Limits, Rates};
pub use password::{Cost, NewPassword, Password};
pub use recover::recover_admin_token;
pub use registration::{Registrant, Registration};
pub use scope::NewScope;
pub use service_accounts::{NewServiceAccount, ServiceAccountPatch};
pub use sessions::{Client, NewSession};
pub use token::{BadToken, Token};
pub use tokens::{HostToken, NewToken, NewTokenOwner, TokenFilter};
pub use users::{Me, NewUser, UserPatch};

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::audit::Draft;
use crate::domain::{Clock, Principal, SessionId, Timestamp, TokenId};
use crate::store::{
    ReadError, SessionHashes, Sessions, Store, TokenHashes, Tokens, Tx, Used, View,
};
use crate::vault::{self, GuardedChange, Level, Permit, Unlocked};

use failures::Failures;
use hash::Hasher;
use last_used::Uses;
use password::Passwords;
use token::TokenKind;

/// What the configuration says about credentials.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What one password hash costs.
    pub cost: Cost,
    /// A session ends after so long without a request, in milliseconds.
    pub session_idle_millis: i64,
    /// A session ends after so long, in milliseconds.
    pub session_millis: i64,
    /// Failed logins before anybody waits; 0 is no limit.
    pub login_failures: u32,
}

/// The room itself.
#[derive(Debug)]
pub struct Access {
    store: Arc<Store>,
    hasher: Hasher,
    passwords: Passwords,
    failures: Arc<Failures>,
    uses: Uses,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Access {
    /// Puts the parts together.
    pub fn new(unlocked: &Unlocked, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        let hasher = Hasher::new(unlocked);
        Self {
            store: Arc::clone(&unlocked.store),
            passwords: Passwords::new(hasher.pepper(), settings.cost),
            hasher,
            failures: Arc::new(Failures::new(settings.login_failures)),
            uses: Uses::default(),
            settings,
            clock,
        }
    }

    /// Who a credential belongs to, with what it may do now; `None` for one
    /// that is malformed, unknown, expired or ended, without saying which.
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
            self.uses.touch(&self.store, &used, now);
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
            Some(row) if same(&row.hash, hash) => {
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
        let seen = self.uses.last(&self.store, Used::Session(id))?.unwrap_or(row.created_at);
        let idle = now.millis().saturating_sub(seen.millis());
        if !same(&row.hash, hash) || idle >= self.settings.session_idle_millis {
            return Ok(None);
        }
        vault::session_principal(&*self.store, id, &row, now)
    }

    /// A change on behalf of a permit's caller.
    fn change<'a, L: Level, F, D>(
        &'a self,
        permit: &'a Permit<L>,
        run: F,
    ) -> GuardedChange<'a, L, F>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, Error> + Send + 'static,
    {
        GuardedChange::new(&self.store, permit, self.clock.now(), run)
    }

    /// Counts a wrong password, wherever it turns out to be one.
    fn wrong_password(
        &self,
        account: [u8; 32],
        ip: Option<std::net::IpAddr>,
    ) -> impl FnOnce() + Send + 'static {
        let (failures, clock) = (Arc::clone(&self.failures), Arc::clone(&self.clock));
        move || failures.failed(&account, ip, clock.now())
    }

    /// Writes an audit row about something that was refused.
    async fn record_refused(&self, draft: Draft) -> Result<(), Error> {
        self.store.record::<Error>(draft).as_refusal().commit().await.map_err(Error::from)
    }
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.ct_eq(b).into()
}
