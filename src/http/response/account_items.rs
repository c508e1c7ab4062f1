//! The bodies of successful responses about users, sessions, service accounts and tokens.
//!
//! Owns: their member names and order, which are part of the wire contract.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{CallerIdentity, NewSession};
use crate::domain::{
    EnvironmentId, OwnerId, Principal, Role, Scope, ServiceAccountId, ServiceAccountInfo,
    ServiceAccountName, SessionId, SessionInfo, Timestamp, TokenId, TokenInfo, UserId, UserInfo,
};

/// A role, as it is spelled on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Role)]
pub(in crate::http) enum RoleWord {
    Viewer,
    Operator,
    Admin,
}

impl From<Role> for RoleWord {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

/// The environments in which a principal may use its role.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Scope)]
pub(in crate::http) struct ScopeItem {
    /// Every environment, including future ones.
    all_environments: bool,
    /// Otherwise these, as long as they exist.
    #[schema(value_type = Vec<String>)]
    environment_ids: Vec<EnvironmentId>,
}

impl From<Scope> for ScopeItem {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::All => Self { all_environments: true, environment_ids: Vec::new() },
            Scope::Environments(list) => {
                Self { all_environments: false, environment_ids: list.into_iter().collect() }
            }
        }
    }
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub(in crate::http) struct UserItem {
    #[schema(value_type = String, example = "usr_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: UserId,
    #[schema(example = "ada@example.org")]
    email: String,
    #[schema(required = true)]
    name: Option<String>,
    role: RoleWord,
    #[serde(flatten)]
    scope: ScopeItem,
    disabled: bool,
    /// When the user was last active, to the minute.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    last_active_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<UserInfo> for UserItem {
    fn from(info: UserInfo) -> Self {
        Self {
            id: info.id,
            email: info.email.as_str().to_owned(),
            name: info.name.as_deref().map(str::to_owned),
            role: info.role.into(),
            scope: info.scope.into(),
            disabled: info.disabled,
            last_active_at: info.last_active_at,
            created_at: info.created_at,
            updated_at: info.updated_at,
        }
    }
}

/// A session of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
pub(in crate::http) struct SessionItem {
    #[schema(value_type = String, example = "ses_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: SessionId,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Timestamp,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The client's address at login.
    #[schema(required = true)]
    ip: Option<String>,
    /// The client's `User-Agent` at login.
    #[schema(required = true)]
    user_agent: Option<String>,
    /// Whether it is the session that made this request.
    current: bool,
}

impl From<(SessionInfo, bool)> for SessionItem {
    fn from((info, current): (SessionInfo, bool)) -> Self {
        Self {
            id: info.id,
            created_at: info.created_at,
            last_used_at: info.last_used_at,
            expires_at: info.expires_at,
            ip: info.ip,
            user_agent: info.user_agent,
            current,
        }
    }
}

/// A service account: a machine that owns tokens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServiceAccount)]
pub(in crate::http) struct ServiceAccountItem {
    #[schema(value_type = String, example = "sva_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: ServiceAccountId,
    #[schema(value_type = String, example = "deploy")]
    name: ServiceAccountName,
    #[schema(required = true)]
    description: Option<String>,
    role: RoleWord,
    #[serde(flatten)]
    scope: ScopeItem,
    disabled: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The name of its creator at that time.
    created_by: String,
    #[serde(rename = "_count")]
    count: ServiceAccountCount,
}

/// How many tokens a service account has.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct ServiceAccountCount {
    api_tokens: u32,
}

impl From<ServiceAccountInfo> for ServiceAccountItem {
    fn from(info: ServiceAccountInfo) -> Self {
        Self {
            id: info.id,
            name: info.name,
            description: info.description.as_deref().map(str::to_owned),
            role: info.role.into(),
            scope: info.scope.into(),
            disabled: info.disabled,
            created_at: info.created_at,
            updated_at: info.updated_at,
            created_by: info.created_by,
            count: ServiceAccountCount { api_tokens: info.tokens },
        }
    }
}

/// An API token, without the token itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(in crate::http) struct TokenItem {
    #[schema(value_type = String, example = "tok_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: TokenId,
    name: String,
    /// Its first characters, to recognize it by.
    #[schema(example = "cof_3fQz")]
    token_prefix: String,
    /// Its own role. If its owner's role is lower now, that one counts.
    role: RoleWord,
    #[serde(flatten)]
    scope: ScopeItem,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The name of its creator at that time.
    created_by: String,
    /// Its owner, if the owner is a user.
    #[schema(value_type = Option<String>, required = true)]
    user_id: Option<UserId>,
    /// Its owner, if the owner is a service account. A token with neither belongs to the host.
    #[schema(value_type = Option<String>, required = true)]
    service_account_id: Option<ServiceAccountId>,
}

