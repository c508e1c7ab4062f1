//! The bodies of successful responses about environments, secrets, vars and the audit log.
//!
//! Owns: their member names and order, which are part of the wire contract. An optional member is
//! `null`, never left out.

use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::audit::{Action, ResourceType, Row, Verification};
use crate::delivery::KeyUsage;
use crate::domain::{
    EnvironmentId, EnvironmentInfo, EnvironmentName, EnvironmentSettings, KeyName, SecretId,
    SecretInfo, ServiceAccountId, Timestamp, TokenId, UserId, UserLabel, VarId, VarInfo, Version,
    VersionInfo,
};
use crate::vault::ExportedRow;

use crate::http::response::schema::words;

/// An environment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Environment)]
pub(in crate::http) struct EnvironmentItem {
    #[schema(value_type = String, example = "env_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: EnvironmentId,
    #[schema(value_type = String, example = "production")]
    name: EnvironmentName,
    #[schema(required = true)]
    display_name: Option<String>,
    /// Always false: reserved by this API family.
    ssh_configured: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[serde(rename = "_count")]
    count: EnvironmentCount,
}

/// How many secrets and vars an environment has.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct EnvironmentCount {
    secrets: u32,
    vars: u32,
}

impl From<EnvironmentInfo> for EnvironmentItem {
    fn from(info: EnvironmentInfo) -> Self {
        Self {
            id: info.id,
            name: info.name,
            display_name: info.display_name.as_deref().map(str::to_owned),
            ssh_configured: false,
            created_at: info.created_at,
            updated_at: info.updated_at,
            count: EnvironmentCount { secrets: info.secrets, vars: info.vars },
        }
    }
}

/// A secret, without its value and without anything computed from it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Secret)]
pub(in crate::http) struct SecretItem {
    #[schema(value_type = String, example = "sec_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: SecretId,
    #[schema(value_type = String, example = "DATABASE_URL")]
    key: KeyName,
    #[schema(required = true)]
    description: Option<String>,
    /// Write-only: the value can be set but never read.
    never_reveal: bool,
    /// The number of the current version.
    #[schema(value_type = u32, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[serde(flatten)]
    usage: UsedBy,
}

/// Which workloads and files receive a secret or var, according to the server's configuration.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Use)]
pub(in crate::http) struct UsedBy {
    /// Paths of the templates that name it.
    used_by_config_files: Vec<String>,
    /// Names of workloads and paths of files.
    used_by_services: Vec<String>,
    /// The number of items in `usedByServices`.
    usage_count: u32,
}

impl UsedBy {
    pub fn is_any(&self) -> bool {
        self.usage_count > 0
    }
}

impl From<KeyUsage> for UsedBy {
    fn from(KeyUsage { services, config_files }: KeyUsage) -> Self {
        Self {
            used_by_config_files: config_files,
            usage_count: u32::try_from(services.len()).unwrap_or(u32::MAX),
            used_by_services: services,
        }
    }
}

impl SecretItem {
    pub fn new(info: SecretInfo, usage: UsedBy) -> Self {
        Self {
            id: info.id,
            key: info.key,
            description: info.description.as_deref().map(str::to_owned),
            never_reveal: info.mode.never_reveal(),
            version: info.version,
            created_at: info.created_at,
            updated_at: info.updated_at,
            usage,
        }
    }
}

/// A var: configuration that is not secret. Its value is in every answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Var)]
pub(in crate::http) struct VarItem {
    #[schema(value_type = String, example = "var_01JD3N5W8Q4X0V7M2K9R6T1HBC")]
    id: VarId,
    #[schema(value_type = String, example = "LOG_LEVEL")]
    key: KeyName,
    value: String,
    #[schema(required = true)]
    description: Option<String>,
    /// The number of the current version.
    #[schema(value_type = u32, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[serde(flatten)]
    usage: UsedBy,
}

impl VarItem {
    pub fn new(info: VarInfo, usage: UsedBy) -> Self {
        Self {
            id: info.id,
            key: info.key,
            value: info.value,
            description: info.description.as_deref().map(str::to_owned),
            version: info.version,
            created_at: info.created_at,
            updated_at: info.updated_at,
            usage,
        }
    }
}

