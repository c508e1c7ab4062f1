//! The route table: every route, what it needs, what it answers.

use actix_web::http::Method;

use crate::audit::Action;

use super::account_wire::{self, LoginAnswer};
use super::call::Needs;
use super::error::Code;
use super::table::{Endpoint, Parameter, TargetKind};
use super::{
    about, audit_logs, auth, backup, doctor, environments, keys as key_routes, secrets,
    service_accounts, settings, tokens, users, vars, wire,
};

const CONFLICT: &[Code] = &[Code::Conflict];
const MISSING: &[Code] = &[Code::NotFound];
/// What a route that takes anybody and a body may answer besides.
const OPEN: &[Code] =
    &[Code::Validation, Code::Unauthorized, Code::ServiceUnavailable, Code::Internal];
const REGISTER: &[Code] = &[
    Code::Validation,
    Code::Unauthorized,
    Code::ForbiddenRole,
    Code::ForbiddenScope,
    Code::ServiceUnavailable,
    Code::Internal,
];

const AUDIT: &[Parameter] = &[
    Parameter::AuditEnvironment,
    Parameter::AuditResourceType,
    Parameter::AuditResource,
    Parameter::AuditAction,
    Parameter::AuditUser,
    Parameter::AuditSuccess,
    Parameter::AuditFrom,
    Parameter::AuditTo,
    Parameter::AuditLimit,
    Parameter::AuditOffset,
    Parameter::AuditBeforeSeq,
];

fn get() -> Method {
    Method::GET
}

fn post() -> Method {
    Method::POST
}

fn patch() -> Method {
    Method::PATCH
}

fn delete() -> Method {
    Method::DELETE
}

fn needs(action: Action, target: TargetKind) -> Needs {
    Needs { action, target }
}

/// The table itself.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [resources(), accounts(), keys()].into_iter().flatten().collect()
}