impl From<TokenInfo> for TokenItem {
    fn from(info: TokenInfo) -> Self {
        let (user_id, service_account_id) = match info.owner {
            OwnerId::Host => (None, None),
            OwnerId::User(id) => (Some(id), None),
            OwnerId::ServiceAccount(id) => (None, Some(id)),
        };
        Self {
            id: info.id,
            name: info.name.as_str().to_owned(),
            token_prefix: info.prefix,
            role: info.role.into(),
            scope: info.scope.into(),
            last_used_at: info.last_used_at,
            expires_at: info.expires_at,
            created_at: info.created_at,
            created_by: info.created_by,
            user_id,
            service_account_id,
        }
    }
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $member:ident: $type:ty })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub(in crate::http) struct $name { pub $member: $type }
    )*};
}

answers! {
    /// Whether the first user can be created.
    RegistrationAnswer { registration: RegistrationItem }
    /// One user.
    UserAnswer { user: UserItem }
    /// Users, ordered by email address.
    UsersAnswer { users: Vec<UserItem> }
    /// Sessions, newest first.
    SessionsAnswer { sessions: Vec<SessionItem> }
    /// One service account.
    ServiceAccountAnswer { service_account: ServiceAccountItem }
    /// Service accounts, ordered by name.
    ServiceAccountsAnswer { service_accounts: Vec<ServiceAccountItem> }
    /// Tokens, newest first.
    TokensAnswer { tokens: Vec<TokenItem> }
}

/// A new API token and its record.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct NewTokenAnswer<'a> {
    /// The token itself. It is not shown again.
    #[schema(example = "cof_3fQzI0m0hYb2dJr8c1Xl5uPq7sT9vW4eA6gK_nM-oRy")]
    pub token: &'a str,
    pub token_record: TokenItem,
}

/// Whether the first user can be created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Registration)]
pub(in crate::http) struct RegistrationItem {
    /// True as long as no user exists.
    pub open: bool,
}

/// A new session.
#[derive(Serialize, ToSchema)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct LoginAnswer<'a> {
    /// The session token, to be sent as a bearer token. It is not shown again. `null` for the web
    /// console (`X-Coffer: 1`), which gets it as a cookie.
    #[schema(required = true, example = "cos_3fQzI0m0hYb2dJr8c1Xl5uPq7sT9vW4eA6gK_nM-oRy")]
    token: Option<&'a str>,
    user: LoginUser<'a>,
}

/// The user who has logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct LoginUser<'a> {
    #[schema(value_type = String)]
    id: UserId,
    email: &'a str,
    #[schema(required = true)]
    name: Option<&'a str>,
    role: RoleWord,
}

impl<'a> LoginAnswer<'a> {
    /// `token` is `None` if the caller gets it as a cookie.
    pub fn new(session: &'a NewSession, token: Option<&'a str>) -> Self {
        let user = LoginUser {
            id: session.user,
            email: session.email.as_str(),
            name: session.name.as_deref(),
            role: session.role.into(),
        };
        Self { token, user }
    }
}

/// The caller, and what its credential may do now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MeAnswer {
    user: MeUser,
    /// The effective role: the lower of the credential's own and its owner's.
    role: RoleWord,
    /// The environments that the credential covers now.
    #[schema(value_type = Vec<String>)]
    environments: Vec<EnvironmentId>,
    /// The permissions that follow from role and scope.
    #[schema(example = json!(["environments:read", "secrets:read", "secrets:write"]))]
    scopes: Vec<&'static str>,
}

/// The owner of a credential.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Me)]
pub(in crate::http) struct MeUser {
    /// The id of the user or service account, or of the token itself if it belongs to the host.
    id: String,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(required = true)]
    name: Option<String>,
    /// The credential's own role.
    role: RoleWord,
    #[schema(value_type = Option<String>, required = true)]
    api_token_id: Option<TokenId>,
    #[schema(value_type = Option<String>, required = true)]
    service_account_id: Option<ServiceAccountId>,
    /// The environments that the credential covers.
    scope: ScopeItem,
}

impl MeAnswer {
    pub fn new(me: CallerIdentity, principal: &Principal, reached: Vec<EnvironmentId>) -> Self {
        let service_account_id = match principal.owner {
            crate::domain::Owner::ServiceAccount(id) => Some(id),
            _ => None,
        };
        let scope = match &principal.scope {
            Scope::All => Scope::All,
            Scope::Environments(_) => Scope::Environments(reached.iter().copied().collect()),
        };
        let everything = principal.administers_everything();
        let scopes = [
            ("environments:read", true),
            ("secrets:read", true),
            ("secrets:write", principal.role >= Role::Operator),
            ("secrets:reveal", principal.role >= Role::Admin),
            ("environments:write", principal.role >= Role::Admin),
            ("tokens:manage", everything),
            ("admin:*", everything),
        ];
        Self {
            user: MeUser {
                id: me.id,
                email: me.email,
                name: me.name,
                role: me.role.into(),
                api_token_id: principal.token_id(),
                service_account_id,
                scope: scope.into(),
            },
            role: principal.role.into(),
            environments: reached,
            scopes: scopes.into_iter().filter_map(|(word, can)| can.then_some(word)).collect(),
        }
    }
}
