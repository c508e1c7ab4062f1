//! The first user of a server that has none.
//!
//! Whoever registers administers everything, so the server must be theirs: they
//! show an admin's token, or they come from the same machine while there is
//! nothing yet to take. See docs/decisions/0005-who-is-asking.md.

use crate::audit::{Action, Actor, Draft, RefusalCode};
use crate::domain::{Email, PersonName, Principal, Role, Scope, UserId};
use crate::store::{ReadError, Secrets, Tx, Users, Vars, View};
use crate::vault::{self, Random};

use crate::access::Access;
use crate::access::error::Error;
use crate::access::password::NewPassword;
use crate::access::sessions::{Client, NewSession};
use crate::access::users::put_first_admin;

/// What somebody registers with.
#[allow(missing_debug_implementations)]
pub struct Registration {
    /// What they will log in with.
    pub email: Email,
    /// Their password.
    pub password: NewPassword,
    /// What they are called.
    pub name: PersonName,
}

/// Who registers.
#[derive(Debug)]
pub enum Registrant {
    /// Somebody with a valid credential.
    Principal(Box<Principal>),
    /// Somebody on this machine.
    Local,
    /// Somebody else, or somebody whose credential is not good.
    Stranger,
}

impl Access {
    /// Whether there is no user yet, so that somebody may register.
    ///
    /// Anybody may know: whoever tries to register is told the same, by 401 while
    /// there is nobody and by 403 afterwards.
    pub fn registration_is_open(&self) -> bool {
        !has_user(&*self.store)
    }

    /// Creates the first user, an admin of everything, and logs it in.
    pub async fn register(
        &self,
        by: Registrant,
        new: Registration,
        client: &Client,
    ) -> Result<NewSession, Error> {
        let now = self.clock.now();
        let actor = match &by {
            Registrant::Principal(principal) => Actor::from(&**principal),
            Registrant::Local | Registrant::Stranger => Actor::anonymous(),
        };
        let draft = Draft::by(actor, Action::AuthRegister, &client.origin, now);
        // Told before the hash is paid for; decided in the writer.
        let known = matches!(by, Registrant::Principal(_));
        if let Err(refusal) = may_register(&*self.store, &by) {
            return Err(self.refuse_registration(known, draft, refusal).await?);
        }
        let Registration { email, password, name } = new;
        let turn = self.passwords.turn().await?;
        let (password, turn) = self.passwords.hash(password, turn).await?;
        drop(turn);
        let id = UserId::new(now, Random.bytes()?);
        let opening = self.opening(client, now)?;
        let recorded = draft.clone();
        let change = move |tx: &mut Tx<'_>| {
            may_register(tx, &by)?;
            if let Registrant::Principal(principal) = &by {
                vault::check_standing(tx, principal, now)?;
            }
            let row = put_first_admin(tx, id, (email, name), password, now)?;
            opening.put(tx, id)?;
            let mut draft = draft.on(id, Some(row.email.as_str()));
            if !matches!(by, Registrant::Principal(_)) {
                draft.actor = Actor::user(vault::label(id, &row));
            }
            Ok::<_, Error>((opening.told(id, &row), draft))
        };
        match self.store.change(change).commit().await.map_err(Error::from) {
            Ok(session) => {
                // Whoever runs this server should know who took it.
                log::info!("the first user has registered: {}", session.user);
                Ok(session)
            }
            Err(refusal) => Err(self.refuse_registration(known, recorded, refusal).await?),
        }
    }

    /// A stranger's refusal leaves no row, like any other 401: it costs a
    /// stranger nothing to bring about, and rows stay.
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
    // A row that cannot be read is somebody, too.
    view.keys::<Users>(&[]).next().is_some()
}

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
