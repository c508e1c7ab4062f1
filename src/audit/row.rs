//! A row of the audit log.
//!
//! Owns: the names of actions, resource types and refusals, and the encoding of a row.
//! Must never: contain the value of a secret.
//! Called by: `vault` and `access`, which draft rows; `chain`, which seals them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::{
    EnvironmentId, EnvironmentName, Origin, Owner, Principal, ServiceAccountId, Timestamp, TokenId,
    UserLabel,
};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        // Stored as the word, not as the variant's number, so that inserting a variant does not
        // change the meaning of old rows.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <&str>::deserialize(deserializer)?;
                Self::from_word(word).ok_or_else(|| de::Error::custom("unknown word"))
            }
        }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// Returns the word used in the log.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// Parses the word used in the log.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.as_str() == word)
            }
        }
    };
}

words! {
    /// What was done or requested. The words match the verbs of the API.
    Action {
        /// Environments were listed.
        EnvironmentList = "environment.list",
        /// An environment was read.
        EnvironmentRead = "environment.read",
        /// An environment was created.
        EnvironmentCreate = "environment.create",
        /// An environment and everything in it was deleted.
        EnvironmentDelete = "environment.delete",
        /// Settings were read.
        SettingsRead = "settings.read",
        /// Settings were changed.
        SettingsUpdate = "settings.update",
        /// Settings were reset to their defaults.
        SettingsReset = "settings.reset",
        /// Secrets were listed.
        SecretList = "secret.list",
        /// A secret was read, without its value.
        SecretRead = "secret.read",
        /// A secret was created.
        SecretCreate = "secret.create",
        /// A secret was updated.
        SecretUpdate = "secret.update",
        /// A secret was deleted.
        SecretDelete = "secret.delete",
        /// A secret's value was revealed to a person, or the reveal was refused.
        SecretReveal = "secret.reveal",
        /// A secret's versions were listed.
        SecretVersions = "secret.versions",
        /// An old version was activated.
        SecretActivate = "secret.activate",
        /// An import created a secret or gave it a new value.
        SecretImport = "secret.import",
        /// Secrets were copied from one environment to another; both get a row.
        SecretCopy = "secret.copy",
        /// Variables were listed.
        VarList = "var.list",
        /// A variable was read.
        VarRead = "var.read",
        /// A variable was created.
        VarCreate = "var.create",
        /// A variable was updated.
        VarUpdate = "var.update",
        /// A variable was deleted.
        VarDelete = "var.delete",
        /// An import created a variable or gave it a new value.
        VarImport = "var.import",
        /// Workloads were listed.
        WorkloadList = "workload.list",
        /// A workload received its values, sealed to it, or the delivery failed.
        WorkloadDeliver = "workload.deliver",
        /// The files declared on the host were listed.
        DeliveryList = "delivery.list",
        /// Values were written to a file on the host, or the write failed.
        DeliveryWrite = "delivery.write",
        /// A user logged in, or the login was refused.
        AuthLogin = "auth.login",
        /// A user logged out.
        AuthLogout = "auth.logout",
        /// The first user registered, or the registration was refused.
        AuthRegister = "auth.register",
        /// A caller asked for its own identity.
        AuthRead = "auth.read",
        /// Users were listed.
        UserList = "user.list",
        /// A user was read.
        UserRead = "user.read",
        /// A user was created.
        UserCreate = "user.create",
        /// A user was updated.
        UserUpdate = "user.update",
        /// A user was deleted.
        UserDelete = "user.delete",
        /// A user's password was changed, or the change was refused.
        UserChangePassword = "user.change-password",
        /// A user's sessions were listed.
        SessionList = "session.list",
        /// One or all sessions of a user were ended.
        SessionDelete = "session.delete",
        /// Service accounts were listed.
        ServiceAccountList = "service-account.list",
        /// A service account was read.
        ServiceAccountRead = "service-account.read",
        /// A service account was created.
        ServiceAccountCreate = "service-account.create",
        /// A service account was updated.
        ServiceAccountUpdate = "service-account.update",
        /// A service account was deleted.
        ServiceAccountDelete = "service-account.delete",
        /// Tokens were listed.
        TokenList = "token.list",
        /// A token was created.
        TokenCreate = "token.create",
        /// A token was deleted.
        TokenDelete = "token.delete",
        /// An admin token was created on the host, without a credential.
        TokenRecover = "token.recover",
        /// The audit log was read.
        AuditRead = "audit.read",
        /// The audit log's chain was verified.
        AuditVerify = "audit.verify",
        /// The audit log was exported.
        AuditExport = "audit.export",
        /// Old rows of the audit log were dropped.
        AuditPrune = "audit.prune",
        /// The wrapping keys were listed.
        KeyList = "key.list",
        /// A wrapping key was created, to which all data keys are rewrapped.
        KeyRotate = "key.rotate",
        /// All data keys were rewrapped.
        KeyRewrap = "key.rewrap",
        /// A wrapping key was destroyed.
        KeyRetire = "key.retire",
        /// A backup was created.
        BackupCreate = "backup.create",
        /// The database was restored from a backup; the chain continues after this row.
        BackupRestore = "backup.restore",
        /// The server created its database.
        ServerInitialize = "server.initialize",
        /// The server started.
        ServerStart = "server.start",
        /// The server stopped.
        ServerStop = "server.stop",
        /// The server and its database were examined.
        ServerDoctor = "server.doctor",
        /// The server's status was read.
        ServerStatus = "server.status",
        /// Inconsistent rows were repaired.
        ServerRepair = "server.repair",
        /// The database was compacted.
        ServerCompact = "server.compact",
        /// The configuration was reloaded, and the declared deliveries changed.
        ServerReload = "server.reload",
    }
}

