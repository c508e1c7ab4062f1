//! The verbs on users.

use serde_json::{Value, json};

use crate::audit::{Action, RefusalCode, ResourceType};
use crate::domain::{
    Credential, Email, Owner, OwnerId, PersonName, Principal, Role, Scope, Timestamp, UserId,
    UserInfo,
};
use crate::store::{
    LastUses, PasswordRow, ReadError, ServiceAccounts, Tx, Used, UserEmails, UserRow, Users, View,
};
use crate::vault::{self, Administer, Own, Permit, Random, Read};

use crate::access::Access;
use crate::access::error::Error;
use crate::access::last_used::written;
use crate::access::password::Verified;
use crate::access::password::{NewPassword, Password};
use crate::access::revocation::end_tokens;
use crate::access::scope::NewScope;
use crate::access::scope::present;

/// A user to create.
#[allow(missing_debug_implementations)]
pub struct NewUser {
    /// What it logs in with.
    pub email: Email,
    /// Its password.
    pub password: NewPassword,
    /// What it is called.
    pub name: PersonName,
    /// Its role.
    pub role: Role,
    /// Its scope.
    pub scope: NewScope,
}

/// Changes to a user. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// What it is called.
    pub name: Option<PersonName>,
    /// Its role.
    pub role: Option<Role>,
    /// Its scope.
    pub scope: Option<NewScope>,
    /// Whether it may do anything.
    pub disabled: Option<bool>,
}

impl UserPatch {
    /// Whether it changes nothing but what a user may change of itself.
    fn is_personal(&self) -> bool {
        self.role.is_none() && self.scope.is_none() && self.disabled.is_none()
    }
}

/// Who a credential belongs to, beside what it may do now.
#[derive(Debug)]
pub struct Me {
    /// The id of the user, the service account, or the host's token.
    pub id: String,
    /// A user's address.
    pub email: Option<String>,
    /// What it is called.
    pub name: Option<String>,
    /// The owner's own role; the credential's may be lower.
    pub role: Role,
}

/// Adds a user's rows. Whoever calls has seen to who may.
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
        scope: present(view, row.scope)?,
        disabled: row.disabled,
        last_active_at: written(view, Used::User(id))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

fn is_missing() -> Error {
    vault::Error::NotFound(ResourceType::User).into()
}

fn administers(row: &UserRow) -> bool {
    row.role == Role::Admin && row.scope == Scope::All && !row.disabled
}

