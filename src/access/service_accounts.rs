//! The verbs on service accounts: owners of tokens that are not people.
//!
//! Owns: the rows of a service account, and the permissions of any owner of a token.
//! Must never: delete a service account without its tokens.
//! Called by: `http`; `tokens` for the owner of a new token.

use serde_json::{Value, json};

use crate::access::damaged_rows::skip_damaged;
use crate::access::error::Error;
use crate::access::permissions::{
    Permissions, PermissionsPatch, Revocation, changed_members, describe_change, revocation,
    scope_text,
};
use crate::access::revocation::{end_tokens, tokens_by_owner, tokens_of};
use crate::access::scope::{NewScope, existing_scope};
use crate::access::state::Access;
use crate::audit::{Action, ResourceType};
use crate::domain::{
    Description, OwnerId, Role, Scope, ServiceAccountId, ServiceAccountInfo, ServiceAccountName,
    Timestamp,
};
use crate::store::{
    ReadError, ServiceAccountNames, ServiceAccountRow, ServiceAccounts, Tx, Users, View,
};
use crate::vault::{self, Administer, Permit, Random};

/// A service account to create.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// The name.
    pub name: ServiceAccountName,
    /// The purpose, in free text.
    pub description: Description,
    /// The role.
    pub role: Role,
    /// The scope.
    pub scope: NewScope,
}

/// Changes to a service account. `None` keeps the present value.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccountPatch {
    /// The purpose, in free text.
    pub description: Option<Description>,
    /// The role.
    pub role: Option<Role>,
    /// The scope.
    pub scope: Option<NewScope>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
}

fn info(
    view: &impl View,
    id: ServiceAccountId,
    row: ServiceAccountRow,
    tokens: usize,
) -> Result<ServiceAccountInfo, ReadError> {
    Ok(ServiceAccountInfo {
        id,
        name: row.name,
        description: row.description,
        role: row.role,
        scope: existing_scope(view, row.scope)?,
        disabled: row.disabled,
        created_at: row.created_at,
        updated_at: row.updated_at,
        created_by: row.created_by,
        tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
    })
}

fn is_missing() -> Error {
    vault::Error::NotFound(ResourceType::ServiceAccount).into()
}

fn parse(text: &str) -> Result<ServiceAccountId, Error> {
    text.parse().map_err(|_| is_missing())
}

