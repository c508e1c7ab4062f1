//! What a credential may do now: the lower of its own role and its owner's,
//! where both scopes reach; nothing, once it or its owner is gone.
//!
//! It is worked out at each request, and again inside the writer before a
//! change is made: a change that was queued behind the end of its own
//! credential does not come about.
//! Must never: keep an answer for later.

use crate::domain::{
    Credential, Owner, OwnerId, Principal, Role, Scope, SessionId, Timestamp, TokenId, UserId,
    UserLabel,
};
use crate::store::{
    ReadError, ServiceAccounts, SessionRow, Sessions, TokenRow, Tokens, UserRow, Users, View,
};

use crate::vault::error::Error;

/// The principal behind an API token, if there is one now.
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
                let label = label(user, &row);
                Some((Owner::User(label), shown(&row), row.role, row.scope))
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

/// The principal behind a session, if there is one now. Whether the session
/// has been idle for too long is for `access` to say.
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
        owner: Owner::User(label(row.user, &user)),
        name: shown(&user),
        role: user.role,
        scope: user.scope,
    }))
}

/// A user as audit rows name it.
pub fn label(id: UserId, row: &UserRow) -> UserLabel {
    let name = row.name.as_deref().map(str::to_owned);
    UserLabel { id, email: row.email.as_str().to_owned(), name }
}

fn shown(row: &UserRow) -> String {
    row.name.as_deref().unwrap_or(row.email.as_str()).to_owned()
}

/// What must still hold when the writer comes to a change.
pub(super) struct Standing {
    principal: Principal,
    now: Timestamp,
}

impl Standing {
    pub fn new(principal: &Principal, now: Timestamp) -> Self {
        Self { principal: principal.clone(), now }
    }

    /// That the credential is still there and may do what it could do when the
    /// request was authorised.
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
        let stands = present.is_some_and(|present| {
            present.role >= self.principal.role && present.scope.contains(&self.principal.scope)
        });
        if stands { Ok(()) } else { Err(Error::NoLongerValid) }
    }
}

/// That a principal's credential is still there and may still do as much. For
/// changes that need no permit.
pub fn check_standing(
    view: &impl View,
    principal: &Principal,
    now: Timestamp,
) -> Result<(), Error> {
    Standing::new(principal, now).check(view)
}