/// Environments and what is in them; the audit log; the server itself.
fn resources() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::{Environment, Everything, InScope, Row};

    const ENVIRONMENTS: &str = "/api/environments";
    const ENVIRONMENT: &str = "/api/environments/{environment}";
    const SETTINGS: &str = "/api/environments/{environment}/settings/configuration";
    const RESET: &str = "/api/environments/{environment}/settings/configuration/reset";
    const SECRETS: &str = "/api/environments/{environment}/secrets";
    const SECRET: &str = "/api/secrets/{id}";
    const VALUE: &str = "/api/secrets/{id}/value";
    const VERSIONS: &str = "/api/secrets/{id}/versions";
    const ACTIVATE: &str = "/api/secrets/{id}/versions/{version}/activate";
    const VARS: &str = "/api/environments/{environment}/vars";
    const VAR: &str = "/api/vars/{id}";
    const PAGE: &[Parameter] = &[Parameter::Limit, Parameter::After, Parameter::Prefix];
    const CONDITION: &[Parameter] = &[Parameter::IfMatch, Parameter::Version];

    vec![
        Endpoint::public("/health", "Whether the server works", about::health)
            .answers::<wire::Health>()
            .fails(&[Code::ServiceUnavailable]),
        Endpoint::public("/openapi.json", "This description", about::openapi),
        Endpoint::public("/api/docs", "This description, for people", about::docs).html(),
        Endpoint::new(
            get(),
            ENVIRONMENTS,
            needs(A::EnvironmentList, InScope),
            "List the environments in scope, by name",
            environments::list,
        )
        .answers::<wire::EnvironmentsAnswer>(),
        Endpoint::new(
            post(),
            ENVIRONMENTS,
            needs(A::EnvironmentCreate, Everything),
            "Create an environment",
            environments::create,
        )
        .answers::<wire::EnvironmentAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            ENVIRONMENT,
            needs(A::EnvironmentRead, Environment),
            "Read an environment",
            environments::read,
        )
        .answers::<wire::EnvironmentAnswer>(),
        Endpoint::new(
            delete(),
            ENVIRONMENT,
            needs(A::EnvironmentDelete, Environment),
            "Delete an environment and its vars; with force, its secrets too",
            environments::delete,
        )
        .answers::<wire::Done>()
        .takes(&[Parameter::Force])
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            SETTINGS,
            needs(A::SettingsRead, Environment),
            "Read an environment's settings",
            settings::read,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            patch(),
            SETTINGS,
            needs(A::SettingsUpdate, Environment),
            "Change an environment's settings",
            settings::update,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            post(),
            RESET,
            needs(A::SettingsReset, Environment),
            "Restore an environment's default settings",
            settings::reset,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            get(),
            SECRETS,
            needs(A::SecretList, Environment),
            "List secrets, without their values",
            secrets::list,
        )
        .answers::<wire::SecretsAnswer>()
        .takes(PAGE),
        Endpoint::new(
            post(),
            SECRETS,
            needs(A::SecretCreate, Environment),
            "Create a secret",
            secrets::create,
        )
        .answers::<wire::SecretAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            SECRET,
            needs(A::SecretRead, Row),
            "Read a secret, without its value",
            secrets::read,
        )
        .answers::<wire::SecretAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            patch(),
            SECRET,
            needs(A::SecretUpdate, Row),
            "Give a secret a new value or description, or make it write-only",
            secrets::update,
        )
        .answers::<wire::SecretAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
        Endpoint::new(
            delete(),
            SECRET,
            needs(A::SecretDelete, Row),
            "Delete a secret and all its versions",
            secrets::delete,
        )
        .answers::<wire::Done>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        // No HEAD: it would be a reveal that shows only how long the value is.
        Endpoint::new(
            get(),
            VALUE,
            needs(A::SecretReveal, Row),
            "Reveal a secret's value",
            secrets::reveal,
        )
        .answers::<wire::ValueAnswer>()
        .fails(&[Code::RevealDisabled, Code::SecretWriteOnly, Code::SecretUnreadable])
        .without_head(),
        Endpoint::new(
            get(),
            VERSIONS,
            needs(A::SecretVersions, Row),
            "List a secret's retained versions, newest first",
            secrets::versions,
        )
        .answers::<wire::VersionsAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            post(),
            ACTIVATE,
            needs(A::SecretActivate, Row),
            "Put an old version's value in force again, as a new version",
            secrets::activate,
        )
        .answers::<wire::SecretAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::new(get(), VARS, needs(A::VarList, Environment), "List vars", vars::list)
            .answers::<wire::VarsAnswer>()
            .takes(PAGE),
        Endpoint::new(post(), VARS, needs(A::VarCreate, Environment), "Create a var", vars::create)
            .answers::<wire::VarAnswer>()
            .fails(CONFLICT),
        Endpoint::new(get(), VAR, needs(A::VarRead, Row), "Read a var", vars::read)
            .answers::<wire::VarAnswer>(),
        Endpoint::new(
            patch(),
            VAR,
            needs(A::VarUpdate, Row),
            "Give a var a new value or description",
            vars::update,
        )
        .answers::<wire::VarAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::new(delete(), VAR, needs(A::VarDelete, Row), "Delete a var", vars::delete)
            .answers::<wire::Done>()
            .takes(CONDITION)
            .fails(CONFLICT),
        Endpoint::new(
            get(),
            "/api/audit-logs",
            needs(A::AuditRead, InScope),
            "Read the audit log, newest row first",
            audit_logs::list,
        )
        .answers::<wire::AuditLogsAnswer>()
        .takes(AUDIT),
        Endpoint::new(
            get(),
            "/api/audit-logs/verification",
            needs(A::AuditVerify, Everything),
            "Walk the audit log's chain and say whether it holds",
            audit_logs::verify,
        )
        .answers::<wire::VerificationAnswer>(),
        Endpoint::new(
            get(),
            "/api/audit-logs/export",
            needs(A::AuditExport, Everything),
            "Copy the audit log out, oldest row first, with the rows' MACs",
            audit_logs::export,
        )
        .answers::<wire::ExportAnswer>()
        .takes(&[Parameter::ExportAfterSeq, Parameter::ExportLimit]),
        // No HEAD: it would leave the row of a backup that nobody has.
        Endpoint::new(
            get(),
            "/api/admin/backup",
            needs(A::BackupCreate, Everything),
            "Take a backup of everything, sealed under the root key",
            backup::create,
        )
        .octets()
        .without_head(),
        Endpoint::new(
            get(),
            "/api/admin/doctor",
            needs(A::ServerDoctor, Everything),
            "Examine the database: whether every record opens and the rows fit each other",
            doctor::examine,
        )
        .answers::<doctor::DoctorAnswer>(),
    ]
}

