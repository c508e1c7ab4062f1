//! Environments and what is in them; the server itself.

use crate::audit::Action;

use crate::http::handlers::{
    copy, deliveries, environments, imports, public, secrets, settings, vars, workloads,
};
use crate::http::response::error::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::{Endpoint, Parameter, TargetKind};
use crate::http::routes::{CONFLICT, delete, get, needs, patch, post};

const BUNDLE: &[Parameter] = &[Parameter::Workload, Parameter::Wait, Parameter::IfNoneMatch];

pub(super) fn endpoints() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::{Environment, Everything, InScope, Row};

    const ENVIRONMENTS: &str = "/api/environments";
    const ENVIRONMENT: &str = "/api/environments/{environment}";
    const SETTINGS: &str = "/api/environments/{environment}/settings/configuration";
    const RESET: &str = "/api/environments/{environment}/settings/configuration/reset";
    const SECRETS: &str = "/api/environments/{environment}/secrets";
    const IMPORT_SECRETS: &str = "/api/environments/{environment}/secrets/import";
    const IMPORT_VARS: &str = "/api/environments/{environment}/vars/import";
    const COPY: &str = "/api/environments/{environment}/secrets/copy";
    const SECRET: &str = "/api/secrets/{id}";
    const VALUE: &str = "/api/secrets/{id}/value";
    const VERSIONS: &str = "/api/secrets/{id}/versions";
    const ACTIVATE: &str = "/api/secrets/{id}/versions/{version}/activate";
    const VARS: &str = "/api/environments/{environment}/vars";
    const VAR: &str = "/api/vars/{id}";
    const PAGE: &[Parameter] = &[Parameter::Limit, Parameter::After, Parameter::Prefix];
    const CONDITION: &[Parameter] = &[Parameter::IfMatch, Parameter::Version];

    vec![
        Endpoint::public("/health", "Whether the server works", public::health)
            .answers::<items::Health>()
            .fails(&[Code::ServiceUnavailable]),
        Endpoint::public("/openapi.json", "This description", public::openapi),
        Endpoint::public("/api/docs", "This description, for people", public::docs).html(),
        Endpoint::new(
            get(),
            ENVIRONMENTS,
            needs(A::EnvironmentList, InScope),
            "List the environments in scope, by name",
            environments::list,
        )
        .answers::<items::EnvironmentsAnswer>(),
        Endpoint::new(
            post(),
            ENVIRONMENTS,
            needs(A::EnvironmentCreate, Everything),
            "Create an environment",
            environments::create,
        )
        .answers::<items::EnvironmentAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            ENVIRONMENT,
            needs(A::EnvironmentRead, Environment),
            "Read an environment",
            environments::read,
        )
        .answers::<items::EnvironmentAnswer>(),
        Endpoint::new(
            delete(),
            ENVIRONMENT,
            needs(A::EnvironmentDelete, Environment),
            "Delete an environment and its vars; with force, its secrets too",
            environments::delete,
        )
        .answers::<items::Done>()
        .takes(&[Parameter::Force])
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            SETTINGS,
            needs(A::SettingsRead, Environment),
            "Read an environment's settings",
            settings::read,
        )
        .answers::<items::SettingsAnswer>(),
        Endpoint::new(
            patch(),
            SETTINGS,
            needs(A::SettingsUpdate, Environment),
            "Change an environment's settings",
            settings::update,
        )
        .answers::<items::SettingsAnswer>(),
        Endpoint::new(
            post(),
            RESET,
            needs(A::SettingsReset, Environment),
            "Restore an environment's default settings",
            settings::reset,
        )
        .answers::<items::SettingsAnswer>(),
        Endpoint::new(
            get(),
            SECRETS,
            needs(A::SecretList, Environment),
            "List secrets, without their values",
            secrets::list,
        )
        .answers::<items::SecretsAnswer>()
        .takes(PAGE),
        Endpoint::new(
            post(),
            SECRETS,
            needs(A::SecretCreate, Environment),
            "Create a secret",
            secrets::create,
        )
        .answers::<items::SecretAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            post(),
            COPY,
            needs(A::SecretCopy, Environment),
            "Copy secrets from another environment, without anyone seeing a value",
            copy::copy,
        )
        .answers::<copy::CopyAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::new(
            get(),
            SECRET,
            needs(A::SecretRead, Row),
            "Read a secret, without its value",
            secrets::read,
        )
        .answers::<items::SecretAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            patch(),
            SECRET,
            needs(A::SecretUpdate, Row),
            "Give a secret a new value or description, or make it write-only",
            secrets::update,
        )
        .answers::<items::SecretAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
        Endpoint::new(
            delete(),
            SECRET,
            needs(A::SecretDelete, Row),
            "Delete a secret and all its versions",
            secrets::delete,
        )
        .answers::<items::Done>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::new(
            post(),
            IMPORT_SECRETS,
            needs(A::SecretImport, Environment),
            "Create or replace many secrets at once, all of them or none",
            imports::secrets,
        )
        .answers::<imports::ImportAnswer>()
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
        // No HEAD: it would be a reveal that shows only how long the value is.
        Endpoint::new(
            get(),
            VALUE,
            needs(A::SecretReveal, Row),
            "Reveal a secret's value",
            secrets::reveal,
        )
        .answers::<items::ValueAnswer>()
        .fails(&[Code::RevealDisabled, Code::SecretWriteOnly, Code::SecretUnreadable])
        .without_head(),
        Endpoint::new(
            get(),
            VERSIONS,
            needs(A::SecretVersions, Row),
            "List a secret's retained versions, newest first",
            secrets::versions,
        )
        .answers::<items::VersionsAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            post(),
            ACTIVATE,
            needs(A::SecretActivate, Row),
            "Put an old version's value in force again, as a new version",
            secrets::activate,
        )
        .answers::<items::SecretAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::new(get(), VARS, needs(A::VarList, Environment), "List vars", vars::list)
            .answers::<items::VarsAnswer>()
            .takes(PAGE),
        Endpoint::new(post(), VARS, needs(A::VarCreate, Environment), "Create a var", vars::create)
            .answers::<items::VarAnswer>()
            .fails(CONFLICT),
        Endpoint::new(
            post(),
            IMPORT_VARS,
            needs(A::VarImport, Environment),
            "Create or replace many vars at once, all of them or none",
            imports::vars,
        )
        .answers::<imports::ImportAnswer>()
        .fails(CONFLICT),
        Endpoint::new(get(), VAR, needs(A::VarRead, Row), "Read a var", vars::read)
            .answers::<items::VarAnswer>(),
        Endpoint::new(
            patch(),
            VAR,
            needs(A::VarUpdate, Row),
            "Give a var a new value or description",
            vars::update,
        )
        .answers::<items::VarAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::new(delete(), VAR, needs(A::VarDelete, Row), "Delete a var", vars::delete)
            .answers::<items::Done>()
            .takes(CONDITION)
            .fails(CONFLICT),
        Endpoint::new(
            get(),
            "/api/environments/{environment}/workloads",
            needs(A::WorkloadList, Environment),
            "List the workloads that the host declares for an environment",
            workloads::list,
        )
        .answers::<workloads::WorkloadsAnswer>(),
        Endpoint::new(
            get(),
            "/api/environments/{environment}/deliveries",
            needs(A::DeliveryList, Environment),
            "List the files that the host declares for an environment, and what became of them",
            deliveries::list,
        )
        .answers::<deliveries::DeliveriesAnswer>(),
        // No HEAD: it would leave the row of a delivery that nobody has.
        Endpoint::new(
            get(),
            "/api/environments/{environment}/bundle",
            needs(A::WorkloadDeliver, Environment),
            "Fetch what a workload gets, sealed to it",
            workloads::bundle,
        )
        .sealed()
        .takes(BUNDLE)
        .without_head()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
    ]
}
