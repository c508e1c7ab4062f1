//! `/openapi.json`: the route table as an OpenAPI 3.1 document.
//!
//! What the builder cannot express is added by `rules`, and by the bodies of the routes.

use std::collections::BTreeMap;

use actix_web::http::Method;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder,
    PathItem, Ref, RefOr, Required, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Role;

use crate::http::openapi::rules;
use crate::http::request::idempotency::IDEMPOTENCY_KEY;
use crate::http::request::target::TargetKind;
use crate::http::response::code::Code;
use crate::http::response::error::{ErrorBody, Problem};
use crate::http::response::media_type::{AGE, OCTETS};
use crate::http::response::schema::{number, text, words};
use crate::http::routes::endpoint::{Endpoint, HEALTH, RouteAccess, SuccessContent};

const JSON: &str = "application/json";
const BEARER: &str = "bearer";

const DESCRIPTION: &str = "\
A secrets server. A secret marked `neverReveal` can be set but never read. Every response \
carries `X-Request-Id`; a client may send its own (1 to 64 characters `[A-Za-z0-9._-]`). An \
environment in a path is given by its id or by its name, in any case. A row outside the caller's \
scope answers 404, exactly as a missing one. Unknown members of a body are ignored, except in \
settings; duplicate members are refused. Lists are complete unless `limit` is given; the next \
page starts after the key of the last row. Each path that answers GET also answers HEAD, except \
a secret's value. Any other method answers 405 with `Allow`.";

/// The tags, in the order in which people should read them.
pub(in crate::http) const TAGS: [(&str, &str); 10] = [
    ("environments", "Groups of secrets and vars."),
    ("secrets", "Encrypted values that nobody, or only admins, can view."),
    ("vars", "Configuration values, which every response shows."),
    ("settings", "The settings of an environment."),
    ("auth", "Logging in and out, and who the caller is."),
    ("users", "People, their passwords and their sessions."),
    ("service accounts", "Machines that own tokens."),
    ("tokens", "Credentials for machines and scripts."),
    ("audit", "The log of who did what."),
    ("server", "The server itself."),
];

/// Renders the document for a route table.
pub(in crate::http) fn render(table: &[Endpoint]) -> Vec<u8> {
    let mut document =
        serde_json::to_value(build(table)).expect("the document has text keys and plain types");
    for endpoint in table {
        let method = endpoint.info.method.as_str().to_lowercase();
        let operation = &mut document["paths"][endpoint.info.path][method];
        for (status, codes) in errors(endpoint) {
            rules::narrow(operation, status, &codes);
        }
        if let Some(body) = &endpoint.body {
            (body.constrain)(&mut document["components"]["schemas"][&body.schema.name]);
        }
    }
    rules::add(&mut document);
    document.to_string().into_bytes()
}