/// Who is asking.
fn accounts() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::{Everything, InScope, User};

    const LOGOUT: &str = "/api/auth/logout";
    const ME: &str = "/api/auth/me";
    const USERS: &str = "/api/users";
    const USER: &str = "/api/users/{id}";
    const PASSWORD: &str = "/api/users/{id}/change-password";
    const SESSIONS: &str = "/api/users/{id}/sessions";
    const SESSION: &str = "/api/users/{id}/sessions/{session}";
    const ACCOUNTS: &str = "/api/admin/service-accounts";
    const ACCOUNT: &str = "/api/admin/service-accounts/{id}";
    const TOKENS: &str = "/api/admin/tokens";
    const TOKEN: &str = "/api/admin/tokens/{id}";

    vec![
        Endpoint::open("/api/auth/login", "Log in", auth::login)
            .answers::<LoginAnswer>()
            .fails(OPEN),
        Endpoint::open("/api/auth/register", "Create the first user", auth::register)
            .answers::<LoginAnswer>()
            .fails(REGISTER),
        Endpoint::new(post(), LOGOUT, needs(A::AuthLogout, InScope), "Log out", auth::logout)
            .answers::<wire::Done>()
            .fails(CONFLICT),
        Endpoint::new(get(), ME, needs(A::AuthRead, InScope), "Who the caller is", auth::me)
            .answers::<account_wire::MeAnswer>(),
        Endpoint::new(get(), USERS, needs(A::UserList, Everything), "List users", users::list)
            .answers::<account_wire::UsersAnswer>(),
        Endpoint::new(
            post(),
            USERS,
            needs(A::UserCreate, Everything),
            "Create a user",
            users::create,
        )
        .answers::<account_wire::UserAnswer>()
        .fails(CONFLICT),
        Endpoint::new(get(), USER, needs(A::UserRead, User), "Read a user", users::read)
            .answers::<account_wire::UserAnswer>(),
        Endpoint::new(
            patch(),
            USER,
            needs(A::UserUpdate, User),
            "Change a user; the user itself may change its name",
            users::update,
        )
        .answers::<account_wire::UserAnswer>()
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::new(
            delete(),
            USER,
            needs(A::UserDelete, Everything),
            "Delete a user with its sessions and tokens",
            users::delete,
        )
        .answers::<wire::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
        Endpoint::new(
            post(),
            PASSWORD,
            needs(A::UserChangePassword, User),
            "Give a user another password; its sessions and tokens end",
            users::change_password,
        )
        .answers::<wire::Done>(),
        Endpoint::new(
            get(),
            SESSIONS,
            needs(A::SessionList, User),
            "List a user's sessions, newest first",
            users::sessions,
        )
        .answers::<account_wire::SessionsAnswer>(),
        Endpoint::new(
            delete(),
            SESSIONS,
            needs(A::SessionDelete, User),
            "End all sessions of a user",
            users::end_sessions,
        )
        .answers::<wire::Done>(),
        Endpoint::new(
            delete(),
            SESSION,
            needs(A::SessionDelete, User),
            "End a session of a user",
            users::end_session,
        )
        .answers::<wire::Done>(),
        Endpoint::new(
            get(),
            ACCOUNTS,
            needs(A::ServiceAccountList, Everything),
            "List service accounts",
            service_accounts::list,
        )
        .answers::<account_wire::ServiceAccountsAnswer>(),
        Endpoint::new(
            post(),
            ACCOUNTS,
            needs(A::ServiceAccountCreate, Everything),
            "Create a service account",
            service_accounts::create,
        )
        .answers::<account_wire::ServiceAccountAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            ACCOUNT,
            needs(A::ServiceAccountRead, Everything),
            "Read a service account",
            service_accounts::read,
        )
        .answers::<account_wire::ServiceAccountAnswer>()
        .fails(MISSING),
        Endpoint::new(
            patch(),
            ACCOUNT,
            needs(A::ServiceAccountUpdate, Everything),
            "Change a service account",
            service_accounts::update,
        )
        .answers::<account_wire::ServiceAccountAnswer>()
        .fails(&[Code::NotFound, Code::ReadonlyField]),
        Endpoint::new(
            delete(),
            ACCOUNT,
            needs(A::ServiceAccountDelete, Everything),
            "Delete a service account with its tokens",
            service_accounts::delete,
        )
        .answers::<wire::Done>()
        .fails(MISSING),
        Endpoint::new(
            get(),
            TOKENS,
            needs(A::TokenList, Everything),
            "List API tokens, newest first, without the tokens themselves",
            tokens::list,
        )
        .answers::<account_wire::TokensAnswer>()
        .takes(&[Parameter::OwnerUser, Parameter::OwnerServiceAccount]),
        Endpoint::new(
            post(),
            TOKENS,
            needs(A::TokenCreate, Everything),
            "Create an API token; it is shown this once",
            tokens::create,
        )
        .answers::<account_wire::NewTokenAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            delete(),
            TOKEN,
            needs(A::TokenDelete, Everything),
            "Delete an API token; it lets nobody in any more",
            tokens::delete,
        )
        .answers::<wire::Done>()
        .fails(MISSING),
    ]
}

/// The wrapping keys.
fn keys() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::Everything;

    const KEYS: &str = "/api/admin/keys";
    const ROTATE: &str = "/api/admin/keys/rotate";
    const KEY: &str = "/api/admin/keys/{id}";

    vec![
        Endpoint::new(
            get(),
            KEYS,
            needs(A::KeyList, Everything),
            "List the wrapping keys, and how far the last rotation is",
            key_routes::status,
        )
        .answers::<key_routes::KeysAnswer>(),
        Endpoint::new(
            post(),
            ROTATE,
            needs(A::KeyRotate, Everything),
            "Make a new wrapping key and wrap everything under it, in the background",
            key_routes::rotate,
        )
        .answers::<key_routes::RotationAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            delete(),
            KEY,
            needs(A::KeyRetire, Everything),
            "Destroy a wrapping key that nothing needs any more",
            key_routes::retire,
        )
        .answers::<wire::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
    ]
}
