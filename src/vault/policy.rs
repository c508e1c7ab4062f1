//! Who may do what: checks that return tickets.
//!
//! Owns: every decision about roles, scopes and reveal. Only this file can build a [`Permit`], an
//! [`InScope`] or a [`Ticket`], and the step that each one allows takes it as an argument, so a
//! forgotten check does not compile.
//! Must never: decide from anything but the principal and the rows it is given.
//! Called by: `lookup`, which authorizes requests, and the verbs that reveal and deliver.

use std::marker::PhantomData;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    EnvironmentId, EnvironmentName, EnvironmentSettings, KeyName, Origin, Principal, RevealMode,
    Role, Scope, Timestamp,
};
use crate::store::EnvironmentRow;

use crate::vault::effective_access::CredentialGuard;
use crate::vault::error::Error;
use crate::vault::idempotency::IdempotencyRecord;
use crate::vault::secret_rows::{Binding, SealedValue};

/// What a permit allows. The level decides the lowest role that gets one.
pub trait Level: Send + Sync + 'static {
    /// The lowest role that gets a permit of this level.
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
    /// Read everything but the values of secrets.
    Read Viewer;
    /// Create, update and delete secrets and vars; activate versions.
    Write Operator;
    /// See the value of a secret.
    Reveal Admin;
    /// Manage environments and their settings, users, service accounts and tokens.
    Administer Admin;
    /// Manage one user: that user in person, or an admin with the whole scope.
    Own Viewer;
}

/// An authenticated request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who asks.
    pub principal: Principal,
    /// Where the request came from, and its request id.
    pub origin: Origin,
}

impl Caller {
    /// Starts an audit row about an action of this caller.
    pub fn draft(&self, action: Action, now: Timestamp) -> Draft {
        Draft::new(action, &self.principal, &self.origin, now)
    }
}