/// A retained version of a secret.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Version)]
pub(in crate::http) struct VersionItem {
    #[schema(value_type = u32, minimum = 1)]
    version: Version,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The name of its author at that time.
    created_by: String,
    /// Whether it is the current version.
    active: bool,
}

impl From<VersionInfo> for VersionItem {
    fn from(info: VersionInfo) -> Self {
        Self {
            version: info.version,
            created_at: info.created_at,
            created_by: info.created_by,
            active: info.active,
        }
    }
}

/// The settings of an environment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Settings)]
pub(in crate::http) struct SettingsItem {
    /// Whether admins may reveal revealable secrets in this environment.
    allow_secret_reveal: bool,
    /// The default of `neverReveal` for new secrets.
    never_reveal_by_default: bool,
}

impl From<EnvironmentSettings> for SettingsItem {
    fn from(settings: EnvironmentSettings) -> Self {
        Self {
            allow_secret_reveal: settings.allow_secret_reveal,
            never_reveal_by_default: settings.never_reveal_by_default,
        }
    }
}

/// A row of the audit log, with names and ids as they were when it was written.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditRow)]
pub(in crate::http) struct AuditItem {
    id: String,
    /// Numbered from 1 without gaps.
    #[schema(minimum = 1)]
    seq: u64,
    #[schema(schema_with = action_words)]
    action: &'static str,
    #[schema(schema_with = resource_words)]
    resource_type: &'static str,
    #[schema(required = true)]
    resource_id: Option<String>,
    #[schema(required = true)]
    resource_name: Option<String>,
    /// A JSON object as text. Never contains a secret value.
    #[schema(required = true)]
    details: Option<String>,
    success: bool,
    /// The error code that the caller got, if the request was refused.
    #[schema(required = true)]
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(required = true)]
    request_id: Option<String>,
    #[schema(required = true)]
    ip: Option<String>,
    #[schema(value_type = Option<String>, required = true)]
    user_id: Option<UserId>,
    #[schema(value_type = Option<String>, required = true)]
    api_token_id: Option<TokenId>,
    #[schema(value_type = Option<String>, required = true)]
    service_account_id: Option<ServiceAccountId>,
    actor_name: String,
    #[schema(value_type = Option<String>, required = true)]
    environment_id: Option<EnvironmentId>,
    #[schema(value_type = Option<String>, required = true)]
    environment_name: Option<EnvironmentName>,
    #[schema(required = true)]
    user: Option<AuditUser>,
    #[schema(required = true)]
    environment: Option<AuditEnvironment>,
}

fn action_words() -> ObjectBuilder {
    words(Action::ALL.iter().map(|one| one.as_str()))
}

fn resource_words() -> ObjectBuilder {
    words(ResourceType::ALL.iter().map(|one| one.as_str()))
}

/// The user of an audit row.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AuditUser {
    #[schema(value_type = String)]
    id: UserId,
    email: String,
    #[schema(required = true)]
    name: Option<String>,
}

/// The environment of an audit row.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AuditEnvironment {
    #[schema(value_type = String)]
    id: EnvironmentId,
    #[schema(value_type = String)]
    name: EnvironmentName,
}

impl From<Row> for AuditItem {
    fn from(Row { seq, draft }: Row) -> Self {
        let environment = draft.environment;
        Self {
            id: format!("aud_{seq}"),
            seq,
            action: draft.action.as_str(),
            resource_type: draft.action.resource_type().as_str(),
            resource_id: draft.resource.id,
            resource_name: draft.resource.name,
            details: draft.details,
            success: draft.error.is_none(),
            error: draft.error,
            created_at: draft.at,
            request_id: draft.request_id,
            ip: draft.ip,
            user_id: draft.actor.user.as_ref().map(|user| user.id),
            api_token_id: draft.actor.token,
            service_account_id: draft.actor.service_account,
            actor_name: draft.actor.name,
            environment_id: environment.as_ref().map(|at| at.id),
            environment_name: environment.as_ref().map(|at| at.name.clone()),
            user: draft.actor.user.map(|UserLabel { id, email, name }| AuditUser {
                id,
                email,
                name,
            }),
            environment: environment.map(|at| AuditEnvironment { id: at.id, name: at.name }),
        }
    }
}

