//! Who may do what: checks that return tickets.
//!
//! Owns: every yes and no about roles, scopes and reveal. Only this file can
//! build a [`Permit`], an [`InScope`], a [`Revealable`] or a [`Deliverable`], and each is needed
//! by the step that it allows; a forgotten check does not compile.
//! Must never: decide from anything but the principal and the rows it is given.

use std::marker::PhantomData;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    EnvironmentId, EnvironmentName, EnvironmentSettings, KeyName, Origin, Principal, RevealMode,
    Role, Scope, Timestamp,
};
use crate::store::EnvironmentRow;

use crate::vault::crypto::cipher::{Binding, SealedValue};
use crate::vault::effective_access::Standing;
use crate::vault::error::Error;
use crate::vault::idempotency::Receipt;

/// What a permit allows; decides the lowest role that gets one.
pub trait Level: Send + Sync + 'static {
    /// The lowest role.
    const ROLE: Role;
}

macro_rules! levels {
    ($($(#[$doc:meta])* $name:ident $role:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl Level for $name {
            const ROLE: Role = Role::$role;
        }
    )*};
}

levels! {
    /// Reading what is not a secret's value.
    Read Viewer;
    /// Creating, updating, deleting secrets and vars; activating versions.
    Write Operator;
    /// Seeing a secret's value.
    Reveal Admin;
    /// Environments and their settings; users, service accounts, tokens.
    Administer Admin;
    /// One user: by that user in person, or by an admin of everything.
    Own Viewer;
}

/// An authenticated request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who asks.
    pub principal: Principal,
    /// From where, under which request id.
    pub origin: Origin,
}

impl Caller {
    /// Begins an audit row.
    pub fn draft(&self, action: Action, now: Timestamp) -> Draft {
        Draft::new(action, &self.principal, &self.origin, now)
    }
}

