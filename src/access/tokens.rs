//! The verbs on API tokens.

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Origin, Owner, OwnerId, Principal, Role, Scope, ServiceAccountId, Timestamp, TokenId,
    TokenInfo, TokenName, UserId,
};
use crate::store::{ReadError, TokenHashes, TokenRow, Tokens, Tx, Used, View};
use crate::vault::{self, Administer, Permit, Random};

use crate::access::Access;
use crate::access::error::Error;
use crate::access::last_used::written;
use crate::access::revocation::end_token;
use crate::access::scope::NewScope;
use crate::access::scope::present;
use crate::access::token::Token;
use crate::access::users::scope_text;

const DAY_MILLIS: i64 = 86_400_000;

/// Whose a token is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTokenOwner {
    /// The caller's.
    Caller,
    /// A user's.
    User(UserId),
    /// A service account's.
    ServiceAccount(ServiceAccountId),
}

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What its owner calls it.
    pub name: TokenName,
    /// Its role, at most its owner's.
    pub role: Role,
    /// Its scope; it reaches no further than its owner's.
    pub scope: NewScope,
    /// Whose it is.
    pub owner: NewTokenOwner,
    /// After how many days it stops working, if ever.
    pub expires_in_days: Option<u32>,
}

/// A token that the host makes for itself.
#[derive(Debug, Clone)]
pub struct HostToken {
    /// What it is called.
    pub name: TokenName,
    /// Its role.
    pub role: Role,
    /// Its scope.
    pub scope: Scope,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
}

impl HostToken {
    pub(super) fn into_row(self, token: &Token, hash: [u8; 32], now: Timestamp) -> TokenRow {
        TokenRow {
            name: self.name,
            prefix: token.shown(),
            hash,
            role: self.role,
            scope: self.scope,
            expires_at: self.expires_at,
            created_at: now,
            owner: OwnerId::Host,
            created_by: Principal::host().name,
        }
    }
}

/// Which tokens are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenFilter {
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those of this service account.
    pub service_account: Option<ServiceAccountId>,
}

impl TokenFilter {
    fn fits(&self, owner: OwnerId) -> bool {
        self.user.is_none_or(|id| owner == OwnerId::User(id))
            && self.service_account.is_none_or(|id| owner == OwnerId::ServiceAccount(id))
    }
}

pub(super) fn put_token(tx: &mut Tx<'_>, id: TokenId, row: &TokenRow) {
    tx.put::<Tokens>(&id, row);
    tx.put::<TokenHashes>(&row.hash, &id);
}

fn info(view: &impl View, id: TokenId, row: TokenRow) -> Result<TokenInfo, ReadError> {
    Ok(TokenInfo {
        id,
        name: row.name,
        prefix: row.prefix,
        role: row.role,
        scope: present(view, row.scope)?,
        owner: row.owner,
        last_used_at: written(view, Used::Token(id))?,
        expires_at: row.expires_at,
        created_at: row.created_at,
        created_by: row.created_by,
    })
}

impl Access {
    /// All tokens that are wanted, newest first. May block on the disk.
    pub fn list_tokens(
        &self,
        _: &Permit<Administer>,
        filter: TokenFilter,
    ) -> Result<Vec<TokenInfo>, Error> {
        let mut listed = Vec::new();
        for found in self.store.scan_back::<Tokens>() {
            match found {
                Ok((id, row)) if filter.fits(row.owner) => {
                    listed.push(info(&*self.store, id, row)?);
                }
                Ok(_) => {}
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(listed)
    }

    /// Makes a token. It is shown this once; only its hash is stored.
    pub async fn create_token(
        &self,
        permit: &Permit<Administer>,
        new: NewToken,
    ) -> Result<(TokenInfo, Token), Error> {
        let token = Token::generate(Random)?;
        let now = self.clock.now();
        let id = TokenId::new(now, Random.bytes()?);
        let owner = match (new.owner, &permit.principal().owner) {
            (NewTokenOwner::User(id), _) => OwnerId::User(id),
            (NewTokenOwner::ServiceAccount(id), _) => OwnerId::ServiceAccount(id),
            (NewTokenOwner::Caller, Owner::User(label)) => OwnerId::User(label.id),
            (NewTokenOwner::Caller, Owner::ServiceAccount(id)) => OwnerId::ServiceAccount(*id),
            (NewTokenOwner::Caller, Owner::Host) => OwnerId::Host,
        };
        let days =
            move |days: u32| Timestamp::from_millis(now.millis() + i64::from(days) * DAY_MILLIS);
        let (prefix, hash) = (token.shown(), self.hasher.token(&token));
        let draft = permit.draft(Action::TokenCreate, now);
        let created_by = permit.actor_name();
        let stored = self
            .change(permit, move |tx| {
                let user = matches!(owner, OwnerId::User(_));
                let (role, _, disabled) =
                    Self::owner(tx, owner)?.ok_or(Error::NoSuchOwner { user })?;
                if disabled {
                    return Err(Error::OwnerDisabled);
                }
                if new.role > role {
                    return Err(Error::RoleAboveOwner { owner: role });
                }
                let row = TokenRow {
                    name: new.name,
                    prefix,
                    hash,
                    role: new.role,
                    scope: new.scope.check(tx)?,
                    expires_at: new.expires_in_days.map(days),
                    created_at: now,
                    owner,
                    created_by,
                };
                put_token(tx, id, &row);
                let draft = draft.on(id, Some(row.name.as_str())).details(&described(&row));
                Ok((info(tx, id, row)?, draft))
            })
            .commit_once();
        Ok((stored.await?, token))
    }

    /// Deletes a token. It lets nobody in any more when this returns.
    pub async fn delete_token(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let missing = || Error::from(vault::Error::NotFound(ResourceType::Token));
        let id: TokenId = id.parse().map_err(|_| missing())?;
        let draft = permit.draft(Action::TokenDelete, self.clock.now());
        self.change(permit, move |tx| {
            let row = tx.get::<Tokens>(&id)?.ok_or_else(missing)?;
            end_token(tx, id, &row.hash);
            Ok(((), draft.on(id, Some(row.name.as_str())).details(&described(&row))))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Makes a token of the host's, without anybody to ask for it.
    pub async fn create_host_token(&self, new: HostToken) -> Result<(TokenId, Token), Error> {
        let token = Token::generate(Random)?;
        let now = self.clock.now();
        let id = TokenId::new(now, Random.bytes()?);
        let row = new.into_row(&token, self.hasher.token(&token), now);
        let draft = Draft::new(Action::TokenCreate, &Principal::host(), &Origin::host(), now);
        let draft = draft.on(id, Some(row.name.as_str())).details(&described(&row));
        let stored = self
            .store
            .change(move |tx| {
                put_token(tx, id, &row);
                Ok::<_, Error>(((), draft))
            })
            .commit();
        stored.await.map_err(Error::from)?;
        Ok((id, token))
    }
}

/// What an audit row says about a token: enough to recognise it, and no more.
pub(super) fn described(row: &TokenRow) -> serde_json::Value {
    let (user, account) = match row.owner {
        OwnerId::Host => (None, None),
        OwnerId::User(id) => (Some(id), None),
        OwnerId::ServiceAccount(id) => (None, Some(id)),
    };
    json!({
        "tokenPrefix": row.prefix,
        "role": row.role,
        "scope": scope_text(&row.scope),
        "expiresAt": row.expires_at,
        "ownerUserId": user,
        "ownerServiceAccountId": account,
    })
}
