//! The verbs on API tokens.
//!
//! Owns: the rules that bind a token to its owner, and the rows of a token.
//! Must never: store a token, or return one except from its creation.
//! Called by: `http`; `server` and `recover` for tokens of the host.

use serde_json::json;

use crate::access::damaged_rows::skip_damaged;
use crate::access::error::Error;
use crate::access::last_used::stored_last_use;
use crate::access::permissions::scope_text;
use crate::access::revocation::end_token;
use crate::access::scope::{NewScope, existing_scope};
use crate::access::state::Access;
use crate::access::token::Token;
use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Origin, Owner, OwnerId, Principal, Role, Scope, ServiceAccountId, Timestamp, TokenId,
    TokenInfo, TokenName, UserId,
};
use crate::store::{ReadError, TokenHashes, TokenRow, Tokens, Tx, Used, View};
use crate::vault::{self, Administer, Permit, Random};

const DAY_MILLIS: i64 = 86_400_000;

/// The owner of a new token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTokenOwner {
    /// The caller.
    Caller,
    /// A user.
    User(UserId),
    /// A service account.
    ServiceAccount(ServiceAccountId),
}

/// A token to create.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The name.
    pub name: TokenName,
    /// The role, at most the owner's.
    pub role: Role,
    /// The scope; the effective scope is limited by the owner's.
    pub scope: NewScope,
    /// The owner.
    pub owner: NewTokenOwner,
    /// The number of days after which it expires, if any.
    pub expires_in_days: Option<u32>,
}

/// A token that the host creates for itself.
#[derive(Debug, Clone)]
pub struct HostToken {
    /// The name.
    pub name: TokenName,
    /// The role.
    pub role: Role,
    /// The scope.
    pub scope: Scope,
    /// The time of expiry, if any.
    pub expires_at: Option<Timestamp>,
}

impl HostToken {
    pub(super) fn into_row(self, token: &Token, hash: [u8; 32], now: Timestamp) -> TokenRow {
        TokenRow {
            name: self.name,
            prefix: token.prefix(),
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

/// Selects tokens of a list.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenFilter {
    /// Only tokens of this user.
    pub user: Option<UserId>,
    /// Only tokens of this service account.
    pub service_account: Option<ServiceAccountId>,
}

impl TokenFilter {
    fn matches(&self, owner: OwnerId) -> bool {
        self.user.is_none_or(|id| owner == OwnerId::User(id))
            && self.service_account.is_none_or(|id| owner == OwnerId::ServiceAccount(id))
    }
}

/// Writes the rows of a token.
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
        scope: existing_scope(view, row.scope)?,
        owner: row.owner,
        last_used_at: stored_last_use(view, Used::Token(id))?,
        expires_at: row.expires_at,
        created_at: row.created_at,
        created_by: row.created_by,
    })
}

impl Access {
    /// Lists the tokens that match a filter, newest first. May block on the disk.
    pub fn list_tokens(
        &self,
        _: &Permit<Administer>,
        filter: TokenFilter,
    ) -> Result<Vec<TokenInfo>, Error> {
        let mut listed = Vec::new();
        for found in self.store.scan_back::<Tokens>().filter_map(skip_damaged) {
            let (id, row) = found?;
            if filter.matches(row.owner) {
                listed.push(info(&*self.store, id, row)?);
            }
        }
        Ok(listed)
    }

    /// Creates a token. It is returned only here; the database stores its hash.
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
        let (prefix, hash) = (token.prefix(), self.hasher.token(&token));
        let draft = permit.draft(Action::TokenCreate, now);
        let created_by = permit.actor_name();
        let stored = self
            .change(permit, move |tx| {
                let user = matches!(owner, OwnerId::User(_));
                let permissions =
                    Self::owner_permissions(tx, owner)?.ok_or(Error::NoSuchOwner { user })?;
                if permissions.disabled {
                    return Err(Error::OwnerDisabled);
                }
                if new.role > permissions.role {
                    return Err(Error::RoleAboveOwner { owner: permissions.role });
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

    /// Deletes a token. It no longer works when this returns.
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

    /// Creates a token of the host, without a permit.
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

/// Describes a token in the details of an audit row: enough to recognize it, and no more.
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