/// What a request is aimed at, as far as its path says.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Whatever the caller's scope holds; the verb filters.
    InScope,
    /// Something that belongs to no environment; needs the whole scope. The id
    /// in the path, if there is one, is for the audit row only.
    Everything(Option<&'a str>),
    /// The environment with this id or name.
    Environment(&'a str),
    /// The user with this id; see [`Own`].
    User(&'a str),
    /// A row by its own id. Its environment is not known yet; the verb checks
    /// it when it finds the row, and a row out of scope is a missing one.
    Row(&'a str),
}

/// An environment that the caller's scope covers.
#[derive(Debug, Clone)]
pub struct InScope {
    id: EnvironmentId,
}

impl InScope {
    /// Its id.
    pub fn id(&self) -> EnvironmentId {
        self.id
    }
}

/// Proof that a caller was authorised for level `L`.
#[derive(Debug)]
pub struct Permit<L> {
    caller: Caller,
    environment: Option<InScope>,
    receipt: Option<Receipt>,
    level: PhantomData<fn() -> L>,
}

impl<L> Permit<L> {
    /// The environment that the path named, or that there is none.
    pub fn environment(&self) -> Result<&InScope, Error> {
        self.environment.as_ref().ok_or(Error::NotFound(crate::audit::ResourceType::Environment))
    }

    /// The same permit, for a request that wants to be done once.
    #[must_use]
    pub fn once(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    pub(super) fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_ref()
    }

    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        Standing::new(&self.caller.principal, now)
    }

    /// Tells principals apart.
    pub(super) fn principal_key(&self) -> String {
        self.caller.principal.key().to_string()
    }

    /// Who was authorised.
    pub fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// Whether the caller's scope covers an environment.
    pub fn covers(&self, environment: EnvironmentId) -> bool {
        self.caller.principal.scope.covers(environment)
    }

    /// Whether the caller's scope is a list, so that there are environments
    /// whose rows it must not learn about.
    pub(super) fn is_scoped(&self) -> bool {
        self.caller.principal.scope != Scope::All
    }

    /// Whether a row of the audit log may be read: all of them by an admin of
    /// everything, otherwise those of environments in scope.
    pub(super) fn may_read_row(&self, environment: Option<EnvironmentId>) -> bool {
        let who = &self.caller.principal;
        match environment {
            _ if who.administers_everything() => true,
            Some(id) => who.scope.covers(id),
            None => false,
        }
    }

    /// Begins an audit row.
    pub fn draft(&self, action: Action, now: Timestamp) -> Draft {
        self.caller.draft(action, now)
    }

    /// The name under which what the caller makes is kept.
    pub fn actor_name(&self) -> String {
        self.caller.principal.name.clone()
    }
}

/// Scope first, then role. `found` is the environment that the path names, if
/// it exists. A caller whose scope is a list gets the same refusal for an
/// environment that it does not cover and for one that does not exist.
pub(super) fn authorise<L: Level>(
    caller: &Caller,
    target: Target<'_>,
    found: Option<EnvironmentId>,
) -> Result<Permit<L>, Error> {
    let scope = &caller.principal.scope;
    let is_self = |text: &str| text.parse().is_ok_and(|id| caller.principal.is_in_person(id));
    let (reached, needed) = match (target, found) {
        (Target::InScope | Target::Row(_), _) => (true, L::ROLE),
        (Target::Environment(_), Some(id)) => (scope.covers(id), L::ROLE),
        (Target::Everything(_), _) | (Target::Environment(_), None) => {
            (*scope == Scope::All, L::ROLE)
        }
        (Target::User(id), _) if is_self(id) => (true, L::ROLE),
        (Target::User(_), _) => (*scope == Scope::All, Role::Admin),
    };
    if !reached {
        return Err(Error::Scope);
    }
    if caller.principal.role < needed {
        return Err(Error::Role { needed });
    }
    Ok(Permit {
        caller: caller.clone(),
        environment: found.map(|id| InScope { id }),
        receipt: None,
        level: PhantomData,
    })
}

/// A sealed value that may be shown to a person. Holds the very value it was
/// issued for, so it cannot be used for another.
#[allow(missing_debug_implementations)]
pub struct Revealable {
    binding: Binding,
    sealed: SealedValue,
}

impl Revealable {
    /// For the cipher, to look whether it would open.
    pub(super) fn parts(&self) -> (&Binding, &SealedValue) {
        (&self.binding, &self.sealed)
    }

    /// For the cipher's door.
    pub(super) fn into_parts(self) -> (Binding, SealedValue) {
        (self.binding, self.sealed)
    }
}

/// Whether a person with a reveal permit may see the value of this binding:
/// the environment's switch first, then the secret's own mode.
pub(super) fn may_reveal(
    _permit: &Permit<Reveal>,
    settings: &EnvironmentSettings,
    binding: Binding,
) -> Result<RevealGrant, Error> {
    if !settings.allow_secret_reveal {
        return Err(Error::RevealDisabled);
    }
    match binding.mode {
        RevealMode::NeverReveal => Err(Error::WriteOnly),
        RevealMode::Revealable => Ok(RevealGrant(binding)),
    }
}

/// The yes of [`may_reveal`], to the binding that it was asked about.
pub(super) struct RevealGrant(Binding);

impl RevealGrant {
    /// The ticket, once the sealed value was read. A value of another binding
    /// gives a ticket that opens nothing.
    pub fn on(self, sealed: SealedValue) -> Revealable {
        Revealable { binding: self.0, sealed }
    }
}

/// A sealed value that may go to whoever the host has enrolled for its key,
/// revealable or not. It is made for the value that it holds.
pub struct Deliverable {
    binding: Binding,
    sealed: SealedValue,
}

impl Deliverable {
    /// For the cipher, to look whether it would open.
    pub(super) fn parts(&self) -> (&Binding, &SealedValue) {
        (&self.binding, &self.sealed)
    }

    /// For the cipher's door.
    pub(super) fn into_parts(self) -> (Binding, SealedValue) {
        (self.binding, self.sealed)
    }
}

/// Whether the value of this binding goes to an enrolment, which says what keys
/// it takes. Neither the secret's mode nor the environment's switch counts: they
/// are about people.
pub(super) fn may_deliver(
    enrolled: impl Fn(&KeyName) -> bool,
    binding: Binding,
) -> Result<DeliveryGrant, Error> {
    if enrolled(&binding.key) {
        Ok(DeliveryGrant(binding))
    } else {
        Err(Error::NotFound(ResourceType::Secret))
    }
}

/// The yes of [`may_deliver`], to the binding that it was asked about.
pub(super) struct DeliveryGrant(Binding);

impl DeliveryGrant {
    /// The ticket, once the sealed value was read.
    pub fn on(self, sealed: SealedValue) -> Deliverable {
        Deliverable { binding: self.0, sealed }
    }
}

/// Labels an audit row with an environment.
pub(super) fn label(draft: Draft, id: EnvironmentId, row: &EnvironmentRow) -> Draft {
    let name: &EnvironmentName = &row.name;
    draft.within(id, name)
}