/// What a request is about, as far as its path says.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Everything in the caller's scope; the verb filters.
    InScope,
    /// Something that belongs to no environment; needs the whole scope. The id in the path, if
    /// there is one, is for the audit row only.
    Everything(Option<&'a str>),
    /// The environment with this id or name.
    Environment(&'a str),
    /// The user with this id; see [`Own`].
    User(&'a str),
    /// A row addressed by its own id. Its environment is not known yet: the verb checks it when it
    /// finds the row, and treats a row outside the scope as missing.
    Row(&'a str),
}

/// An environment that the caller's scope covers.
#[derive(Debug, Clone)]
pub struct InScope {
    id: EnvironmentId,
}

impl InScope {
    /// Returns the id of the environment.
    pub fn id(&self) -> EnvironmentId {
        self.id
    }
}

/// Proof that a caller was authorized for level `L`.
#[derive(Debug)]
pub struct Permit<L> {
    caller: Caller,
    environment: Option<InScope>,
    idempotency: Option<IdempotencyRecord>,
    level: PhantomData<fn() -> L>,
}

impl<L> Permit<L> {
    /// Returns the environment that the path named, or `NotFound` if it does not exist.
    pub fn environment(&self) -> Result<&InScope, Error> {
        self.environment.as_ref().ok_or(Error::NotFound(ResourceType::Environment))
    }

    /// Makes the verb run once only: a repetition of the request gets the kept answer.
    #[must_use]
    pub fn once(mut self, record: IdempotencyRecord) -> Self {
        self.idempotency = Some(record);
        self
    }

    pub(super) fn idempotency(&self) -> Option<&IdempotencyRecord> {
        self.idempotency.as_ref()
    }

    /// Returns the check that a change of this caller runs inside the writer.
    pub(super) fn credential_guard(&self, now: Timestamp) -> CredentialGuard {
        CredentialGuard::new(&self.caller.principal, now)
    }

    /// Returns a text that is unique to the principal.
    pub(super) fn principal_key(&self) -> String {
        self.caller.principal.key().to_string()
    }

    /// Returns who was authorized.
    pub fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// Returns whether the caller's scope covers an environment.
    pub fn covers(&self, environment: EnvironmentId) -> bool {
        self.caller.principal.scope.covers(environment)
    }

    /// Returns whether the caller's scope is a list, so that there may be environments whose rows
    /// the caller must not learn about.
    pub(super) fn is_scoped(&self) -> bool {
        self.caller.principal.scope != Scope::All
    }

    /// Returns whether the caller may read an audit row of this environment. An unscoped admin
    /// reads every row, everyone else the rows of the environments in their scope.
    pub(super) fn may_read_row(&self, environment: Option<EnvironmentId>) -> bool {
        let who = &self.caller.principal;
        match environment {
            _ if who.administers_everything() => true,
            Some(id) => who.scope.covers(id),
            None => false,
        }
    }

    /// Starts an audit row about an action of the caller.
    pub fn draft(&self, action: Action, now: Timestamp) -> Draft {
        self.caller.draft(action, now)
    }

    /// Returns the name that is stored with what the caller creates.
    pub fn actor_name(&self) -> String {
        self.caller.principal.name.clone()
    }
}

/// Checks the scope first, then the role. `found` is the environment that the path names, if it
/// exists. A caller whose scope is a list gets the same refusal for an environment outside it and
/// for one that does not exist.
pub(super) fn authorize<L: Level>(
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
        idempotency: None,
        level: PhantomData,
    })
}

/// Marks a ticket that opens a value for a person.
pub(super) enum ForPerson {}

/// Marks a ticket that opens a value for an enrolment, which only the host declares.
pub(super) enum ForEnrolment {}

/// Permission to open one sealed value. It holds the very value that it was issued for, so it
/// cannot be used for another, and its marker decides which of the cipher's two doors takes it.
pub(super) struct Ticket<To> {
    binding: Binding,
    sealed: SealedValue,
    to: PhantomData<fn() -> To>,
}

/// A value that may be shown to a person; `cipher::reveal` takes it.
pub(super) type Revealable = Ticket<ForPerson>;

/// A value that may go to an enrolment, revealable or not; `cipher::deliver` takes it.
pub(super) type Deliverable = Ticket<ForEnrolment>;

impl<To> Ticket<To> {
    /// Returns what the cipher needs to check that the value opens.
    pub fn parts(&self) -> (&Binding, &SealedValue) {
        (&self.binding, &self.sealed)
    }

    /// Returns what the cipher needs to open the value.
    pub fn into_parts(self) -> (Binding, SealedValue) {
        (self.binding, self.sealed)
    }
}

/// A granted decision about a binding. It becomes a ticket once the sealed value is read.
pub(super) struct Grant<To> {
    binding: Binding,
    to: PhantomData<fn() -> To>,
}

impl<To> Grant<To> {
    /// Issues the ticket. A value that belongs to another binding makes a ticket that does not
    /// open.
    pub fn on(self, sealed: SealedValue) -> Ticket<To> {
        Ticket { binding: self.binding, sealed, to: PhantomData }
    }
}

/// Decides whether a person with a reveal permit may see the value of this binding: the setting of
/// the environment is checked first, then the secret's own mode.
pub(super) fn may_reveal(
    _permit: &Permit<Reveal>,
    settings: &EnvironmentSettings,
    binding: Binding,
) -> Result<Grant<ForPerson>, Error> {
    if !settings.allow_secret_reveal {
        return Err(Error::RevealDisabled);
    }
    match binding.mode {
        RevealMode::NeverReveal => Err(Error::WriteOnly),
        RevealMode::Revealable => Ok(Grant { binding, to: PhantomData }),
    }
}

/// Decides whether the value of this binding goes to an enrolment. `enrolled` says which keys the
/// enrolment takes. Neither the secret's mode nor the environment's setting matters here: both are
/// about people.
pub(super) fn may_deliver(
    enrolled: impl Fn(&KeyName) -> bool,
    binding: Binding,
) -> Result<Grant<ForEnrolment>, Error> {
    if enrolled(&binding.key) {
        Ok(Grant { binding, to: PhantomData })
    } else {
        Err(Error::NotFound(ResourceType::Secret))
    }
}

/// Labels an audit row with an environment.
pub(super) fn label(draft: Draft, id: EnvironmentId, row: &EnvironmentRow) -> Draft {
    let name: &EnvironmentName = &row.name;
    draft.within(id, name)
}
