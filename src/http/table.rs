//! The route table: every route, what it needs, what it answers.
//!
//! The app is built from this table and so is its description, and the tests
//! walk it; a route cannot be served without being in it.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::{HttpRequest, Route, web};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::audit::Action;
use crate::domain::Role;
use crate::vault::Level;

use super::answer::Answer;
use super::call::{self, Call, Needs, RequestBody};
use super::error::{ApiError, Code};
use super::{about, audit_logs, environments, secrets, settings, vars, wire};

/// What a route's path aims at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Whatever the caller's scope holds.
    InScope,
    /// Something that needs the whole scope.
    Everything,
    /// `{environment}` in the path.
    Environment,
    /// `{id}` in the path.
    Row,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// A principal with this role, whose scope reaches the target.
    Principal {
        /// The lowest role.
        role: Role,
        /// What the scope has to reach.
        target: TargetKind,
    },
}

/// A route as the outside may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path, with `{…}` for what varies.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

/// Every route of the app. HEAD goes with GET and is not listed.
pub fn routes() -> Vec<RouteInfo> {
    endpoints().into_iter().map(|endpoint| endpoint.info).collect()
}

/// A query parameter or header for the description.
#[derive(Debug, Clone, Copy)]
pub(super) enum Parameter {
    Force,
    Limit,
    After,
    Prefix,
    Version,
    IfMatch,
    IdempotencyKey,
    AuditEnvironment,
    AuditResourceType,
    AuditResource,
    AuditAction,
    AuditUser,
    AuditSuccess,
    AuditFrom,
    AuditTo,
    AuditLimit,
    AuditOffset,
    AuditBeforeSeq,
    ExportAfterSeq,
    ExportLimit,
}

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

/// What the description says about a route's answer.
pub(super) enum Success {
    /// A schema's name, and that schema with all it refers to.
    Json(String, Vec<(String, RefOr<Schema>)>),
    /// The OpenAPI document itself.
    AnyJson,
    Html,
}

/// One row of the table.
pub(super) struct Endpoint {
    pub info: RouteInfo,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub body: Option<(String, RefOr<Schema>)>,
    pub success: Success,
    /// Errors besides those that follow from `info` and `body`.
    pub errors: &'static [Code],
    pub no_head: bool,
    route: Rc<dyn Fn() -> Route>,
}

