//! The verbs on users.
//!
//! Owns: the rows of a user, and the rule that one admin of every environment must remain.
//! Must never: return or log a password or its hash.
//! Called by: `http`; `bootstrap` and `registration` for the first user.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::access::damaged_rows::{only_readable, skip_damaged};
use crate::access::error::Error;
use crate::access::last_used::stored_last_use;
use crate::access::password::{HashSlot, NewPassword, Password, PasswordCheck};
use crate::access::permissions::{
    Permissions, PermissionsPatch, Revocation, changed_members, describe_change, revocation,
    scope_text,
};
use crate::access::revocation::{end_sessions, end_tokens};
use crate::access::scope::{NewScope, existing_scope};
use crate::access::state::Access;
use crate::audit::{Action, RefusalCode, ResourceType};
use crate::domain::{
    Credential, Email, Owner, OwnerId, PersonName, Principal, Role, Scope, Timestamp, UserId,
    UserInfo,
};
use crate::store::{
    LastUses, PasswordRow, ReadError, ServiceAccounts, Tx, Used, UserEmails, UserRow, Users, View,
};
use crate::vault::{self, Administer, Own, Permit, Random, Read};

/// A user to create.
#[allow(missing_debug_implementations)]
pub struct NewUser {
    /// The email address used to log in.
    pub email: Email,
    /// The password.
    pub password: NewPassword,
    /// The display name.
    pub name: PersonName,
    /// The role.
    pub role: Role,
    /// The scope.
    pub scope: NewScope,
}

/// Changes to a user. `None` keeps the present value.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// The display name.
    pub name: Option<PersonName>,
    /// The role.
    pub role: Option<Role>,
    /// The scope.
    pub scope: Option<NewScope>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
}

impl UserPatch {
    /// Reports whether it changes only what users may change about themselves.
    fn is_personal(&self) -> bool {
        self.role.is_none() && self.scope.is_none() && self.disabled.is_none()
    }
}

/// The owner of the caller's credential.
#[derive(Debug)]
pub struct CallerIdentity {
    /// The id of the user, the service account, or the host's token.
    pub id: String,
    /// The email address of a user.
    pub email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The owner's own role; the credential's may be lower.
    pub role: Role,
}

/// Writes the rows of a new user. The caller has checked that the user may be created.
pub(super) fn put_new_user(
    tx: &mut Tx<'_>,
    id: UserId,
    (email, name): (Email, PersonName),
    (role, scope): (Role, Scope),
    password: PasswordRow,
    now: Timestamp,
) -> Result<UserRow, Error> {
    let folded = email.folded();
    if tx.has::<UserEmails>(&folded)? {
        return Err(Error::EmailInUse);
    }
    let row = UserRow {
        email,
        name,
        role,
        scope,
        disabled: false,
        password,
        created_at: now,
        updated_at: now,
    };
    tx.put::<Users>(&id, &row);
    tx.put::<UserEmails>(&folded, &id);
    Ok(row)
}

