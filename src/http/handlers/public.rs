//! Public routes: health, and the description of the API.

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::request::context::state;
use crate::http::response::answer::Answer;
use crate::http::response::items::Health;

/// The description of the API in both forms. It is made from the route table, which comes after
/// this module, so the assembler puts it into the app's data.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct ApiDescription {
    /// Returns the OpenAPI document.
    pub document: fn() -> &'static [u8],
    /// Returns the page for people.
    pub page: fn() -> &'static str,
}

pub(in crate::http) async fn health(request: HttpRequest) -> HttpResponse {
    let vault = &state(&request).vault;
    let (status, word) = match vault.writable() {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => {
            // Not a warning: anyone may ask, as often as they like, and would flood the log.
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

pub(in crate::http) async fn openapi(request: HttpRequest) -> HttpResponse {
    Answer::rendered((description(&request).document)()).into_response()
}

pub(in crate::http) async fn docs(request: HttpRequest) -> HttpResponse {
    // The page is plain HTML with one style element and needs nothing else.
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((HeaderName::from_static("content-security-policy"), policy))
        .body((description(&request).page)())
}

fn description(request: &HttpRequest) -> ApiDescription {
    *request.app_data().expect("the app is built with its description")
}