/// Builds the document without what the builder cannot express.
fn build(table: &[Endpoint]) -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut nested = vec![
        (ErrorBody::name().into(), ErrorBody::schema()),
        (Problem::name().into(), Problem::schema()),
    ];
    let mut paths = PathsBuilder::new();
    for endpoint in table {
        if let SuccessContent::Json(answer) = &endpoint.success {
            nested.extend(answer.schemas.iter().cloned());
        }
        if let Some(body) = &endpoint.body {
            nested.extend(body.schema.schemas.iter().cloned());
        }
        let item = PathItem::new(method(&endpoint.info.method), operation(endpoint));
        paths = paths.path(endpoint.info.path, item);
    }
    schemas.extend(nested);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API token: `cof_` and 43 more characters."))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("coffer")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .build(),
        )
        .paths(paths.build())
        .tags(Some(
            TAGS.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build()),
        ))
        .components(Some(
            ComponentsBuilder::new()
                .schemas_from_iter(schemas)
                .security_scheme(BEARER, SecurityScheme::Http(bearer))
                .build(),
        ))
        .build()
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(endpoint: &Endpoint) -> Operation {
    let mut operation = OperationBuilder::new()
        .summary(Some(endpoint.summary))
        .operation_id(Some(operation_id(endpoint)))
        .tag(tag(endpoint.info.path));
    for name in path_parameters(endpoint.info.path) {
        let described = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(match name {
                "environment" => "The id or name of an environment.",
                "version" => "The number of a version.",
                "session" => "The id of a session.",
                _ => "An id.",
            }))
            .schema(Some(match name {
                "version" => number(1, Some(u32::MAX as usize)).build(),
                "id" if endpoint.info.path == "/api/admin/keys/{id}" => {
                    number(1, Some(u32::MAX as usize)).build()
                }
                _ => text().build(),
            }));
        operation = operation.parameter(described);
    }
    for parameter in endpoint.parameters {
        operation = operation.parameter(parameter.describe());
    }
    if endpoint.info.method == Method::POST && endpoint.info.access != RouteAccess::Public {
        operation = operation.parameter(IDEMPOTENCY_KEY.describe());
    }
    if let Some(body) = &endpoint.body {
        let content = ContentBuilder::new().schema(Some(reference(&body.schema.name))).build();
        operation = operation.request_body(Some(
            RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True)).build(),
        ));
    }
    if endpoint.info.access != RouteAccess::Public {
        operation = operation.security(SecurityRequirement::new(BEARER, [] as [&str; 0]));
    }
    operation.responses(responses(endpoint)).build()
}

fn responses(endpoint: &Endpoint) -> utoipa::openapi::Responses {
    let content = match &endpoint.success {
        SuccessContent::Json(answer) => (JSON, Some(reference(&answer.name))),
        SuccessContent::AnyJson => (JSON, Some(object())),
        SuccessContent::Html => ("text/html", Some(RefOr::T(text().build().into()))),
        SuccessContent::Octets => (OCTETS, Some(RefOr::T(text().build().into()))),
        SuccessContent::Bundle => (AGE, Some(RefOr::T(text().build().into()))),
    };
    let success = ContentBuilder::new().schema(content.1).build();
    let mut done = ResponseBuilder::new().description("Success.").content(content.0, success);
    if endpoint.info.method == Method::POST && endpoint.info.access != RouteAccess::Public {
        let replayed = words(["true"]).build();
        done = header(
            done,
            "Idempotent-Replayed",
            "The request was a repetition and did nothing.",
            replayed,
        );
    }
    let is_bundle = matches!(endpoint.success, SuccessContent::Bundle);
    let tagged = |response| header(response, "ETag", "The tag of the content.", text().build());
    if is_bundle {
        done = tagged(done);
    }
    let mut all = ResponsesBuilder::new().response("200", with_request_id(done));
    if is_bundle {
        let same = tagged(
            ResponseBuilder::new().description("`If-None-Match` names the current content."),
        );
        all = all.response("304", with_request_id(same));
    }
    for (status, codes) in errors(endpoint) {
        // A failed health check has the same body as a successful one.
        let (name, what) = match &endpoint.success {
            SuccessContent::Json(answer) if status == 503 && endpoint.info.path == HEALTH => {
                (answer.name.clone(), "Writes are refused.".to_owned())
            }
            _ => (ErrorBody::name().into(), format!("`{}`", codes.join("`, `"))),
        };
        let content = ContentBuilder::new().schema(Some(reference(&name))).build();
        let mut response = ResponseBuilder::new().description(what).content(JSON, content);
        if name == ErrorBody::name() {
            response = with_headers_of(response, status);
        }
        all = all.response(status.to_string(), with_request_id(response));
    }
    all.build()
}

/// Returns the codes of a route's errors, by status.
fn errors(endpoint: &Endpoint) -> BTreeMap<u16, Vec<&'static str>> {
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in codes(endpoint) {
        let codes = by_status.entry(code.status().as_u16()).or_default();
        if !codes.contains(&code.as_str()) {
            codes.push(code.as_str());
        }
    }
    by_status
}

