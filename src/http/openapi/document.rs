//! `/openapi.json`: the route table as an OpenAPI 3.1 document.
//! What the builder cannot say is in `openapi_rules`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use actix_web::http::Method;
use serde_json::json;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder, ResponsesBuilder};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder,
    PathItem, Ref, RefOr, Required, Schema,
};
use utoipa::{PartialSchema, ToSchema};

use crate::audit::{Action, ResourceType};
use crate::domain::{EnvironmentId, Role, ServiceAccountId, UserId};

use crate::http::openapi::rules;
use crate::http::request::query::{MAX_COUNT, MAX_LIMIT};
use crate::http::response::answer::ErrorBody;
use crate::http::response::error::{Code, Problem};
use crate::http::routes::endpoint::{Access, Endpoint, Parameter, Success, TargetKind};
use crate::http::routes::endpoints;

const JSON: &str = "application/json";
const BEARER: &str = "bearer";
/// Answers with its own shape when it fails, and is not counted.
const HEALTH: &str = "/health";

const DESCRIPTION: &str = "A secrets server. A secret marked `neverReveal` goes in and never comes out. \
Every answer carries `X-Request-Id`; a client may send its own (1 to 64 characters `[A-Za-z0-9._-]`). \
An environment in a path is given by its id or by its name, in any case. A row outside the caller's \
scope answers 404, exactly as a missing one. Unknown members of a body are ignored, except in settings; \
a member that stands twice is refused. Lists are complete unless `limit` is given; the next page \
begins after the key of the last row. Each path that takes GET takes HEAD as well, except a secret's value. \
Another method answers 405 with `Allow`.";

/// The tags, in the order in which people should read about them.
pub(in crate::http) const TAGS: [(&str, &str); 10] = [
    ("environments", "What secrets and vars belong to."),
    ("secrets", "Values that are sealed, and shown to nobody or to admins only."),
    ("vars", "Values that are configuration, in every answer."),
    ("settings", "What an environment allows."),
    ("auth", "Logging in and out, and who the caller is."),
    ("users", "People, their passwords and their sessions."),
    ("service accounts", "Machines, as owners of tokens."),
    ("tokens", "Credentials of machines, and of people's scripts."),
    ("audit", "Who did what."),
    ("server", "The server and its description."),
];

/// The document, rendered once.
pub(in crate::http) fn document() -> &'static [u8] {
    static DOCUMENT: OnceLock<Vec<u8>> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut document =
            serde_json::to_value(build()).expect("the description has text keys and plain types");
        for endpoint in endpoints() {
            let method = endpoint.info.method.as_str().to_lowercase();
            let operation = &mut document["paths"][endpoint.info.path][method];
            for (status, codes) in errors(&endpoint) {
                rules::narrow(operation, status, &codes);
            }
        }
        rules::add(&mut document);
        document.to_string().into_bytes()
    })
}

fn build() -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut nested = Vec::new();
    ErrorBody::schemas(&mut nested);
    nested.push((ErrorBody::name().into(), ErrorBody::schema()));
    nested.push((Problem::name().into(), Problem::schema()));
    nested.push((
        crate::http::handlers::secrets::GenerateBody::name().into(),
        crate::http::handlers::secrets::GenerateBody::schema(),
    ));
    nested.extend(crate::http::handlers::imports::item_schemas());
    let mut paths = PathsBuilder::new();
    for endpoint in endpoints() {
        if let Success::Json(_, answer) = &endpoint.success {
            nested.extend(answer.iter().cloned());
        }
        nested.extend(endpoint.body.clone());
        let item = PathItem::new(method(&endpoint.info.method), operation(&endpoint));
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
                "environment" => "An environment's id or name.",
                "version" => "A version's number.",
                "session" => "A session's id.",
                _ => "An id.",
            }))
            .schema(Some(match name {
                "version" => number(1, Some(u32::MAX as usize)).build().into(),
                "id" if endpoint.info.path == "/api/admin/keys/{id}" => {
                    number(1, Some(u32::MAX as usize)).build().into()
                }
                _ => text(),
            }));
        operation = operation.parameter(described);
    }
    for parameter in endpoint.parameters {
        operation = operation.parameter(describe(*parameter));
    }
    if endpoint.info.method == Method::POST && endpoint.info.access != Access::Public {
        operation = operation.parameter(describe(Parameter::IdempotencyKey));
    }
    if let Some((name, _)) = &endpoint.body {
        let content = ContentBuilder::new().schema(Some(reference(name))).build();
        operation = operation.request_body(Some(
            RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True)).build(),
        ));
    }
    if endpoint.info.access != Access::Public {
        operation = operation.security(SecurityRequirement::new(BEARER, [] as [&str; 0]));
    }
    operation.responses(responses(endpoint)).build()
}