words! {
    /// The type of thing that a row is about.
    ResourceType {
        /// An environment.
        Environment = "environment",
        /// An environment's settings.
        Settings = "settings",
        /// A secret.
        Secret = "secret",
        /// A variable.
        Var = "var",
        /// A workload declared on the host.
        Workload = "workload",
        /// A file on the host that receives values.
        Delivery = "delivery",
        /// The authentication of a caller.
        Auth = "auth",
        /// A user.
        User = "user",
        /// A session.
        Session = "session",
        /// A service account.
        ServiceAccount = "service-account",
        /// A token.
        Token = "token",
        /// The audit log.
        Audit = "audit",
        /// A wrapping key.
        Key = "key",
        /// A backup.
        Backup = "backup",
        /// The server itself.
        Server = "server",
    }
}

impl Action {
    /// Returns the type of thing that the action applies to.
    pub fn resource_type(self) -> ResourceType {
        let word = self.as_str().split('.').next().unwrap_or_default();
        ResourceType::from_word(word)
            .expect("every action starts with a resource type, as a test checks")
    }
}

/// The thing that a row is about. A copy, so that the row outlives the thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The id, or the requested id.
    pub id: Option<String>,
    /// The name or key.
    pub name: Option<String>,
}

/// The environment that a row belongs to, which decides who may read the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentLabel {
    /// The id.
    pub id: EnvironmentId,
    /// The name at that time.
    pub name: EnvironmentName,
}

/// Who acted. A copy, so that the row outlives the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name at that time.
    pub name: String,
    /// The token used.
    pub token: Option<TokenId>,
    /// The user who acted, or who owns the token.
    pub user: Option<UserLabel>,
    /// The service account that owns the token.
    pub service_account: Option<ServiceAccountId>,
}

impl Actor {
    /// Returns the actor for a caller without a credential.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".to_owned(), token: None, user: None, service_account: None }
    }

    /// Returns the actor for a user who has just authenticated.
    pub fn user(label: UserLabel) -> Self {
        let name = label.name.clone().unwrap_or_else(|| label.email.clone());
        Self { name, token: None, user: Some(label), service_account: None }
    }
}

impl From<&Principal> for Actor {
    fn from(who: &Principal) -> Self {
        let (user, service_account) = match &who.owner {
            Owner::Host => (None, None),
            Owner::User(label) => (Some(label.clone()), None),
            Owner::ServiceAccount(id) => (None, Some(*id)),
        };
        Self { name: who.name.clone(), token: who.token_id(), user, service_account }
    }
}