/// Returns the errors of a route: those that follow from what it requires, and its own.
fn codes(endpoint: &Endpoint) -> Vec<Code> {
    let mut codes = endpoint.errors.to_vec();
    let RouteAccess::Principal { role, target } = endpoint.info.access else {
        // 400: a body that does not arrive is refused even if the route ignores bodies.
        codes.extend([Code::Validation, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
        if endpoint.info.path != HEALTH {
            // Counting a request requires authenticating it, which can fail.
            codes.extend([Code::RateLimited, Code::Internal]);
        }
        return codes;
    };
    codes.extend([
        Code::RateLimited,
        Code::Validation,
        Code::Unauthorized,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::ServiceUnavailable,
        Code::Internal,
    ]);
    if endpoint.info.method == Method::POST {
        codes.extend([Code::Conflict, Code::IdempotencyKeyReused]);
    }
    if role > Role::Viewer {
        codes.push(Code::ForbiddenRole);
    }
    match target {
        TargetKind::InScope => {}
        TargetKind::Everything => codes.push(Code::ForbiddenScope),
        TargetKind::Environment => codes.extend([Code::ForbiddenScope, Code::NotFound]),
        TargetKind::Row => codes.push(Code::NotFound),
        TargetKind::User => {
            codes.extend([Code::ForbiddenRole, Code::ForbiddenScope, Code::NotFound]);
        }
    }
    codes
}

fn with_request_id(response: ResponseBuilder) -> Response {
    header(response, "X-Request-Id", "The id of the request.", text().build()).build()
}

/// Adds the headers that come with a status.
fn with_headers_of(response: ResponseBuilder, status: u16) -> ResponseBuilder {
    let wait = "How many seconds to wait before trying again.";
    let whole = |min| number(min, None).build();
    match status {
        401 => header(
            response,
            "WWW-Authenticate",
            "The authentication scheme.",
            words(["Bearer"]).build(),
        ),
        429 => [
            ("Retry-After", wait, 1),
            ("X-RateLimit-Limit", "How many requests per minute are allowed.", 1),
            ("X-RateLimit-Remaining", "How many requests are left.", 0),
            ("X-RateLimit-Reset", "When more requests are allowed, in seconds since 1970.", 0),
        ]
        .into_iter()
        .fold(response, |response, (name, what, min)| header(response, name, what, whole(min))),
        503 => header(response, "Retry-After", wait, whole(1)),
        _ => response,
    }
}

fn header(
    response: ResponseBuilder,
    name: &str,
    what: &str,
    schema: impl Into<Schema>,
) -> ResponseBuilder {
    let described = HeaderBuilder::new().schema(Some(schema.into())).description(Some(what));
    response.header(name, described.build())
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn object() -> RefOr<Schema> {
    RefOr::T(ObjectBuilder::new().schema_type(Type::Object).build().into())
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn tag(path: &str) -> &'static str {
    let has = |word: &str| path.split('/').any(|part| part == word);
    if has("auth") {
        "auth"
    } else if has("users") {
        "users"
    } else if has("service-accounts") {
        "service accounts"
    } else if has("tokens") {
        "tokens"
    } else if has("audit-logs") {
        "audit"
    } else if has("settings") {
        "settings"
    } else if has("secrets") {
        "secrets"
    } else if has("vars") {
        "vars"
    } else if has("environments") {
        "environments"
    } else {
        "server"
    }
}

/// Makes an operation id of method and path: `get /api/secrets/{id}/value` becomes
/// `getSecretsByIdValue`.
fn operation_id(endpoint: &Endpoint) -> String {
    let mut id = endpoint.info.method.as_str().to_lowercase();
    let parts =
        endpoint.info.path.split(['/', '.', '-']).filter(|part| !part.is_empty() && *part != "api");
    for part in parts {
        let by = part.trim_start_matches('{').trim_end_matches('}');
        if part.starts_with('{') {
            id.push_str("By");
        }
        let mut letters = by.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}
