//! Registration of the first user.
//!
//! The first user becomes an admin of every environment, so they must prove that they own the server:
//! with an admin token, or by connecting from the same machine while the database is empty. See
//! docs/decisions/0005-who-is-asking.md.
//!
//! Owns: who may register.
//! Must never: create a second user.
//! Called by: `http`.

use crate::access::error::Error;
use crate::access::password::NewPassword;
use crate::access::sessions::{LoginClient, NewSession};
use crate::access::state::Access;
use crate::access::users::put_first_admin;
use crate::audit::{Action, Actor, Draft, RefusalCode};
use crate::domain::{Email, PersonName, Principal, Role, Scope, UserId};
use crate::store::{ReadError, Secrets, Tx, Users, Vars, View};
use crate::vault::{self, Random};

/// The data of a registration.
#[allow(missing_debug_implementations)]
pub struct Registration {
    /// The email address used to log in.
    pub email: Email,
    /// The password.
    pub password: NewPassword,
    /// The display name.
    pub name: PersonName,
}

/// The caller of a registration.
#[derive(Debug)]
pub enum Registrant {
    /// A caller with a valid credential.
    Principal(Box<Principal>),
    /// A caller on this machine, without a credential.
    Local,
    /// Any other caller, including one with an invalid credential.
    Stranger,
}

impl Access {
    /// Reports whether there is no user yet, so that registration is open.
    ///
    /// This is not confidential: an attempt to register shows the same, with a 401 while there is no
    /// user and a 403 afterwards.
    pub fn registration_is_open(&self) -> bool {
        !has_user(&*self.store)
    }

    /// Creates the first user, an admin of every environment, and starts a session.
    pub async fn register(
        &self,
        by: Registrant,
        new: Registration,
        client: &LoginClient,
    ) -> Result<NewSession, Error> {
        let now = self.clock.now();
        let actor = match &by {
            Registrant::Principal(principal) => Actor::from(&**principal),
            Registrant::Local | Registrant::Stranger => Actor::anonymous(),
        };
        let draft = Draft::by(actor, Action::AuthRegister, &client.origin, now);
        // Checked before the cost of a hash; the writer decides.
        let known = matches!(by, Registrant::Principal(_));
        if let Err(refusal) = may_register(&*self.store, &by) {
            return Err(self.refuse_registration(known, draft, refusal).await?);
        }
        let Registration { email, password, name } = new;
        let slot = self.passwords.slot().await?;
        let (password, slot) = self.passwords.hash(password, slot).await?;
        drop(slot);
        let id = UserId::new(now, Random.bytes()?);
        let pending = self.pending_session(client, now)?;
        let recorded = draft.clone();
        let change = move |tx: &mut Tx<'_>| {
            may_register(tx, &by)?;
            if let Registrant::Principal(principal) = &by {
                vault::check_credential(tx, principal, now)?;
            }
            let row = put_first_admin(tx, id, (email, name), password, now)?;
            pending.put(tx, id)?;
            let mut draft = draft.on(id, Some(row.email.as_str()));
            if !matches!(by, Registrant::Principal(_)) {
                draft.actor = Actor::user(vault::user_label(id, &row));
            }
            Ok::<_, Error>((pending.into_new_session(id, &row), draft))
        };
        match self.store.change(change).commit().await.map_err(Error::from) {
            Ok(session) => {
                // The operator should know who registered.
                log::info!("first user registered: {}", session.user);
                Ok(session)
            }
            Err(refusal) => Err(self.refuse_registration(known, recorded, refusal).await?),
        }
    }

    /// Records a refusal, unless the caller is anonymous: like any other 401, it costs an anonymous
    /// caller nothing to cause, and audit rows are kept.
    async fn refuse_registration(
        &self,
        known: bool,
        draft: Draft,
        refusal: Error,
    ) -> Result<Error, Error> {
        let code = match &refusal {
            _ if !known => return Ok(refusal),
            Error::RegistrationClosed | Error::Vault(vault::Error::Role { .. }) => {
                RefusalCode::ForbiddenRole
            }
            Error::Vault(vault::Error::Scope) => RefusalCode::ForbiddenScope,
            _ => return Ok(refusal),
        };
        self.record_refused(draft.refused(code)).await?;
        Ok(refusal)
    }
}

fn has_user(view: &impl View) -> bool {
    // A row that cannot be read is a user, too.
    view.keys::<Users>(&[]).next().is_some()
}

/// Checks that the caller may register now.
fn may_register(view: &impl View, by: &Registrant) -> Result<(), Error> {
    let any = |found: Option<Result<(), ReadError>>| found.transpose().map(|found| found.is_some());
    if has_user(view) {
        return Err(Error::RegistrationClosed);
    }
    match by {
        Registrant::Principal(principal) if principal.scope != Scope::All => {
            Err(vault::Error::Scope.into())
        }
        Registrant::Principal(principal) if principal.role < Role::Admin => {
            Err(vault::Error::Role { needed: Role::Admin }.into())
        }
        Registrant::Principal(_) => Ok(()),
        Registrant::Local => {
            let secrets = view.keys::<Secrets>(&[]).next().map(|key| key.map(drop));
            let vars = view.keys::<Vars>(&[]).next().map(|key| key.map(drop));
            if any(secrets)? || any(vars)? { Err(Error::RegistrationNeedsToken) } else { Ok(()) }
        }
        Registrant::Stranger => Err(Error::RegistrationNeedsToken),
    }
}