impl Access {
    /// Lists all service accounts, sorted by name. May block on the disk.
    pub fn list_service_accounts(
        &self,
        _: &Permit<Administer>,
    ) -> Result<Vec<ServiceAccountInfo>, Error> {
        let counts = tokens_by_owner(&*self.store)?;
        let mut listed = Vec::new();
        for found in self.store.scan::<ServiceAccounts>(&[], None).filter_map(skip_damaged) {
            let (id, row) = found?;
            let tokens = counts.get(&OwnerId::ServiceAccount(id)).copied();
            listed.push(info(&*self.store, id, row, tokens.unwrap_or(0))?);
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Reads a service account. May block on the disk.
    pub fn read_service_account(
        &self,
        _: &Permit<Administer>,
        id: &str,
    ) -> Result<ServiceAccountInfo, Error> {
        let id = parse(id)?;
        let row = self.store.get::<ServiceAccounts>(&id)?.ok_or_else(is_missing)?;
        let tokens = tokens_of(&*self.store, OwnerId::ServiceAccount(id))?.len();
        Ok(info(&*self.store, id, row, tokens)?)
    }

    /// Creates a service account.
    pub async fn create_service_account(
        &self,
        permit: &Permit<Administer>,
        new: NewServiceAccount,
    ) -> Result<ServiceAccountInfo, Error> {
        let now = self.clock.now();
        let id = ServiceAccountId::new(now, Random.bytes()?);
        let draft = permit.draft(Action::ServiceAccountCreate, now);
        let created_by = permit.actor_name();
        self.change(permit, move |tx| {
            let name = new.name.as_str().to_owned();
            if tx.has::<ServiceAccountNames>(&name)? {
                return Err(vault::Error::Exists(ResourceType::ServiceAccount).into());
            }
            let row = ServiceAccountRow {
                name: new.name,
                description: new.description,
                role: new.role,
                scope: new.scope.check(tx)?,
                disabled: false,
                created_at: now,
                updated_at: now,
                created_by,
            };
            tx.put::<ServiceAccounts>(&id, &row);
            tx.put::<ServiceAccountNames>(&name, &id);
            let details = json!({ "role": row.role, "scope": scope_text(&row.scope) });
            let draft = draft.on(id, Some(&name)).details(&details);
            Ok((info(tx, id, row, 0)?, draft))
        })
        .commit_once()
        .await
    }

    /// Changes a service account. Lowering the role ends tokens with a higher role; disabling ends all
    /// tokens.
    pub async fn update_service_account(
        &self,
        permit: &Permit<Administer>,
        id: &str,
        patch: ServiceAccountPatch,
    ) -> Result<ServiceAccountInfo, Error> {
        let id = parse(id)?;
        let now = self.clock.now();
        let draft = permit.draft(Action::ServiceAccountUpdate, now);
        self.change(permit, move |tx| {
            let old = tx.get::<ServiceAccounts>(&id)?.ok_or_else(is_missing)?;
            let name = old.name.clone();
            let (new, details) = update(tx, id, old, patch, now)?;
            let tokens = tokens_of(tx, OwnerId::ServiceAccount(id))?.len();
            let draft = draft.on(id, Some(name.as_str())).details(&details);
            Ok((info(tx, id, new, tokens)?, draft))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Deletes a service account and its tokens.
    pub async fn delete_service_account(
        &self,
        permit: &Permit<Administer>,
        id: &str,
    ) -> Result<(), Error> {
        let id = parse(id)?;
        let draft = permit.draft(Action::ServiceAccountDelete, self.clock.now());
        self.change(permit, move |tx| {
            let row = tx.get::<ServiceAccounts>(&id)?.ok_or_else(is_missing)?;
            let ended = end_tokens(tx, OwnerId::ServiceAccount(id), None)?;
            tx.remove::<ServiceAccounts>(&id);
            tx.remove::<ServiceAccountNames>(&row.name.as_str().to_owned());
            let draft = draft.on(id, Some(row.name.as_str()));
            Ok(((), draft.details(&json!({ "endedTokens": ended }))))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Returns the permissions of the owner of a token, or `None` if the owner does not exist.
    pub(super) fn owner_permissions(
        view: &impl View,
        owner: OwnerId,
    ) -> Result<Option<Permissions>, ReadError> {
        Ok(match owner {
            OwnerId::Host => {
                Some(Permissions { role: Role::Admin, scope: Scope::All, disabled: false })
            }
            OwnerId::User(id) => view.get::<Users>(&id)?.map(|row| Permissions {
                role: row.role,
                scope: row.scope,
                disabled: row.disabled,
            }),
            OwnerId::ServiceAccount(id) => {
                view.get::<ServiceAccounts>(&id)?.as_ref().map(permissions)
            }
        })
    }
}

fn permissions(row: &ServiceAccountRow) -> Permissions {
    Permissions { role: row.role, scope: row.scope.clone(), disabled: row.disabled }
}

/// Applies a patch: writes the row and ends the tokens that the change ends. Returns the new row and
/// the details for the audit row.
fn update(
    tx: &mut Tx<'_>,
    id: ServiceAccountId,
    row: ServiceAccountRow,
    patch: ServiceAccountPatch,
    now: Timestamp,
) -> Result<(ServiceAccountRow, Value), Error> {
    let ServiceAccountPatch { description, role, scope, disabled } = patch;
    let old = permissions(&row);
    let new = PermissionsPatch { role, scope, disabled }.apply(tx, &old)?;
    let description = description.unwrap_or_else(|| row.description.clone());
    let own = ("description", description != row.description);
    let changed = changed_members(&old, &new, own);
    let owner = OwnerId::ServiceAccount(id);
    let ended = match revocation(&old, &new) {
        Revocation::Nothing => 0,
        Revocation::Everything => end_tokens(tx, owner, None)?,
        Revocation::Above(role) => end_tokens(tx, owner, Some(role))?,
    };
    let mut details = json!({ "changed": changed, "endedTokens": ended });
    describe_change(&mut details, &old, &new);
    let Permissions { role, scope, disabled } = new;
    let mut row = ServiceAccountRow { description, role, scope, disabled, ..row };
    if !changed.is_empty() {
        row.updated_at = now.max(row.updated_at);
        tx.put::<ServiceAccounts>(&id, &row);
    }
    Ok((row, details))
}