/// Rows of the audit log, and the total number of matches.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AuditLogsAnswer {
    pub logs: Vec<AuditItem>,
    pub total: u64,
}

/// A row of an export.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ExportedRow)]
pub(in crate::http) enum ExportItem {
    Whole(Box<ExportedAudit>),
    Damaged(DamagedAudit),
}

/// A row of the audit log with its MAC. A log in which this row is missing or has another MAC was
/// changed after the export.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedAuditRow)]
pub(in crate::http) struct ExportedAudit {
    #[serde(flatten)]
    row: AuditItem,
    /// HMAC-SHA256 over the row and the one before it, as 64 hexadecimal digits.
    mac: String,
}

/// A row of the audit log that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DamagedAuditRow)]
pub(in crate::http) struct DamagedAudit {
    seq: u64,
    /// Always true.
    damaged: bool,
}

impl From<ExportedRow> for ExportItem {
    fn from(ExportedRow { seq, content }: ExportedRow) -> Self {
        match content {
            Some((row, mac)) => {
                Self::Whole(Box::new(ExportedAudit { row: row.into(), mac: mac.to_hex() }))
            }
            None => Self::Damaged(DamagedAudit { seq, damaged: true }),
        }
    }
}

/// The result of verifying the audit log's chain of MACs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Verification)]
pub(in crate::http) struct VerificationItem {
    intact: bool,
    /// How many rows are intact, counted from the first one kept.
    rows: u64,
    /// The first row that is kept. Older ones were deleted by the retention period.
    first_seq: u64,
    /// When rows were last deleted by the retention period.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    dropped_at: Option<Timestamp>,
    /// The first row that is missing or changed.
    #[schema(required = true)]
    broken_seq: Option<u64>,
    /// What is wrong with that row.
    #[schema(required = true)]
    problem: Option<&'static str>,
}

impl From<Verification> for VerificationItem {
    fn from(Verification { first_seq, dropped_at, rows, broken }: Verification) -> Self {
        Self {
            intact: broken.is_none(),
            rows,
            first_seq,
            dropped_at,
            broken_seq: broken.as_ref().map(|broken| broken.seq),
            problem: broken.map(|broken| broken.what),
        }
    }
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $member:ident: $type:ty })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        pub(in crate::http) struct $name { pub $member: $type }
    )*};
}

answers! {
    /// One environment.
    EnvironmentAnswer { environment: EnvironmentItem }
    /// Environments.
    EnvironmentsAnswer { environments: Vec<EnvironmentItem> }
    /// One secret.
    SecretAnswer { secret: SecretItem }
    /// Secrets, by key in byte order.
    SecretsAnswer { secrets: Vec<SecretItem> }
    /// Versions, newest first.
    VersionsAnswer { versions: Vec<VersionItem> }
    /// One var.
    VarAnswer { var: VarItem }
    /// Vars, by key in byte order.
    VarsAnswer { vars: Vec<VarItem> }
    /// Settings.
    SettingsAnswer { settings: SettingsItem }
    /// Rows of the audit log, oldest first.
    ExportAnswer { logs: Vec<ExportItem> }
    /// The result of verifying the audit log.
    VerificationAnswer { verification: VerificationItem }
    /// Success, with nothing more to say.
    Done { success: bool }
}

/// The value of a secret, after a reveal was granted.
#[derive(Serialize, ToSchema)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct ValueAnswer {
    #[schema(value_type = String)]
    pub value: crate::vault::Revealed,
}

fn health_words() -> ObjectBuilder {
    words(["ok", "unavailable"]).description(Some("`unavailable` if writes are refused."))
}

/// The health of the server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Health {
    #[schema(schema_with = health_words)]
    pub status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    pub version: &'static str,
    /// Always `none`: reserved by this API family.
    pub bundled_agent_version: &'static str,
    pub cli_version: &'static str,
}
