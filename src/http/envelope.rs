//! What every answer carries, whatever made it: request id, cache and sniffing
//! headers; and one line in the log.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};

use crate::domain::RequestId;
use crate::vault::Random;

use super::State;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn wrap(
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
    log::debug!("{id}: {method} {pattern} {} {:?}", response.status().as_u16(), started.elapsed());
    Ok(response)
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
