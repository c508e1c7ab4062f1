//! The routes of environments, secrets, vars, workloads and deliveries, and the public ones.

use crate::audit::Action as A;

use crate::http::handlers::{
    copy, deliveries, environments, imports, public, secrets, settings, vars, workloads,
};
use crate::http::request::if_match::PRECONDITION;
use crate::http::request::query::PAGE;
use crate::http::request::target::TargetKind::{Environment, Everything, InScope, Row};
use crate::http::response::code::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::{Endpoint, HEALTH, SuccessContent};

/// Returns the routes of this file.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [public_routes(), environments(), secrets(), versions(), vars(), workloads()]
        .into_iter()
        .flatten()
        .collect()
}

/// Health, and the description of the API.
fn public_routes() -> Vec<Endpoint> {
    vec![
        Endpoint::public(HEALTH, "Check whether the server is healthy", public::health)
            .answers::<items::Health>()
            .fails(&[Code::ServiceUnavailable]),
        Endpoint::public("/openapi.json", "Read this description", public::openapi),
        Endpoint::public("/api/docs", "Read this description as a page", public::docs)
            .answers_with(SuccessContent::Html),
    ]
}

/// Environments and their settings.
fn environments() -> Vec<Endpoint> {
    const ENVIRONMENTS: &str = "/api/environments";
    const ENVIRONMENT: &str = "/api/environments/{environment}";
    const SETTINGS: &str = "/api/environments/{environment}/settings/configuration";
    const RESET: &str = "/api/environments/{environment}/settings/configuration/reset";

    vec![
        Endpoint::get(
            ENVIRONMENTS,
            (A::EnvironmentList, InScope),
            "List the environments in scope, ordered by name",
            environments::list,
        )
        .answers::<items::EnvironmentsAnswer>(),
        Endpoint::post(
            ENVIRONMENTS,
            (A::EnvironmentCreate, Everything),
            "Create an environment",
            environments::create,
        )
        .answers::<items::EnvironmentAnswer>()
        .fails(&[Code::Conflict]),
        Endpoint::get(
            ENVIRONMENT,
            (A::EnvironmentRead, Environment),
            "Read an environment",
            environments::read,
        )
        .answers::<items::EnvironmentAnswer>(),
        Endpoint::delete(
            ENVIRONMENT,
            (A::EnvironmentDelete, Environment),
            "Delete an environment and its vars (with force, also its secrets)",
            environments::delete,
        )
        .answers::<items::Done>()
        .takes(&[environments::FORCE])
        .fails(&[Code::Conflict]),
        Endpoint::get(
            SETTINGS,
            (A::SettingsRead, Environment),
            "Read an environment's settings",
            settings::read,
        )
        .answers::<items::SettingsAnswer>(),
        Endpoint::patch(
            SETTINGS,
            (A::SettingsUpdate, Environment),
            "Change an environment's settings",
            settings::update,
        )
        .answers::<items::SettingsAnswer>(),
        Endpoint::post(
            RESET,
            (A::SettingsReset, Environment),
            "Reset an environment's settings to the defaults",
            settings::reset,
        )
        .answers::<items::SettingsAnswer>(),
    ]
}

