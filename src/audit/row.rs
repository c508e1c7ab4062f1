//! One line of the audit log.

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

        // Stored as the word, not as the variant's number, so that a new
        // variant in the middle does not change what old rows say.
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
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word for it in the log.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The reverse of `as_str`.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }
    };
}

words! {
    /// What was done or asked for. The words are the ones of the API's verbs.
    Action {
        /// Environments were listed.
        EnvironmentList = "environment.list",
        /// An environment was read.
        EnvironmentRead = "environment.read",
        /// An environment was created.
        EnvironmentCreate = "environment.create",
        /// An environment was deleted with everything in it.
        EnvironmentDelete = "environment.delete",
        /// Settings were read.
        SettingsRead = "settings.read",
        /// Settings were changed.
        SettingsUpdate = "settings.update",
        /// Settings went back to their defaults.
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
        /// A secret's value was shown to a person, or that was refused.
        SecretReveal = "secret.reveal",
        /// A secret's versions were listed.
        SecretVersions = "secret.versions",
        /// An old version was put in force again.
        SecretActivate = "secret.activate",
        /// A secret was created or got a new value by an import.
        SecretImport = "secret.import",
        /// Secrets were copied from one environment into another: a row in each.
        SecretCopy = "secret.copy",
        /// Vars were listed.
        VarList = "var.list",
        /// A var was read.
        VarRead = "var.read",
        /// A var was created.
        VarCreate = "var.create",
        /// A var was updated.
        VarUpdate = "var.update",
        /// A var was deleted.
        VarDelete = "var.delete",
        /// A var was created or got a new value by an import.
        VarImport = "var.import",
        /// Workloads were listed.
        WorkloadList = "workload.list",
        /// A workload's values were delivered, sealed to it, or that failed.
        WorkloadDeliver = "workload.deliver",
        /// The files that the host declares were listed.
        DeliveryList = "delivery.list",
        /// Values were written into a file on the host, or that failed.
        DeliveryWrite = "delivery.write",
        /// Somebody logged in, or that was refused.
        AuthLogin = "auth.login",
        /// A session was ended by whoever was in it.
        AuthLogout = "auth.logout",
        /// The first user made itself known, or that was refused.
        AuthRegister = "auth.register",
        /// A caller asked who they are.
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
        /// A user's password was changed, or that was refused.
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
        /// A token was made.
        TokenCreate = "token.create",
        /// A token was deleted.
        TokenDelete = "token.delete",
        /// An admin's token was made on the host, without one.
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
        /// A new wrapping key was made, and everything is wrapped again.
        KeyRotate = "key.rotate",
        /// Everything was wrapped again.
        KeyRewrap = "key.rewrap",
        /// A wrapping key was destroyed.
        KeyRetire = "key.retire",
        /// A backup was made.
        BackupCreate = "backup.create",
        /// The database was restored from a backup; the chain goes on behind it.
        BackupRestore = "backup.restore",
        /// The server made its data directory.
        ServerInitialize = "server.initialize",
        /// The server started.
        ServerStart = "server.start",
        /// The server stopped.
        ServerStop = "server.stop",
        /// The server and its database were examined.
        ServerDoctor = "server.doctor",
        /// The server was asked how it is.
        ServerStatus = "server.status",
        /// Rows that did not fit the others were made to.
        ServerRepair = "server.repair",
        /// The database's log was written anew, with what is live.
        ServerCompact = "server.compact",
        /// The configuration was read again: who gets values is another matter now.
        ServerReload = "server.reload",
    }
}

words! {
    /// What kind of thing a row is about.
    ResourceType {
        /// An environment.
        Environment = "environment",
        /// An environment's settings.
        Settings = "settings",
        /// A secret.
        Secret = "secret",
        /// A var.
        Var = "var",
        /// A workload that the host has enrolled.
        Workload = "workload",
        /// A file on the host that values are written into.
        Delivery = "delivery",
        /// Who is asking.
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
    /// What kind of thing the action is done to.
    pub fn resource_type(self) -> ResourceType {
        let word = self.as_str().split('.').next().unwrap_or_default();
        ResourceType::from_word(word)
            .expect("every action begins with a resource type; a test walks them all")
    }
}

/// The thing a row is about. Copied when the row is written, so that it
/// outlives what it names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id, or the id that was asked for.
    pub id: Option<String>,
    /// Its name or key.
    pub name: Option<String>,
}