/// That there is somebody else who can administer everything. Without this a
/// slip would lock everybody out.
fn check_other_admin(view: &impl View, but: UserId) -> Result<(), Error> {
    for found in view.scan::<Users>(&[], None) {
        match found {
            Ok((id, row)) if id != but && administers(&row) => return Ok(()),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::LastAdmin)
}

impl Access {
    /// A user by the id in a path. Only callers who may know of all users, and
    /// the user itself, come this far.
    pub(super) fn user(&self, text: &str) -> Result<(UserId, UserRow), Error> {
        let id: UserId = text.parse().map_err(|_| is_missing())?;
        Ok((id, self.store.get::<Users>(&id)?.ok_or_else(is_missing)?))
    }

    /// All users, by address. May block on the disk.
    pub fn list_users(&self, _: &Permit<Administer>) -> Result<Vec<UserInfo>, Error> {
        let mut listed = Vec::new();
        for found in self.store.scan::<Users>(&[], None) {
            match found {
                Ok((id, row)) => listed.push(info(&*self.store, id, row)?),
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        listed.sort_by_key(|info| info.email.folded());
        Ok(listed)
    }

    /// One user.
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
        // Told before the hash is paid for; decided in the writer.
        if self.store.has::<UserEmails>(&new.email.folded())? {
            return Err(Error::EmailInUse);
        }
        let turn = self.passwords.turn().await?;
        let (password, turn) = self.passwords.hash(new.password, turn).await?;
        drop(turn);
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

    /// Changes a user. The user itself may change its name; the rest is for
    /// admins of everything.
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
            let new = patched(tx, &old, patch)?;
            if administers(&old) && !administers(&new) {
                check_other_admin(tx, id)?;
            }
            let details = apply(tx, id, &old, new, now)?;
            let row = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            Ok((info(tx, id, row)?, draft.details(&details)))
        })
        .from_reserve()
        .commit()
        .await
    }

    /// Deletes a user with its sessions and tokens.
    pub async fn delete_user(&self, permit: &Permit<Administer>, id: &str) -> Result<(), Error> {
        let (id, row) = self.user(id)?;
        let draft = permit.draft(Action::UserDelete, self.clock.now());
        let draft = draft.on(id, Some(row.email.as_str()));
        self.change(permit, move |tx| {
            let row = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            if administers(&row) {
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

    /// Gives a user another password and ends its sessions and tokens: whoever
    /// knew the old one may have made them.
    pub async fn change_password(
        &self,
        permit: &Permit<Own>,
        id: &str,
        new: NewPassword,
        current: Option<Password>,
        ip: Option<std::net::IpAddr>,
    ) -> Result<(), Error> {
        let (id, row) = self.user(id)?;
        let account = self.hasher.account(&row.email.folded());
        let draft = permit.draft(Action::UserChangePassword, self.clock.now());
        let draft = draft.on(id, Some(row.email.as_str()));
        let mut verified = None;
        let mut turn = None;
        if permit.principal().user_id() == Some(id) {
            let current = current.ok_or(Error::PasswordNeeded)?;
            // The same counters as at a login, or this would be the way round them.
            let allowed = || self.failures.check(&account, ip, self.clock.now());
            allowed().map_err(Error::Limited)?;
            let own = self.passwords.turn().await?;
            allowed().map_err(Error::Limited)?;
            let stored = Some(row.password.clone());
            let wrong = self.wrong_password(account, ip);
            let (found, own) = self.passwords.verify(current, stored, own, wrong).await?;
            if found == Verified::Wrong {
                drop(own);
                self.record_refused(draft.refused(RefusalCode::ValidationError)).await?;
                return Err(Error::WrongPassword);
            }
            verified = Some(row.password);
            turn = Some(own);
        }
        let turn = match turn {
            Some(turn) => turn,
            None => self.passwords.turn().await?,
        };
        let (password, turn) = self.passwords.hash(new, turn).await?;
        drop(turn);
        let now = self.clock.now();
        let change = self.change(permit, move |tx| {
            let mut row = tx.get::<Users>(&id)?.ok_or_else(is_missing)?;
            // It may have been changed since it was checked.
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

    /// Who the caller is.
    pub fn me(&self, permit: &Permit<Read>) -> Result<Me, Error> {
        let Principal { credential, owner, name, role, .. } = permit.principal();
        Ok(match owner {
            Owner::User(label) => {
                let row = self.store.get::<Users>(&label.id)?;
                Me {
                    id: label.id.to_string(),
                    email: Some(label.email.clone()),
                    name: label.name.clone(),
                    role: row.map_or(*role, |row| row.role),
                }
            }
            Owner::ServiceAccount(id) => {
                let row = self.store.get::<ServiceAccounts>(id)?;
                let role = row.map_or(*role, |row| row.role);
                Me { id: id.to_string(), email: None, name: Some(name.clone()), role }
            }
            Owner::Host => {
                let id = match credential {
                    Credential::Token(id) => id.to_string(),
                    Credential::Session(id) => id.to_string(),
                    Credential::Host => "host".to_owned(),
                };
                Me { id, email: None, name: Some(name.clone()), role: *role }
            }
        })
    }
}

fn patched(view: &impl View, old: &UserRow, patch: UserPatch) -> Result<UserRow, Error> {
    let scope = patch.scope.map(|scope| scope.check(view)).transpose()?;
    Ok(UserRow {
        name: patch.name.unwrap_or_else(|| old.name.clone()),
        role: patch.role.unwrap_or(old.role),
        scope: scope.unwrap_or_else(|| old.scope.clone()),
        disabled: patch.disabled.unwrap_or(old.disabled),
        ..old.clone()
    })
}

/// Writes a changed user and ends what the change ends; what the audit row says.
fn apply(
    tx: &mut Tx<'_>,
    id: UserId,
    old: &UserRow,
    new: UserRow,
    now: Timestamp,
) -> Result<Value, Error> {
    let mut changed = changed_scope(&old.scope, &new.scope);
    for (name, differs) in [
        ("name", new.name != old.name),
        ("role", new.role != old.role),
        ("disabled", new.disabled != old.disabled),
    ] {
        if differs {
            changed.push(name);
        }
    }
    changed.sort_unstable();
    let (mut sessions, mut tokens) = (0, 0);
    if new.disabled && !old.disabled {
        (sessions, tokens) = Access::end_all(tx, id)?;
    } else if new.role < old.role {
        sessions = crate::access::revocation::end_sessions(tx, id)?;
        tokens = end_tokens(tx, OwnerId::User(id), Some(new.role))?;
    }
    let mut details = json!({
        "changed": changed,
        "endedSessions": sessions,
        "endedTokens": tokens,
    });
    if new.role != old.role {
        details["role"] = json!({ "old": old.role, "new": new.role });
    }
    if new.scope != old.scope {
        details["scope"] = json!({ "old": scope_text(&old.scope), "new": scope_text(&new.scope) });
    }
    if !changed.is_empty() {
        let updated_at = now.max(old.updated_at);
        tx.put::<Users>(&id, &UserRow { updated_at, ..new });
    }
    Ok(details)
}

/// The members in which two scopes differ.
pub(super) fn changed_scope(old: &Scope, new: &Scope) -> Vec<&'static str> {
    match (old, new) {
        (old, new) if old == new => Vec::new(),
        (Scope::Environments(_), Scope::Environments(_)) => vec!["environmentIds"],
        _ => vec!["allEnvironments", "environmentIds"],
    }
}

/// Longest list in the details of an audit row; longer ones are counted. Rows
/// have to stay small: see `store::CHUNK_BYTES`.
const LISTED: usize = 20;

/// A scope in the details of an audit row.
pub(super) fn scope_text(scope: &Scope) -> Value {
    match scope {
        Scope::All => json!("all"),
        Scope::Environments(list) if list.len() <= LISTED => json!(list),
        Scope::Environments(list) => json!({ "environments": list.len() }),
    }
}

/// A first user without anybody to ask for it: see `bootstrap` and
/// `registration`.
pub(super) fn put_first_admin(
    tx: &mut Tx<'_>,
    id: UserId,
    (email, name): (Email, PersonName),
    password: PasswordRow,
    now: Timestamp,
) -> Result<UserRow, Error> {
    put_new_user(tx, id, (email, name), (Role::Admin, Scope::All), password, now)
}