fn info(view: &impl View, id: UserId, row: UserRow) -> Result<UserInfo, ReadError> {
    Ok(UserInfo {
        id,
        email: row.email,
        name: row.name,
        role: row.role,
        scope: existing_scope(view, row.scope)?,
        disabled: row.disabled,
        last_active_at: stored_last_use(view, Used::User(id))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn is_missing() -> Error {
    vault::Error::NotFound(ResourceType::User).into()
}

/// Reports whether a user is an enabled admin of every environment.
fn administers(permissions: &Permissions) -> bool {
    permissions.role == Role::Admin && permissions.scope == Scope::All && !permissions.disabled
}

/// Fails unless another user is an enabled admin of every environment, so that a mistake cannot lock
/// everybody out.
fn check_other_admin(view: &impl View, except: UserId) -> Result<(), Error> {
    for found in view.scan::<Users>(&[], None).filter_map(only_readable) {
        let (id, row) = found?;
        if id != except && administers(&permissions(&row)) {
            return Ok(());
        }
    }
    Err(Error::LastAdmin)
}

impl Access {
    /// Looks up a user by the id in a path. Reached only by callers who may see all users, and by the
    /// user themselves.
    pub(super) fn user(&self, text: &str) -> Result<(UserId, UserRow), Error> {
        let id: UserId = text.parse().map_err(|_| is_missing())?;
        Ok((id, self.store.get::<Users>(&id)?.ok_or_else(is_missing)?))
    }

    /// Lists all users, sorted by email address. May block on the disk.
    pub fn list_users(&self, _: &Permit<Administer>) -> Result<Vec<UserInfo>, Error> {
        let mut listed = Vec::new();
        for found in self.store.scan::<Users>(&[], None).filter_map(skip_damaged) {
            let (id, row) = found?;
            listed.push(info(&*self.store, id, row)?);
        }
        listed.sort_by_key(|info| info.email.folded());
        Ok(listed)
    }

    /// Reads a user.
    pub fn read_user(&self, _: &Permit<Own>, id: &str) -> Result<UserInfo, Error> {
        let (id, row) = self.user(id)?;
        Ok(info(&*self.store, id, row)?)
    }

    /// Creates a user.
    pub async fn create_user(
        &self,
        permit: &Permit<Administer>,
        new: NewUser,
    ) -> Result<UserInfo, Error> {
        // Checked before the cost of a hash; the writer decides.
        if self.store.has::<UserEmails>(&new.email.folded())? {
            return Err(Error::EmailInUse);
        }
        let slot = self.passwords.slot().await?;
        let (password, slot) = self.passwords.hash(new.password, slot).await?;
        drop(slot);
        let now = self.clock.now();
        let id = UserId::new(now, Random.bytes()?);
        let draft = permit.draft(Action::UserCreate, now);
        let (email, name, role, scope) = (new.email, new.name, new.role, new.scope);
        self.change(permit, move |tx| {
            let scope = scope.check(tx)?;
            let row = put_new_user(tx, id, (email, name), (role, scope), password, now)?;
            let details = json!({ "role": row.role, "scope": scope_text(&row.scope) });
            let draft = draft.on(id, Some(row.email.as_str())).details(&details);
            Ok((info(tx, id, row)?, draft))
        })
        .commit_once()
        .await
    }

    /// Changes a user. Users may change their own name; everything else requires an admin of every
    /// environment.
    pub async fn update_user(
        &self,
        permit: &Permit<Own>,
        id: &str,
        patch: UserPatch,
    ) -> Result<UserInfo, Error> {
        let (id, row) = self.user(id)?;
        let now = self.clock.now();
        let draft = permit.draft(Action::UserUpdate, now).on(id, Some(row.email.as_str()));
        if !permit.principal().administers_everything() && !patch.is_personal() {
            self.record_refused(draft.refused(RefusalCode::ForbiddenRole)).await?;
            return Err(vault::Error::Role { needed: Role::Admin }.into());
        }
        self.change(permit, move |tx| {
            let old = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            let (new, details) = update(tx, id, old, patch, now)?;
            Ok((info(tx, id, new)?, draft.details(&details)))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Deletes a user with all sessions and tokens.
    pub async fn delete_user(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let (id, row) = self.user(id)?;
        let draft = permit.draft(Action::UserDelete, self.clock.now());
        let draft = draft.on(id, Some(row.email.as_str()));
        self.change(permit, move |tx| {
            let row = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            if administers(&permissions(&row)) {
                check_other_admin(tx, id)?;
            }
            let (sessions, tokens) = Self::end_all(tx, id)?;
            tx.remove::<Users>(&id);
            tx.remove::<UserEmails>(&row.email.folded());
            tx.remove::<LastUses>(&Used::User(id));
            let details = json!({ "endedSessions": sessions, "endedTokens": tokens });
            Ok(((), draft.details(&details)))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Changes the password of a user and ends all sessions and tokens: somebody who knew the old
    /// password may have created them.
    pub async fn change_password(
        &self,
        permit: &Permit<Own>,
        id: &str,
        new: NewPassword,
        current: Option<Password>,
        ip: Option<IpAddr>,
    ) -> Result<(), Error> {
        let (id, row) = self.user(id)?;
        let account = self.hasher.account(&row.email.folded());
        let draft = permit.draft(Action::UserChangePassword, self.clock.now());
        let draft = draft.on(id, Some(row.email.as_str()));
        let (verified, slot) = if permit.principal().user_id() == Some(id) {
            let current = current.ok_or(Error::PasswordNeeded)?;
            match self.check_current_password(&row, &account, current, ip).await? {
                Some(slot) => (Some(row.password), slot),
                None => {
                    self.record_refused(draft.refused(RefusalCode::ValidationError)).await?;
                    return Err(Error::WrongPassword);
                }
            }
        } else {
            (None, self.passwords.slot().await?)
        };
        let (password, slot) = self.passwords.hash(new, slot).await?;
        drop(slot);
        let now = self.clock.now();
        let change = self.change(permit, move |tx| {
            let mut row = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            // The password may have changed since it was checked.
            if verified.is_some_and(|verified| verified != row.password) {
                return Err(Error::WrongPassword);
            }
            row.password = password;
            row.updated_at = now.max(row.updated_at);
            tx.put::<Users>(&id, &row);
            let (sessions, tokens) = Self::end_all(tx, id)?;
            let details = json!({ "endedSessions": sessions, "endedTokens": tokens });
            Ok(((), draft.details(&details)))
        });
        change.from_reserve().commit_once().await?;
        self.failures.forget(&account);
        Ok(())
    }

    /// Checks a user's current password; `None` if it is wrong. Uses the same counters as a login, so
    /// that this is not a way around them.
    async fn check_current_password(
        &self,
        row: &UserRow,
        account: &[u8; 32],
        current: Password,
        ip: Option<IpAddr>,
    ) -> Result<Option<HashSlot>, Error> {
        let allowed = || self.failures.check(account, ip, self.clock.now());
        allowed().map_err(Error::Limited)?;
        let slot = self.passwords.slot().await?;
        // Other attempts may have failed while this one waited.
        allowed().map_err(Error::Limited)?;
        let stored = Some(row.password.clone());
        let wrong = self.wrong_password(*account, ip);
        let (check, slot) = self.passwords.verify(current, stored, slot, wrong).await?;
        Ok(Some(slot).filter(|_| check != PasswordCheck::Wrong))
    }

    /// Returns the owner of the caller's credential.
    pub fn me(&self, permit: &Permit<Read>) -> Result<CallerIdentity, Error> {
        let Principal { credential, owner, name, role, .. } = permit.principal();
        Ok(match owner {
            Owner::User(label) => {
                let row = self.store.get::<Users>(&label.id)?;
                CallerIdentity {
                    id: label.id.to_string(),
                    email: Some(label.email.clone()),
                    name: label.name.clone(),
                    role: row.map_or(*role, |row| row.role),
                }
            }
            Owner::ServiceAccount(id) => {
                let row = self.store.get::<ServiceAccounts>(id)?;
                let role = row.map_or(*role, |row| row.role);
                CallerIdentity { id: id.to_string(), email: None, name: Some(name.clone()), role }
            }
            Owner::Host => {
                let id = match credential {
                    Credential::Token(id) => id.to_string(),
                    Credential::Session(id) => id.to_string(),
                    Credential::Host => "host".to_owned(),
                };
                CallerIdentity { id, email: None, name: Some(name.clone()), role: *role }
            }
        })
    }
}

fn permissions(row: &UserRow) -> Permissions {
    Permissions { role: row.role, scope: row.scope.clone(), disabled: row.disabled }
}

/// Applies a patch: writes the row and ends the credentials that the change ends. Returns the new row
/// and the details for the audit row.
fn update(
    tx: &mut Tx<'_>,
    id: UserId,
    row: UserRow,
    patch: UserPatch,
    now: Timestamp,
) -> Result<(UserRow, Value), Error> {
    let UserPatch { name, role, scope, disabled } = patch;
    let old = permissions(&row);
    let new = PermissionsPatch { role, scope, disabled }.apply(tx, &old)?;
    let name = name.unwrap_or_else(|| row.name.clone());
    let changed = changed_members(&old, &new, ("name", name != row.name));
    if administers(&old) && !administers(&new) {
        check_other_admin(tx, id)?;
    }
    let (sessions, tokens) = match revocation(&old, &new) {
        Revocation::Nothing => (0, 0),
        Revocation::Everything => Access::end_all(tx, id)?,
        Revocation::Above(role) => {
            (end_sessions(tx, id)?, end_tokens(tx, OwnerId::User(id), Some(role))?)
        }
    };
    let mut details = json!({
        "changed": changed,
        "endedSessions": sessions,
        "endedTokens": tokens,
    });
    describe_change(&mut details, &old, &new);
    let Permissions { role, scope, disabled } = new;
    let mut row = UserRow { name, role, scope, disabled, ..row };
    if !changed.is_empty() {
        row.updated_at = now.max(row.updated_at);
        tx.put::<Users>(&id, &row);
    }
    Ok((row, details))
}

/// Writes the rows of the first user, without a permit: see `bootstrap` and `registration`.
pub(super) fn put_first_admin(
    tx: &mut Tx<'_>,
    id: UserId,
    (email, name): (Email, PersonName),
    password: PasswordRow,
    now: Timestamp,
) -> Result<UserRow, Error> {
    put_new_user(tx, id, (email, name), (Role::Admin, Scope::All), password, now)
}