/// The environment a row belongs to; decides who may read the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentLabel {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name at that time.
    pub name: EnvironmentName,
}

/// Who did it. Copied, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Its name at that time.
    pub name: String,
    /// The token it used.
    pub token: Option<TokenId>,
    /// The user on whose behalf it acted.
    pub user: Option<UserLabel>,
    /// The service account on whose behalf it acted.
    pub service_account: Option<ServiceAccountId>,
}

impl Actor {
    /// Somebody without a credential.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".to_owned(), token: None, user: None, service_account: None }
    }

    /// A user who has just shown who they are.
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

/// A row before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What was done or asked for.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// In which environment.
    pub environment: Option<EnvironmentLabel>,
    /// Details as a JSON object, already serialised. Never a value.
    pub details: Option<String>,
    /// Whether it was done; `None` is success, else the error code that the
    /// caller got.
    pub error: Option<String>,
    /// Who.
    pub actor: Actor,
    /// Under which request.
    pub request_id: Option<String>,
    /// From which address.
    pub ip: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Draft {
    /// A row about something that succeeded; add the rest with the methods below.
    pub fn new(action: Action, who: &Principal, origin: &Origin, at: Timestamp) -> Self {
        Self::by(Actor::from(who), action, origin, at)
    }

    /// Likewise, about what somebody did who is no principal, or not yet.
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

    /// Names the thing.
    #[must_use]
    pub fn on(mut self, id: impl ToString, name: Option<&str>) -> Self {
        self.resource = Resource { id: Some(id.to_string()), name: name.map(str::to_owned) };
        self
    }

    /// Names the thing, which has no id.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.resource = Resource { id: None, name: Some(name.to_owned()) };
        self
    }

    /// What it names.
    pub fn resource_name(&self) -> &str {
        self.resource.name.as_deref().unwrap_or_default()
    }

    /// Names the environment.
    #[must_use]
    pub fn within(mut self, id: EnvironmentId, name: &EnvironmentName) -> Self {
        self.environment = Some(EnvironmentLabel { id, name: name.clone() });
        self
    }

    /// Adds details. The caller must not put a value in them.
    #[must_use]
    pub fn details(mut self, details: &serde_json::Value) -> Self {
        self.details = Some(details.to_string());
        self
    }

    /// Marks it refused, and says why.
    #[must_use]
    pub fn refused(mut self, code: RefusalCode) -> Self {
        self.error = Some(code.as_str().to_owned());
        self
    }
}

words! {
    /// Why something was refused, as an audit row says it. Where a caller is told too, the
    /// word is the code of the answer; `http` maps each of them to a status.
    RefusalCode {
        /// The credential is wrong, has ended, or may do less than before.
        Unauthorized = "UNAUTHORIZED",
        /// The role is too low.
        ForbiddenRole = "FORBIDDEN_ROLE",
        /// The credential does not cover the environment.
        ForbiddenScope = "FORBIDDEN_SCOPE",
        /// There is no such row.
        NotFound = "NOT_FOUND",
        /// The input is wrong.
        ValidationError = "VALIDATION_ERROR",
        /// The state of the row does not allow it.
        Conflict = "CONFLICT",
        /// Reveal is switched off for the environment.
        RevealDisabled = "REVEAL_DISABLED",
        /// The secret is write-only.
        SecretWriteOnly = "SECRET_WRITE_ONLY",
        /// A stored value does not open.
        SecretUnreadable = "SECRET_UNREADABLE",
        /// A file's template or pattern needs keys that have no value. No caller sees this.
        MissingKeys = "MISSING_KEYS",
        /// A file could not be put in place. No caller sees this.
        DeliveryFailed = "DELIVERY_FAILED",
        /// The server could not do it.
        Internal = "INTERNAL",
    }
}

/// A row with its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// 1 for the first row, then without gaps.
    pub seq: u64,
    /// What it says.
    pub draft: Draft,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_begins_with_a_resource_type() {
        for action in Action::ALL {
            action.resource_type();
            assert_eq!(Action::from_word(action.as_str()), Some(*action));
        }
    }
}
