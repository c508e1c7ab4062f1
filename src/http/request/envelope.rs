//! The middleware around every request: it assigns the request id, adds the headers that every
//! response carries, writes one debug line to the log and counts the request.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};

use crate::domain::RequestId;
use crate::vault::Random;

use crate::http::request::state::State;
use crate::http::traffic::StatusClass;

pub(in crate::http) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(in crate::http) async fn wrap(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    request.extensions_mut().insert(id.clone());
    let mut response = next.call(request).await?;
    let value = HeaderValue::from_str(id.as_str()).expect("a request id is plain ASCII");
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, value);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // Logs the pattern, not the path: a client may send anything as a path, even a secret.
    let pattern = response.request().match_pattern().unwrap_or_else(|| "no route".to_owned());
    let took = started.elapsed();
    log::debug!("{id}: {method} {pattern} {} {took:?}", response.status().as_u16());
    if let Some(state) = response.request().app_data::<web::Data<State>>() {
        count(state, &pattern, response.status(), took);
    }
    Ok(response)
}

/// Counts a request to the API.
fn count(state: &State, pattern: &str, status: StatusCode, took: Duration) {
    if !pattern.starts_with("/api/") {
        return;
    }
    let class = match status {
        status if status.is_client_error() => StatusClass::ClientError,
        status if status.is_server_error() => StatusClass::ServerError,
        _ => StatusClass::Success,
    };
    // A request for a bundle may wait for a change on purpose, so its duration means nothing.
    let took = Some(took).filter(|_| !pattern.ends_with("/bundle"));
    state.traffic.count(state.vault.now(), class, took);
}

fn request_id(request: &ServiceRequest) -> RequestId {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::from_client).unwrap_or_else(|| {
        let now = request.app_data::<web::Data<State>>().map(|state| state.vault.now());
        // An id that is not random is better than none.
        let random = Random.bytes().unwrap_or_default();
        RequestId::new(now.unwrap_or(crate::domain::Timestamp::from_millis(0)), random)
    })
}
