//! Requests that need no credential: public routes, logins, and the answers 404 and 405.
//!
//! Must never: keep more than a short body of a sender who is not known; exempt a request from the
//! rate limit unless its route says so.

use std::future::Future;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::Origin;

use crate::http::request::body::{self, BodyBytes};
use crate::http::request::caller::{count_address, count_anonymous};
use crate::http::request::context::{origin, request_id, state};
use crate::http::request::parse::RequestBody;
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::code::Code;
use crate::http::response::error::ApiError;

/// The longest body of an [`AnonymousCall`], in bytes. It is held in memory for an unknown sender,
/// and an email address and a password are never this long.
const MAX_BODY_BYTES: usize = 64 << 10;

/// A request with a body on a route that needs no credential.
#[derive(Debug)]
pub(in crate::http) struct AnonymousCall<B> {
    pub state: web::Data<State>,
    pub body: B,
    pub origin: Origin,
    pub request: HttpRequest,
}

/// Checks form, rate limit and body of a request, and runs its handler.
pub(in crate::http) async fn run<B, H, F>(
    handler: H,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse
where
    B: RequestBody,
    H: Fn(AnonymousCall<B>) -> F,
    F: Future<Output = Result<Answer, ApiError>>,
{
    let id = request_id(&request);
    let answer = async {
        let state = state(&request).clone();
        let origin = origin(&request, &id);
        let limit = state.body_bytes.min(MAX_BODY_BYTES);
        // Counted before any of the body is kept, but a malformed request is reported first.
        let counted = count_address(&state, &origin);
        let read = async {
            let headers = body::check(request.headers(), limit)?;
            body::read(&mut payload, headers, limit, counted.is_ok()).await
        };
        let read: Result<BodyBytes, ApiError> = read.await;
        if read.is_ok() {
            counted?;
        }
        let body = match read {
            Ok(body) => body,
            Err(error) => {
                body::drain(request.headers(), &mut payload).await;
                return Err(error);
            }
        };
        let parsed = B::parse(&body, &state)?;
        drop(body);
        handler(AnonymousCall { state, body: parsed, origin, request: request.clone() }).await
    };
    match answer.await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(&id),
    }
}

/// Answers a public route once the request's form is checked. `is_counted`: whether the request
/// counts against a rate limit.
pub(in crate::http) async fn answer<F: Future<Output = HttpResponse>>(
    request: HttpRequest,
    mut payload: web::Payload,
    is_counted: bool,
    handler: impl FnOnce(HttpRequest) -> F,
) -> HttpResponse {
    let limit = state(&request).body_bytes;
    let read = async {
        let headers = body::check(request.headers(), limit)?;
        body::read(&mut payload, headers, limit, false).await
    };
    let read: Result<_, ApiError> = read.await;
    let id = request_id(&request);
    if is_counted && let Err(limited) = count_anonymous(&request, &origin(&request, &id)) {
        return limited.into_response(&id);
    }
    match read {
        Ok(_) => handler(request).await,
        Err(error) => {
            body::drain(request.headers(), &mut payload).await;
            error.into_response(&id)
        }
    }
}

/// Answers 404 for an unknown path. No credential is needed, because a path is part of the
/// request's form. `page` may answer instead, with a page for people.
pub(in crate::http) async fn not_found(
    request: HttpRequest,
    payload: web::Payload,
    page: fn(&HttpRequest) -> Option<HttpResponse>,
) -> HttpResponse {
    answer(request, payload, true, |request| async move {
        page(&request).unwrap_or_else(|| {
            ApiError::new(Code::NotFound, "There is no such route.")
                .hint("See /api/docs or /openapi.json for the routes.")
                .into_response(&request_id(&request))
        })
    })
    .await
}

/// Answers 405 for a known path with another method.
pub(in crate::http) async fn method_not_allowed(
    request: HttpRequest,
    payload: web::Payload,
    allow: String,
) -> HttpResponse {
    answer(request, payload, true, |request| async move {
        let error = ApiError::new(Code::MethodNotAllowed, format!("This route allows {allow}."));
        let mut response = error.into_response(&request_id(&request));
        let allow = HeaderValue::from_str(&allow).expect("methods are plain ASCII");
        response.headers_mut().insert(ALLOW, allow);
        response
    })
    .await
}
