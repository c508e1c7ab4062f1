//! What needs no credential: health, the API's description, "not found".

use std::future::Future;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, ContentType, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::handlers::console;
use crate::http::openapi::{docs, document};
use crate::http::request::body;
use crate::http::request::call::{count_anybody, origin, request_id, state};
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code};
use crate::http::response::items::Health;

pub(in crate::http) async fn health(request: HttpRequest) -> HttpResponse {
    let vault = &state(&request).vault;
    let (status, word) = match vault.writable() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => {
            // Anybody may ask, as often as they like.
            log::debug!("health: {why}");
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

pub(in crate::http) async fn openapi(_: HttpRequest) -> HttpResponse {
    Answer::rendered(document::document()).into_response()
}

pub(in crate::http) async fn docs(_: HttpRequest) -> HttpResponse {
    // The page is plain HTML with one style element; it may do nothing else.
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((HeaderName::from_static("content-security-policy"), policy))
        .body(docs::page())
}

/// Answers whoever asks, once the request's form is right. `counted`: against
/// the client address's limit.
pub(in crate::http) async fn answer_anybody<F: Future<Output = HttpResponse>>(
    request: HttpRequest,
    mut payload: web::Payload,
    counted: bool,
    handler: impl FnOnce(HttpRequest) -> F,
) -> HttpResponse {
    let limit = state(&request).body_bytes;
    let read = async {
        let declared = body::check(request.headers(), limit)?;
        body::read(&mut payload, declared, limit, false).await
    };
    let read: Result<_, ApiError> = read.await;
    let id = request_id(&request);
    if counted && let Err(limited) = count_anybody(&request, &origin(&request, &id)) {
        return limited.into_response(&id);
    }
    match read {
        Ok(_) => handler(request).await,
        Err(error) => {
            body::linger(request.headers(), &mut payload).await;
            error.into_response(&id)
        }
    }
}

/// No such route. It is told without a credential: a path is form.
pub(in crate::http) async fn not_found(
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    answer_anybody(request, payload, true, |request| async move {
        console::not_there(&request).unwrap_or_else(|| {
            ApiError::new(Code::NotFound, "There is no such route.")
                .hint("The routes are described at /api/docs and in /openapi.json.")
                .into_response(&request_id(&request))
        })
    })
    .await
}

/// The route exists, with other methods.
pub(in crate::http) async fn method_not_allowed(
    request: HttpRequest,
    payload: web::Payload,
    allow: String,
) -> HttpResponse {
    answer_anybody(request, payload, true, |request| async move {
        let error = ApiError::new(Code::MethodNotAllowed, format!("This route takes {allow}."));
        let mut response = error.into_response(&request_id(&request));
        let allow = HeaderValue::from_str(&allow).expect("methods are plain ASCII");
        response.headers_mut().insert(ALLOW, allow);
        response
    })
    .await
}