/// A row before it is appended to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What was done or requested.
    pub action: Action,
    /// The thing it was done to.
    pub resource: Resource,
    /// The environment of the thing, if it has one.
    pub environment: Option<EnvironmentLabel>,
    /// Details as a serialized JSON object. Never contains a value.
    pub details: Option<String>,
    /// The error code that the caller received; `None` on success.
    pub error: Option<String>,
    /// Who acted.
    pub actor: Actor,
    /// The id of the request.
    pub request_id: Option<String>,
    /// The address of the client.
    pub ip: Option<String>,
    /// The time.
    pub at: Timestamp,
}

impl Draft {
    /// Creates a draft about a success of a principal; the methods below add the rest.
    pub fn new(action: Action, who: &Principal, origin: &Origin, at: Timestamp) -> Self {
        Self::by(Actor::from(who), action, origin, at)
    }

    /// Creates a draft about an actor that is not, or not yet, a principal.
    pub fn by(actor: Actor, action: Action, origin: &Origin, at: Timestamp) -> Self {
        Self {
            action,
            resource: Resource::default(),
            environment: None,
            details: None,
            error: None,
            actor,
            request_id: origin.request_id.as_ref().map(|id| id.as_str().to_owned()),
            ip: origin.ip.map(|ip| ip.to_string()),
            at,
        }
    }

    /// Sets the id and the name of the thing.
    #[must_use]
    pub fn on(mut self, id: impl ToString, name: Option<&str>) -> Self {
        self.resource = Resource { id: Some(id.to_string()), name: name.map(str::to_owned) };
        self
    }

    /// Sets the name of a thing without an id.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.resource = Resource { id: None, name: Some(name.to_owned()) };
        self
    }

    /// Returns the name of the thing; empty if it has none.
    pub fn resource_name(&self) -> &str {
        self.resource.name.as_deref().unwrap_or_default()
    }

    /// Sets the environment.
    #[must_use]
    pub fn within(mut self, id: EnvironmentId, name: &EnvironmentName) -> Self {
        self.environment = Some(EnvironmentLabel { id, name: name.clone() });
        self
    }

    /// Sets the details, which must not contain a value.
    #[must_use]
    pub fn details(mut self, details: &serde_json::Value) -> Self {
        self.details = Some(details.to_string());
        self
    }

    /// Marks the action as refused.
    #[must_use]
    pub fn refused(mut self, code: RefusalCode) -> Self {
        self.error = Some(code.as_str().to_owned());
        self
    }
}

words! {
    /// Why an action was refused, as recorded in an audit row. `http` maps each of
    /// them to an error code and a status.
    RefusalCode {
        /// The credential is wrong or revoked, or its permissions were reduced.
        Unauthorized = "UNAUTHORIZED",
        /// The role is too low.
        ForbiddenRole = "FORBIDDEN_ROLE",
        /// The credential does not cover the environment.
        ForbiddenScope = "FORBIDDEN_SCOPE",
        /// The row does not exist.
        NotFound = "NOT_FOUND",
        /// The input is invalid.
        ValidationError = "VALIDATION_ERROR",
        /// The state of the row does not allow it.
        Conflict = "CONFLICT",
        /// Reveal is switched off for the environment.
        RevealDisabled = "REVEAL_DISABLED",
        /// The secret is write-only.
        SecretWriteOnly = "SECRET_WRITE_ONLY",
        /// A stored value cannot be decrypted.
        SecretUnreadable = "SECRET_UNREADABLE",
        /// A file's template or pattern needs keys that have no value. Never sent to a caller.
        MissingKeys = "MISSING_KEYS",
        /// A file could not be written. Never sent to a caller.
        DeliveryFailed = "DELIVERY_FAILED",
        /// The server failed.
        Internal = "INTERNAL",
    }
}

/// A row with its position in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The number of the row: 1 for the first, without gaps.
    pub seq: u64,
    /// The content.
    pub draft: Draft,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_starts_with_a_resource_type() {
        for action in Action::ALL {
            action.resource_type();
            assert_eq!(Action::from_word(action.as_str()), Some(*action));
        }
    }
}