fn responses(endpoint: &Endpoint) -> utoipa::openapi::Responses {
    let content = match &endpoint.success {
        Success::Json(name, _) => (JSON, Some(reference(name))),
        Success::AnyJson => (JSON, Some(object())),
        Success::Html => ("text/html", Some(RefOr::T(text()))),
        Success::Octets => (crate::http::response::download::OCTETS, Some(RefOr::T(text()))),
        Success::Sealed => (crate::http::response::answer::AGE, Some(RefOr::T(text()))),
    };
    let success = ContentBuilder::new().schema(content.1).build();
    let mut done = ResponseBuilder::new().description("Done.").content(content.0, success);
    if endpoint.info.method == Method::POST && endpoint.info.access != Access::Public {
        let replayed = words(["true"]).build();
        done = header(done, "Idempotent-Replayed", "It was done before, and not again.", replayed);
    }
    let is_sealed = matches!(endpoint.success, Success::Sealed);
    let tagged = |response| header(response, "ETag", "The tag of what is in it.", text());
    if is_sealed {
        done = tagged(done);
    }
    let mut all = ResponsesBuilder::new().response("200", with_request_id(done));
    if is_sealed {
        let same =
            tagged(ResponseBuilder::new().description("`If-None-Match` names what is in it."));
        all = all.response("304", with_request_id(same));
    }
    for (status, codes) in errors(endpoint) {
        // A health check that fails answers with the shape of one that does not.
        let (name, what) = match &endpoint.success {
            Success::Json(name, _) if status == 503 && endpoint.info.path == HEALTH => {
                (name.clone(), "Nothing can be written.".to_owned())
            }
            _ => (ErrorBody::name().into(), format!("`{}`", codes.join("`, `"))),
        };
        let content = ContentBuilder::new().schema(Some(reference(&name))).build();
        let mut response = ResponseBuilder::new().description(what).content(JSON, content);
        if name == ErrorBody::name() {
            response = with_its_headers(response, status);
        }
        all = all.response(status.to_string(), with_request_id(response));
    }
    all.build()
}

/// The codes of a route's errors, by status.
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

