//! What every answer carries, whatever made it: request id, cache and sniffing
//! headers; one line in the log, and its place among the requests of its minute.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};

use crate::domain::RequestId;
use crate::vault::Random;

use crate::http::State;
use crate::http::traffic::Class;

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
    // The pattern, not the path: a path can hold anything that a client
    // mistook for one.
    let pattern = response.request().match_pattern().unwrap_or_else(|| "no route".to_owned());
    let took = started.elapsed();
    log::debug!("{id}: {method} {pattern} {} {took:?}", response.status().as_u16());
    if let Some(state) = response.request().app_data::<web::Data<State>>() {
        count(state, &pattern, response.status(), took);
    }
    Ok(response)
}

/// Counts what was asked of the API.
fn count(state: &State, pattern: &str, status: StatusCode, took: Duration) {
    if !pattern.starts_with("/api/") {
        return;
    }
    let class = match status {
        status if status.is_client_error() => Class::ClientError,
        status if status.is_server_error() => Class::ServerError,
        _ => Class::Done,
    };
    // It may wait for a change on purpose.
    let took = Some(took).filter(|_| !pattern.ends_with("/bundle"));
    state.traffic.count(state.vault.now(), class, took);
}

fn request_id(request: &ServiceRequest) -> RequestId {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    given.and_then(RequestId::from_client).unwrap_or_else(|| {
        let now = request.app_data::<web::Data<State>>().map(|state| state.vault.now());
        // An answer without an id would be worse than one whose id is not random.
        let random = Random.bytes().unwrap_or_default();
        RequestId::new(now.unwrap_or(crate::domain::Timestamp::from_millis(0)), random)
    })
}
