//! The verbs on service accounts: owners of tokens that are not people.

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{
    Description, OwnerId, Role, Scope, ServiceAccountId, ServiceAccountInfo, ServiceAccountName,
};
use crate::store::{ReadError, ServiceAccountNames, ServiceAccountRow, ServiceAccounts, View};
use crate::vault::{self, Administer, Permit, Random};

use crate::access::Access;
use crate::access::error::Error;
use crate::access::revocation::{end_tokens, tokens_by_owner, tokens_of};
use crate::access::scope::NewScope;
use crate::access::scope::present;
use crate::access::users::{changed_scope, scope_text};

/// A service account to create.
#[derive(Debug, Clone)]
pub struct NewServiceAccount {
    /// Its name.
    pub name: ServiceAccountName,
    /// What it is for.
    pub description: Description,
    /// Its role.
    pub role: Role,
    /// Its scope.
    pub scope: NewScope,
}

/// Changes to a service account. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct ServiceAccountPatch {
    /// What it is for.
    pub description: Option<Description>,
    /// Its role.
    pub role: Option<Role>,
    /// Its scope.
    pub scope: Option<NewScope>,
    /// Whether it may do anything.
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
        scope: present(view, row.scope)?,
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
    /// All service accounts, by name. May block on the disk.
    pub fn list_service_accounts(
        &self,
        _: &Permit<Administer>,
    ) -> Result<Vec<ServiceAccountInfo>, Error> {
        let counts = tokens_by_owner(&*self.store)?;
        let mut listed = Vec::new();
        for found in self.store.scan::<ServiceAccounts>(&[], None) {
            match found {
                Ok((id, row)) => {
                    let tokens = counts.get(&OwnerId::ServiceAccount(id)).copied();
                    listed.push(info(&*self.store, id, row, tokens.unwrap_or(0))?);
                }
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// One service account. May block on the disk.
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

    /// Changes a service account. A lower role ends its tokens with a higher
    /// one; disabling ends all of them.
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
            let scope = patch.scope.map(|scope| scope.check(tx)).transpose()?;
            let mut new = ServiceAccountRow {
                description: patch.description.unwrap_or_else(|| old.description.clone()),
                role: patch.role.unwrap_or(old.role),
                scope: scope.unwrap_or_else(|| old.scope.clone()),
                disabled: patch.disabled.unwrap_or(old.disabled),
                ..old.clone()
            };
            let mut changed = changed_scope(&old.scope, &new.scope);
            for (name, differs) in [
                ("description", new.description != old.description),
                ("role", new.role != old.role),
                ("disabled", new.disabled != old.disabled),
            ] {
                if differs {
                    changed.push(name);
                }
            }
            changed.sort_unstable();
            let owner = OwnerId::ServiceAccount(id);
            let ended = if new.disabled && !old.disabled {
                end_tokens(tx, owner, None)?
            } else if new.role < old.role {
                end_tokens(tx, owner, Some(new.role))?
            } else {
                0
            };
            let mut details = json!({ "changed": changed, "endedTokens": ended });
            if new.role != old.role {
                details["role"] = json!({ "old": old.role, "new": new.role });
            }
            if new.scope != old.scope {
                details["scope"] =
                    json!({ "old": scope_text(&old.scope), "new": scope_text(&new.scope) });
            }
            if !changed.is_empty() {
                new.updated_at = now.max(old.updated_at);
                tx.put::<ServiceAccounts>(&id, &new);
            }
            let draft = draft.on(id, Some(old.name.as_str())).details(&details);
            let tokens = tokens_of(tx, owner)?.len();
            Ok((info(tx, id, new, tokens)?, draft))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Deletes a service account with its tokens.
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

    /// An owner's role and scope, and whether it may do anything now.
    pub(super) fn owner(
        view: &impl View,
        owner: OwnerId,
    ) -> Result<Option<(Role, Scope, bool)>, ReadError> {
        Ok(match owner {
            OwnerId::Host => Some((Role::Admin, Scope::All, false)),
            OwnerId::User(id) => {
                view.get::<crate::store::Users>(&id)?.map(|row| (row.role, row.scope, row.disabled))
            }
            OwnerId::ServiceAccount(id) => {
                view.get::<ServiceAccounts>(&id)?.map(|row| (row.role, row.scope, row.disabled))
            }
        })
    }
}
