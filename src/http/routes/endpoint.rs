//! One row of the route table, and how the app is built from the rows.

use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::{HttpRequest, Route, web};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::audit::Action;
use crate::domain::Role;
use crate::vault::Level;

use crate::http::request::anonymous::{self, AnonymousCall};
use crate::http::request::call::{self, Call, Needs};
use crate::http::request::parameter::Parameter;
use crate::http::request::parse::RequestBody;
use crate::http::request::target::TargetKind;
use crate::http::response::answer::Answer;
use crate::http::response::code::Code;
use crate::http::response::error::ApiError;

/// The path of the health check, which is not counted against a rate limit.
pub(in crate::http) const HEALTH: &str = "/health";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// Anyone.
    Public,
    /// A principal with this role whose scope covers the target.
    Principal {
        /// The lowest role that is allowed.
        role: Role,
        /// What the scope has to cover.
        target: TargetKind,
    },
}

/// The public facts about a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path, with `{…}` for variable segments.
    pub path: &'static str,
    /// Who may use it.
    pub access: RouteAccess,
}

/// A schema by its name, with every schema that it refers to.
pub(in crate::http) struct NamedSchema {
    pub name: String,
    pub schemas: Vec<(String, RefOr<Schema>)>,
}

impl NamedSchema {
    fn of<T: ToSchema>() -> Self {
        let mut schemas = vec![(T::name().into(), T::schema())];
        T::schemas(&mut schemas);
        Self { name: T::name().into(), schemas }
    }
}

/// The body of a route's requests, for the OpenAPI document.
pub(in crate::http) struct BodySchema {
    pub schema: NamedSchema,
    /// Adds to the schema what a derive cannot express.
    pub constrain: fn(&mut Value),
}

impl BodySchema {
    fn of<B: RequestBody>() -> Option<Self> {
        B::IS_READ.then(|| Self { schema: NamedSchema::of::<B>(), constrain: B::constrain })
    }
}

/// The content of a route's successful response, for the OpenAPI document.
pub(in crate::http) enum SuccessContent {
    Json(NamedSchema),
    /// The OpenAPI document itself.
    AnyJson,
    Html,
    Octets,
    /// An age file, or 304.
    Bundle,
}

/// One row of the route table.
pub(in crate::http) struct Endpoint {
    pub info: RouteInfo,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub body: Option<BodySchema>,
    pub success: SuccessContent,
    /// The errors that do not follow from `info` and `body`.
    pub errors: &'static [Code],
    answers_head: bool,
    route: Rc<dyn Fn() -> Route>,
}

impl Endpoint {
    fn new(info: RouteInfo, summary: &'static str, route: impl Fn() -> Route + 'static) -> Self {
        Self {
            info,
            summary,
            parameters: &[],
            body: None,
            success: SuccessContent::AnyJson,
            errors: &[],
            answers_head: true,
            route: Rc::new(route),
        }
    }

    /// A route that requires a credential. The permit's level and the body come from the handler's
    /// type.
    fn guarded<L, B, H, F>(
        method: Method,
        path: &'static str,
        (action, target): (Action, TargetKind),
        summary: &'static str,
        handler: H,
    ) -> Self
    where
        L: Level,
        B: RequestBody + 'static,
        H: Fn(Call<L, B>) -> F + Copy + 'static,
        F: Future<Output = Result<Answer, ApiError>> + 'static,
    {
        let access = RouteAccess::Principal { role: L::ROLE, target };
        let needs = Needs { action, target };
        let route = move || {
            web::to(move |request: HttpRequest, payload: web::Payload| {
                call::run(needs, handler, request, payload)
            })
        };
        let info = RouteInfo { method, path, access };
        Self { body: BodySchema::of::<B>(), ..Self::new(info, summary, route) }
    }

    /// A GET that needs no credential.
    pub fn public<H, F>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        H: Fn(HttpRequest) -> F + Copy + 'static,
        F: Future<Output = actix_web::HttpResponse> + 'static,
    {
        // A monitoring system must not be refused because it checks too often.
        let is_counted = path != HEALTH;
        let info = RouteInfo { method: Method::GET, path, access: RouteAccess::Public };
        Self::new(info, summary, move || {
            web::to(move |request: HttpRequest, payload: web::Payload| {
                anonymous::answer(request, payload, is_counted, handler)
            })
        })
    }

    /// A POST with a body that needs no credential. The body comes from the handler's type.
    pub fn public_post<B, H, F>(path: &'static str, summary: &'static str, handler: H) -> Self
    where
        B: RequestBody + 'static,
        H: Fn(AnonymousCall<B>) -> F + Copy + 'static,
        F: Future<Output = Result<Answer, ApiError>> + 'static,
    {
        let route = move || {
            web::to(move |request: HttpRequest, payload: web::Payload| {
                anonymous::run(handler, request, payload)
            })
        };
        let info = RouteInfo { method: Method::POST, path, access: RouteAccess::Public };
        Self { body: BodySchema::of::<B>(), ..Self::new(info, summary, route) }
    }

    /// Sets the schema of the successful response.
    pub fn answers<T: ToSchema>(mut self) -> Self {
        self.success = SuccessContent::Json(NamedSchema::of::<T>());
        self
    }

    /// Sets a successful response that is not described by a schema.
    pub fn answers_with(mut self, content: SuccessContent) -> Self {
        self.success = content;
        self
    }

    /// Sets the query parameters and headers that the route reads.
    pub fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    /// Sets the errors that do not follow from what the route requires.
    pub fn fails(mut self, errors: &'static [Code]) -> Self {
        self.errors = errors;
        self
    }

    /// Makes a GET answer HEAD with 405, because reading is recorded or has an effect.
    pub fn without_head(mut self) -> Self {
        self.answers_head = false;
        self
    }
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {
        impl Endpoint {$(
            #[doc = concat!("A ", stringify!($method), " that requires a credential.")]
            pub fn $name<L, B, H, F>(
                path: &'static str,
                needs: (Action, TargetKind),
                summary: &'static str,
                handler: H,
            ) -> Self
            where
                L: Level,
                B: RequestBody + 'static,
                H: Fn(Call<L, B>) -> F + Copy + 'static,
                F: Future<Output = Result<Answer, ApiError>> + 'static,
            {
                Self::guarded(Method::$method, path, needs, summary, handler)
            }
        )*}
    };
}

methods! {
    get GET
    post POST
    patch PATCH
    delete DELETE
}

/// Adds the routes to the app.
pub(in crate::http) fn configure(config: &mut web::ServiceConfig, table: Vec<Endpoint>) {
    let mut by_path: BTreeMap<&'static str, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in table {
        by_path.entry(endpoint.info.path).or_default().push(endpoint);
    }
    for (path, endpoints) in by_path {
        let mut resource = web::resource(path);
        let mut allowed = Vec::new();
        for endpoint in endpoints {
            let method = endpoint.info.method;
            if method == Method::GET && endpoint.answers_head {
                allowed.push(Method::HEAD.to_string());
                resource = resource.route((endpoint.route)().method(Method::HEAD));
            }
            allowed.push(method.to_string());
            resource = resource.route((endpoint.route)().method(method));
        }
        allowed.sort();
        let allow = allowed.join(", ");
        config.service(resource.default_service(web::to(move |request, payload| {
            anonymous::method_not_allowed(request, payload, allow.clone())
        })));
    }
}