impl Endpoint {
    /// A route for principals; level and body come from its handler's type.
    fn new<L, B, H, F>(
        method: Method,
        path: &'static str,
        needs: Needs,
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        L: Level,
        B: RequestBody + 'static,
        H: Fn(Call<L, B>) -> F + Copy + 'static,
        F: Future<Output = Result<Answer, ApiError>> + 'static,
    {
        let access = Access::Principal { role: L::ROLE, target: needs.target };
        let route = move || {
            web::to(move |request: HttpRequest, payload: web::Payload| {
                call::run(needs, handler, request, payload)
            })
        };
        Self {
            info: RouteInfo { method, path, access },
            summary,
            parameters: &[],
            body: B::schema(),
            success: Success::AnyJson,
            errors: &[],
            no_head: false,
            route: Rc::new(route),
        }
    }

    fn public<H, F>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Fn(HttpRequest) -> F + Copy + 'static,
        F: Future<Output = actix_web::HttpResponse> + 'static,
    {
        // Who watches over the server must not be told that it watches too much.
        let counted = path != "/health";
        Self {
            info: RouteInfo { method: Method::GET, path, access: Access::Public },
            summary,
            parameters: &[],
            body: None,
            success: Success::AnyJson,
            errors: &[],
            no_head: false,
            route: Rc::new(move || {
                web::to(move |request: HttpRequest, payload: web::Payload| {
                    about::answer_anybody(request, payload, counted, handler)
                })
            }),
        }
    }

    fn answers<T: ToSchema>(mut self) -> Self {
        let mut schemas = vec![(T::name().into(), T::schema())];
        T::schemas(&mut schemas);
        self.success = Success::Json(T::name().into(), schemas);
        self
    }

    fn html(mut self) -> Self {
        self.success = Success::Html;
        self
    }

    fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    fn fails(mut self, errors: &'static [Code]) -> Self {
        self.errors = errors;
        self
    }

    fn without_head(mut self) -> Self {
        self.no_head = true;
        self
    }
}

/// The table itself.
pub(super) fn endpoints() -> Vec<Endpoint> {
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
    const CONFLICT: &[Code] = &[Code::Conflict];

    let get = Method::GET;
    let post = Method::POST;
    let patch = Method::PATCH;
    let delete = Method::DELETE;
    let needs = |action, target| Needs { action, target };

    vec![
        Endpoint::public("/health", "Whether the server works", about::health)
            .answers::<wire::Health>()
            .fails(&[Code::ServiceUnavailable]),
        Endpoint::public("/openapi.json", "This description", about::openapi),
        Endpoint::public("/api/docs", "This description, for people", about::docs).html(),
        Endpoint::new(
            get.clone(),
            ENVIRONMENTS,
            needs(A::EnvironmentList, InScope),
            "List the environments in scope, by name",
            environments::list,
        )
        .answers::<wire::EnvironmentsAnswer>(),
        Endpoint::new(
            post.clone(),
            ENVIRONMENTS,
            needs(A::EnvironmentCreate, Everything),
            "Create an environment",
            environments::create,
        )
        .answers::<wire::EnvironmentAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get.clone(),
            ENVIRONMENT,
            needs(A::EnvironmentRead, Environment),
            "Read an environment",
            environments::read,
        )
        .answers::<wire::EnvironmentAnswer>(),
        Endpoint::new(
            delete.clone(),
            ENVIRONMENT,
            needs(A::EnvironmentDelete, Environment),
            "Delete an environment and its vars; with force, its secrets too",
            environments::delete,
        )
        .answers::<wire::Done>()
        .takes(&[Parameter::Force])
        .fails(CONFLICT),
        Endpoint::new(
            get.clone(),
            SETTINGS,
            needs(A::SettingsRead, Environment),
            "Read an environment's settings",
            settings::read,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            patch.clone(),
            SETTINGS,
            needs(A::SettingsUpdate, Environment),
            "Change an environment's settings",
            settings::update,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            post.clone(),
            RESET,
            needs(A::SettingsReset, Environment),
            "Restore an environment's default settings",
            settings::reset,
        )
        .answers::<wire::SettingsAnswer>(),
        Endpoint::new(
            get.clone(),
            SECRETS,
            needs(A::SecretList, Environment),
            "List secrets, without their values",
            secrets::list,
        )
        .answers::<wire::SecretsAnswer>()
        .takes(PAGE),
        Endpoint::new(
            post.clone(),
            SECRETS,
            needs(A::SecretCreate, Environment),
            "Create a secret",
            secrets::create,
        )
        .answers::<wire::SecretAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get.clone(),
            SECRET,
            needs(A::SecretRead, Row),
            "Read a secret, without its value",
            secrets::read,
        )
        .answers::<wire::SecretAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            patch.clone(),
            SECRET,
            needs(A::SecretUpdate, Row),
            "Give a secret a new value or description, or make it write-only",
            secrets::update,
        )
        .answers::<wire::SecretAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField, Code::SecretUnreadable]),
        Endpoint::new(
            delete.clone(),
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
            get.clone(),
            VALUE,
            needs(A::SecretReveal, Row),
            "Reveal a secret's value",
            secrets::reveal,
        )
        .answers::<wire::ValueAnswer>()
        .fails(&[Code::RevealDisabled, Code::SecretWriteOnly, Code::SecretUnreadable])
        .without_head(),
        Endpoint::new(
            get.clone(),
            VERSIONS,
            needs(A::SecretVersions, Row),
            "List a secret's retained versions, newest first",
            secrets::versions,
        )
        .answers::<wire::VersionsAnswer>()
        .fails(&[Code::SecretUnreadable]),
        Endpoint::new(
            post.clone(),
            ACTIVATE,
            needs(A::SecretActivate, Row),
            "Put an old version's value in force again, as a new version",
            secrets::activate,
        )
        .answers::<wire::SecretAnswer>()
        .fails(&[Code::Conflict, Code::SecretUnreadable]),
        Endpoint::new(get.clone(), VARS, needs(A::VarList, Environment), "List vars", vars::list)
            .answers::<wire::VarsAnswer>()
            .takes(PAGE),
        Endpoint::new(post, VARS, needs(A::VarCreate, Environment), "Create a var", vars::create)
            .answers::<wire::VarAnswer>()
            .fails(CONFLICT),
        Endpoint::new(get, VAR, needs(A::VarRead, Row), "Read a var", vars::read)
            .answers::<wire::VarAnswer>(),
        Endpoint::new(
            patch,
            VAR,
            needs(A::VarUpdate, Row),
            "Give a var a new value or description",
            vars::update,
        )
        .answers::<wire::VarAnswer>()
        .takes(CONDITION)
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::new(delete, VAR, needs(A::VarDelete, Row), "Delete a var", vars::delete)
            .answers::<wire::Done>()
            .takes(CONDITION)
            .fails(CONFLICT),
        Endpoint::new(
            Method::GET,
            "/api/audit-logs",
            needs(A::AuditRead, InScope),
            "Read the audit log, newest row first",
            audit_logs::list,
        )
        .answers::<wire::AuditLogsAnswer>()
        .takes(AUDIT),
        Endpoint::new(
            Method::GET,
            "/api/audit-logs/verification",
            needs(A::AuditVerify, Everything),
            "Walk the audit log's chain and say whether it holds",
            audit_logs::verify,
        )
        .answers::<wire::VerificationAnswer>(),
        Endpoint::new(
            Method::GET,
            "/api/audit-logs/export",
            needs(A::AuditExport, Everything),
            "Copy the audit log out, oldest row first, with the rows' MACs",
            audit_logs::export,
        )
        .answers::<wire::ExportAnswer>()
        .takes(&[Parameter::ExportAfterSeq, Parameter::ExportLimit]),
    ]
}

/// Builds the app's routes from the table.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let mut by_path: BTreeMap<&'static str, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints() {
        by_path.entry(endpoint.info.path).or_default().push(endpoint);
    }
    for (path, endpoints) in by_path {
        let mut resource = web::resource(path);
        let mut allowed = Vec::new();
        for endpoint in endpoints {
            let method = endpoint.info.method;
            if method == Method::GET && !endpoint.no_head {
                allowed.push(Method::HEAD.to_string());
                resource = resource.route((endpoint.route)().method(Method::HEAD));
            }
            allowed.push(method.to_string());
            resource = resource.route((endpoint.route)().method(method));
        }
        allowed.sort();
        let allow = allowed.join(", ");
        config.service(resource.default_service(web::to(move |request, payload| {
            about::method_not_allowed(request, payload, allow.clone())
        })));
    }
}
