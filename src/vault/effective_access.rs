//! What a credential may do now: the lower of its own role and its owner's, in the environments
//! that both scopes cover; nothing once it or its owner is gone.
//!
//! It is computed for each request, and again inside the writer before a change is made, so that a
//! change queued after its credential was revoked is refused.
//!
//! Must never: cache a result.
//! Called by: `access`, to authenticate; `policy` and `guarded_change`, for the check in the
//! writer.

use crate::domain::{
    Credential, Owner, OwnerId, Principal, Role, Scope, SessionId, Timestamp, TokenId, UserId,
    UserLabel,
};
use crate::store::{
    ReadError, ServiceAccounts, SessionRow, Sessions, TokenRow, Tokens, UserRow, Users, View,
};

use crate::vault::error::Error;

/// Returns the principal behind an API token; `None` if the token has expired, or its owner is
/// disabled or deleted.
pub fn token_principal(
    view: &impl View,
    id: TokenId,
    row: TokenRow,
    now: Timestamp,
) -> Result<Option<Principal>, ReadError> {
    if row.expires_at.is_some_and(|at| at <= now) {
        return Ok(None);
    }
    let owned = match row.owner {
        OwnerId::Host => {
            let name = row.name.as_str().to_owned();
            Some((Owner::Host, name, Role::Admin, Scope::All))
        }
        OwnerId::User(user) => match view.get::<Users>(&user)? {
            Some(row) if !row.disabled => {
                let label = user_label(user, &row);
                Some((Owner::User(label), display_name(&row), row.role, row.scope))
            }
            _ => None,
        },
        OwnerId::ServiceAccount(account) => match view.get::<ServiceAccounts>(&account)? {
            Some(row) if !row.disabled => {
                let name = row.name.as_str().to_owned();
                Some((Owner::ServiceAccount(account), name, row.role, row.scope))
            }
            _ => None,
        },
    };
    Ok(owned.map(|(owner, name, role, scope)| Principal {
        credential: Credential::Token(id),
        owner,
        name,
        role: role.min(row.role),
        scope: scope.intersection(&row.scope),
    }))
}

/// Returns the principal behind a session; `None` if the session has expired, or its user is
/// disabled or deleted. `access` checks how long the session has been idle.
pub fn session_principal(
    view: &impl View,
    id: SessionId,
    row: &SessionRow,
    now: Timestamp,
) -> Result<Option<Principal>, ReadError> {
    if row.expires_at <= now {
        return Ok(None);
    }
    let user = view.get::<Users>(&row.user)?.filter(|user| !user.disabled);
    Ok(user.map(|user| Principal {
        credential: Credential::Session(id),
        owner: Owner::User(user_label(row.user, &user)),
        name: display_name(&user),
        role: user.role,
        scope: user.scope,
    }))
}

/// Returns a user's identity as audit rows show it.
pub fn user_label(id: UserId, row: &UserRow) -> UserLabel {
    let name = row.name.as_deref().map(str::to_owned);
    UserLabel { id, email: row.email.as_str().to_owned(), name }
}

fn display_name(row: &UserRow) -> String {
    row.name.as_deref().unwrap_or(row.email.as_str()).to_owned()
}

/// The check that a change runs inside the writer, before it writes anything.
pub(super) struct CredentialGuard {
    principal: Principal,
    now: Timestamp,
}

impl CredentialGuard {
    pub fn new(principal: &Principal, now: Timestamp) -> Self {
        Self { principal: principal.clone(), now }
    }

    /// Fails unless the credential still exists and still has the rights that it had when the
    /// request was authorized.
    pub fn check(&self, view: &impl View) -> Result<(), Error> {
        let present = match &self.principal.credential {
            Credential::Host => return Ok(()),
            Credential::Token(id) => match view.get::<Tokens>(id)? {
                Some(row) => token_principal(view, *id, row, self.now)?,
                None => None,
            },
            Credential::Session(id) => match view.get::<Sessions>(id)? {
                Some(row) => session_principal(view, *id, &row, self.now)?,
                None => None,
            },
        };
        let is_valid = present.is_some_and(|present| {
            present.role >= self.principal.role && present.scope.contains(&self.principal.scope)
        });
        if is_valid { Ok(()) } else { Err(Error::NoLongerValid) }
    }
}

/// Fails unless a principal's credential still exists and still has the same rights. For changes
/// that need no permit.
pub fn check_credential(
    view: &impl View,
    principal: &Principal,
    now: Timestamp,
) -> Result<(), Error> {
    CredentialGuard::new(principal, now).check(view)
}