/// Secrets, except their versions and values.
fn secrets() -> Vec<Endpoint> {
    const SECRETS: &str = "/api/environments/{environment}/secrets";
    const IMPORT_SECRETS: &str = "/api/environments/{environment}/secrets/import";
    const COPY: &str = "/api/environments/{environment}/secrets/copy";
    const SECRET: &str = "/api/secrets/{id}";

    vec![
        Endpoint::get(
            SECRETS,
            (A::SecretList, Environment),
            "List secrets, without their values",
            secrets::list,
        )
        .answers::<items::SecretsAnswer>()
        .takes(PAGE),
        Endpoint::post(SECRETS, (A::SecretCreate, Environment), "Create a secret", secrets::create)
            .answers::<items::SecretAnswer>()
            .fails(&[Code::Conflict]),
        Endpoint::post(
            COPY,
            (A::SecretCopy, Environment),
            "Copy secrets from another environment without revealing their values",
            copy::copy,
        )
        .answers::<copy::CopyAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::get(
            SECRET,
            (A::SecretRead, Row),
            "Read a secret, without its value",
            secrets::read,
        )
        .answers::<items::SecretAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::patch(
            SECRET,
            (A::SecretUpdate, Row),
            "Change a secret's value or description, or make it write-only",
            secrets::update,
        )
        .answers::<items::SecretAnswer>()
        .takes(PRECONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
        Endpoint::delete(
            SECRET,
            (A::SecretDelete, Row),
            "Delete a secret and all its versions",
            secrets::delete,
        )
        .answers::<items::Done>()
        .takes(PRECONDITION)
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::post(
            IMPORT_SECRETS,
            (A::SecretImport, Environment),
            "Create or replace many secrets, either all or none",
            imports::secrets,
        )
        .answers::<imports::ImportAnswer>()
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
    ]
}

/// Values and versions of secrets.
fn versions() -> Vec<Endpoint> {
    const VALUE: &str = "/api/secrets/{id}/value";
    const VERSIONS: &str = "/api/secrets/{id}/versions";
    const ACTIVATE: &str = "/api/secrets/{id}/versions/{version}/activate";

    vec![
        // No HEAD: it would be recorded as a reveal but only show the length of the value.
        Endpoint::get(VALUE, (A::SecretReveal, Row), "Reveal a secret's value", secrets::reveal)
            .answers::<items::ValueAnswer>()
            .fails(&[Code::RevealDisabled, Code::SecretWriteOnly, Code::SecretUnreadable])
            .without_head(),
        Endpoint::get(
            VERSIONS,
            (A::SecretVersions, Row),
            "List a secret's retained versions, newest first",
            secrets::versions,
        )
        .answers::<items::VersionsAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::post(
            ACTIVATE,
            (A::SecretActivate, Row),
            "Restore the value of an old version as a new version",
            secrets::activate,
        )
        .answers::<items::SecretAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
    ]
}

/// Vars.
fn vars() -> Vec<Endpoint> {
    const IMPORT_VARS: &str = "/api/environments/{environment}/vars/import";
    const VARS: &str = "/api/environments/{environment}/vars";
    const VAR: &str = "/api/vars/{id}";

    vec![
        Endpoint::get(VARS, (A::VarList, Environment), "List vars", vars::list)
            .answers::<items::VarsAnswer>()
            .takes(PAGE),
        Endpoint::post(VARS, (A::VarCreate, Environment), "Create a var", vars::create)
            .answers::<items::VarAnswer>()
            .fails(&[Code::Conflict]),
        Endpoint::post(
            IMPORT_VARS,
            (A::VarImport, Environment),
            "Create or replace many vars, either all or none",
            imports::vars,
        )
        .answers::<imports::ImportAnswer>()
        .fails(&[Code::Conflict]),
        Endpoint::get(VAR, (A::VarRead, Row), "Read a var", vars::read)
            .answers::<items::VarAnswer>(),
        Endpoint::patch(
            VAR,
            (A::VarUpdate, Row),
            "Change a var's value or description",
            vars::update,
        )
        .answers::<items::VarAnswer>()
        .takes(PRECONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::delete(VAR, (A::VarDelete, Row), "Delete a var", vars::delete)
            .answers::<items::Done>()
            .takes(PRECONDITION)
            .fails(&[Code::Conflict]),
    ]
}

/// What workloads and files receive.
fn workloads() -> Vec<Endpoint> {
    vec![
        Endpoint::get(
            "/api/environments/{environment}/workloads",
            (A::WorkloadList, Environment),
            "List the workloads that the server's configuration declares for an environment",
            workloads::list,
        )
        .answers::<workloads::WorkloadsAnswer>(),
        Endpoint::get(
            "/api/environments/{environment}/deliveries",
            (A::DeliveryList, Environment),
            "List the files that the server delivers for an environment, and their status",
            deliveries::list,
        )
        .answers::<deliveries::DeliveriesAnswer>(),
        // No HEAD: it would record a delivery that nobody has.
        Endpoint::get(
            "/api/environments/{environment}/bundle",
            (A::WorkloadDeliver, Environment),
            "Fetch the values of a workload, encrypted to its recipients",
            workloads::bundle,
        )
        .answers_with(SuccessContent::Bundle)
        .takes(workloads::BUNDLE)
        .without_head()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
    ]
}