/// The errors of a route: those that follow from what it needs, and its own.
fn codes(endpoint: &Endpoint) -> Vec<Code> {
    let mut codes = endpoint.errors.to_vec();
    let Access::Principal { role, target } = endpoint.info.access else {
        // 400: a body that does not arrive, although nothing looks at it.
        codes.extend([Code::Validation, Code::PayloadTooLarge, Code::UnsupportedMediaType]);
        if endpoint.info.path != HEALTH {
            // To count a request is to look whose it is, which can fail.
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
    header(response, "X-Request-Id", "The request's id.", text()).build()
}

/// The headers that come with a status.
fn with_its_headers(response: ResponseBuilder, status: u16) -> ResponseBuilder {
    let wait = "Come back after so many seconds.";
    let whole = |least| number(least, None).build();
    match status {
        401 => header(response, "WWW-Authenticate", "The scheme.", words(["Bearer"]).build()),
        429 => [
            ("Retry-After", wait, 1),
            ("X-RateLimit-Limit", "How many requests a minute there may be.", 1),
            ("X-RateLimit-Remaining", "How many are left.", 0),
            ("X-RateLimit-Reset", "When there are more, in seconds since 1970.", 0),
        ]
        .into_iter()
        .fold(response, |response, (name, what, least)| header(response, name, what, whole(least))),
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

fn number(least: usize, most: Option<usize>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(most)
}

/// A text that is one of these.
pub(in crate::http) fn words(words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}

fn describe(parameter: Parameter) -> ParameterBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let flag = || ObjectBuilder::new().schema_type(Type::Boolean);
    let moment = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let (name, what, schema) = match parameter {
        Parameter::Force => {
            ("force", "Delete it although it holds secrets, and those with it.", flag())
        }
        Parameter::Limit => (
            "limit",
            "At most so many rows; all of them if it is not given.",
            number(1, Some(MAX_LIMIT)),
        ),
        Parameter::After => {
            ("after", "Only rows whose key comes after this one, in byte order.", text())
        }
        Parameter::Prefix => ("prefix", "Only rows whose key begins with this.", text()),
        Parameter::Version => (
            "version",
            "Only if this version is in force; otherwise 409. Not together with `If-Match`.",
            number(1, Some(u32::MAX as usize)),
        ),
        Parameter::IfMatch => {
            // RFC 9110, section 13.1.1, with tags of ASCII.
            let tag = r#"(W/)?"[!#-~]*""#;
            let tags = format!(r"^(\*|{tag}([ \t]*,[ \t]*{tag})*)$");
            (
                "If-Match",
                "Only if this version is in force, as in `\"3\"`; otherwise 409. Not together with `version`.",
                text().min_length(Some(1)).pattern(Some(tags)).examples([json!("\"3\"")]),
            )
        }
        Parameter::Workload => (
            "workload",
            "The name of a workload that the host declares.",
            text().min_length(Some(1)),
        ),
        Parameter::Wait => (
            "wait",
            "Wait so many seconds for something else than what `If-None-Match` names.",
            number(0, Some(crate::http::handlers::workloads::MOST_WAIT)),
        ),
        Parameter::IfNoneMatch => (
            "If-None-Match",
            "The `ETag` of a bundle that the client has; 304 if there is nothing else.",
            // What is no tag of ours names nothing.
            text(),
        ),
        Parameter::IdempotencyKey => (
            "Idempotency-Key",
            "Up to 200 characters. The same request again, within 24 hours, gets the same answer with `Idempotent-Replayed: true` and does nothing.",
            // Blanks at the ends of a header are not part of it.
            text()
                .min_length(Some(1))
                .max_length(Some(200))
                .pattern(Some(r"^[!-~]([\t -~]*[!-~])?$")),
        ),
        Parameter::AuditEnvironment => (
            "environmentId",
            "Rows of this environment.",
            text().pattern(Some(EnvironmentId::pattern())),
        ),
        Parameter::OwnerUser => {
            ("ownerUserId", "Tokens of this user.", text().pattern(Some(UserId::pattern())))
        }
        Parameter::OwnerServiceAccount => (
            "ownerServiceAccountId",
            "Tokens of this service account.",
            text().pattern(Some(ServiceAccountId::pattern())),
        ),
        Parameter::AuditResourceType => (
            "resourceType",
            "Rows about this kind of thing.",
            words(ResourceType::ALL.iter().map(|one| one.as_str())),
        ),
        Parameter::AuditResource => ("resourceId", "Rows about the thing with this id.", text()),
        Parameter::AuditAction => {
            ("action", "Rows about this action.", words(Action::ALL.iter().map(|one| one.as_str())))
        }
        Parameter::AuditUser => {
            ("userId", "Rows about what this user did.", text().pattern(Some(UserId::pattern())))
        }
        Parameter::AuditSuccess => ("success", "What was done, or what was refused.", flag()),
        Parameter::AuditFrom => ("from", "Rows from this moment on.", moment()),
        Parameter::AuditTo => ("to", "Rows from before this moment.", moment()),
        Parameter::AuditLimit => {
            ("limit", "At most so many rows; 50 if it is not given.", number(1, Some(MAX_LIMIT)))
        }
        Parameter::AuditOffset => {
            ("offset", "Leave out so many of the newest rows.", number(0, Some(MAX_COUNT)))
        }
        Parameter::AuditBeforeSeq => (
            "beforeSeq",
            "Only rows with a lower number: the cursor that stays where it is while new rows come.",
            number(0, Some(MAX_COUNT)),
        ),
        Parameter::AfterSeq => (
            "afterSeq",
            "Only rows with a higher number; all of them if it is not given.",
            number(0, Some(MAX_COUNT)),
        ),
        Parameter::ExportLimit => {
            ("limit", "At most so many rows; 1000 if it is not given.", number(1, Some(MAX_LIMIT)))
        }
    };
    let header = matches!(
        parameter,
        Parameter::IfMatch | Parameter::IdempotencyKey | Parameter::IfNoneMatch
    );
    ParameterBuilder::new()
        .name(name)
        .parameter_in(if header { ParameterIn::Header } else { ParameterIn::Query })
        .required(match parameter {
            Parameter::Workload => Required::True,
            _ => Required::False,
        })
        .description(Some(what))
        .schema(Some(schema.build()))
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn text() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).build().into()
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

/// The method and the parts of the path: `get /api/secrets/{id}/value` is
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
