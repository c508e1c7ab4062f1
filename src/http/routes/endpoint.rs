//! What a line of the route table is, and how the app is built from it.
//!
//! The lines themselves are in `routes`. The app is built from them and so is
//! its description, and the tests walk them; a route cannot be served without
//! being among them.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::{HttpRequest, Route, web};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::domain::Role;
use crate::vault::Level;

use crate::http::handlers::public;
use crate::http::request::call::{self, Call, Needs, RequestBody, Visit};
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code};
use crate::http::routes::endpoints;

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
    /// `{id}` in the path, a user: that user in person, or an admin who needs
    /// the whole scope.
    User,
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
pub(in crate::http) enum Parameter {
    Force,
    Limit,
    After,
    Prefix,
    Version,
    IfMatch,
    IdempotencyKey,
    OwnerUser,
    OwnerServiceAccount,
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
    Workload,
    Wait,
    IfNoneMatch,
    AfterSeq,
    ExportLimit,
}

/// What the description says about a route's answer.
pub(in crate::http) enum Success {
    /// A schema's name, and that schema with all it refers to.
    Json(String, Vec<(String, RefOr<Schema>)>),
    /// The OpenAPI document itself.
    AnyJson,
    Html,
    /// Bytes that are no text.
    Octets,
    /// An age file, or 304.
    Sealed,
}

/// One row of the table.
pub(in crate::http) struct Endpoint {
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
    pub fn new<L, B, H, F>(
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

    pub fn public<H, F>(path: &'static str, summary: &'static str, handler: H) -> Self
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
                    public::answer_anybody(request, payload, counted, handler)
                })
            }),
        }
    }

    /// A POST that takes anybody; its body comes from its handler's type.
    pub fn open<B, H, F>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        B: RequestBody + 'static,
        H: Fn(Visit<B>) -> F + Copy + 'static,
        F: Future<Output = Result<Answer, ApiError>> + 'static,
    {
        Self {
            info: RouteInfo { method: Method::POST, path, access: Access::Public },
            summary,
            parameters: &[],
            body: B::schema(),
            success: Success::AnyJson,
            errors: &[],
            no_head: false,
            route: Rc::new(move || {
                web::to(move |request: HttpRequest, payload: web::Payload| {
                    call::run_visit(handler, request, payload)
                })
            }),
        }
    }

    pub fn answers<T: ToSchema>(mut self) -> Self {
        let mut schemas = vec![(T::name().into(), T::schema())];
        T::schemas(&mut schemas);
        self.success = Success::Json(T::name().into(), schemas);
        self
    }

    pub fn octets(mut self) -> Self {
        self.success = Success::Octets;
        self
    }

    pub fn sealed(mut self) -> Self {
        self.success = Success::Sealed;
        self
    }

    pub fn html(mut self) -> Self {
        self.success = Success::Html;
        self
    }

    pub fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    pub fn fails(mut self, errors: &'static [Code]) -> Self {
        self.errors = errors;
        self
    }

    pub fn without_head(mut self) -> Self {
        self.no_head = true;
        self
    }
}

/// Builds the app's routes from the table.
pub(in crate::http) fn configure(config: &mut web::ServiceConfig) {
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
            public::method_not_allowed(request, payload, allow.clone())
        })));
    }
}
