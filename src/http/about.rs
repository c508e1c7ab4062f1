//! What needs no credential: health, the API's description, "not found".

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, ContentType, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Answer;
use super::call::{request_id, state};
use super::error::{ApiError, Code};
use super::wire::Health;
use super::{docs, form, openapi};

pub(super) async fn health(request: HttpRequest) -> HttpResponse {
    let vault = &state(&request).vault;
    let (status, word) = match vault.writable() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => {
            log::warn!("health: {why}");
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    };
    let mut response = Answer::json(&Health {
        status: word,
        timestamp: vault.now(),
        version: env!("CARGO_PKG_VERSION"),
        bundled_agent_version: "none",
        cli_version: env!("CARGO_PKG_VERSION"),
    })
    .into_response();
    *response.status_mut() = status;
    response
}

pub(super) async fn openapi(_: HttpRequest) -> HttpResponse {
    Answer(openapi::document().into()).into_response()
}

pub(super) async fn docs(_: HttpRequest) -> HttpResponse {
    // The page is plain HTML with one style element; it may do nothing else.
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((HeaderName::from_static("content-security-policy"), policy))
        .body(docs::page())
}

/// No such route. It is told without a credential: a path is form.
pub(super) async fn not_found(request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let error = ApiError::new(Code::NotFound, "There is no such route.")
        .hint("The routes are described at /api/docs and in /openapi.json.");
    refuse(&request, payload, error).await
}

/// The route exists, with other methods.
pub(super) async fn method_not_allowed(
    request: HttpRequest,
    payload: web::Payload,
    allow: String,
) -> HttpResponse {
    let error = ApiError::new(Code::MethodNotAllowed, format!("This route takes {allow}."));
    let mut response = refuse(&request, payload, error).await;
    let allow = HeaderValue::from_str(&allow).expect("methods are plain ASCII");
    response.headers_mut().insert(ALLOW, allow);
    response
}

async fn refuse(request: &HttpRequest, mut payload: web::Payload, error: ApiError) -> HttpResponse {
    // The form comes first here, too.
    let error = form::check(request.headers(), state(request).body_bytes).err().unwrap_or(error);
    form::linger(&mut payload).await;
    error.into_response(&request_id(request))
}
