//! Who sent a request: authentication and rate limits.
//!
//! Must never: say why a credential was refused.

use actix_web::{HttpRequest, web};

use crate::access::LimitExceeded;
use crate::domain::{Origin, Principal};

use crate::http::request::body::{self, BodyBytes};
use crate::http::request::context::state;
use crate::http::request::credential;
use crate::http::request::state::State;
use crate::http::response::code::Code;
use crate::http::response::error::ApiError;

/// Returns who the request's credential belongs to, or `None` if it has no valid one.
pub(in crate::http) fn authenticated(request: &HttpRequest) -> Result<Option<Principal>, ApiError> {
    match credential::presented(request) {
        Some(token) => Ok(state(request).access.authenticate(token)?),
        None => Ok(None),
    }
}

/// Checks the form of the body, then the credential, then the rate limit, and reads the body.
pub(in crate::http) async fn identify(
    request: &HttpRequest,
    origin: &Origin,
    payload: &mut web::Payload,
) -> Result<(Principal, BodyBytes), ApiError> {
    let state = state(request);
    let known = authenticated(request)?;
    let read = async {
        let headers = body::check(request.headers(), state.body_bytes)?;
        let body = body::read(payload, headers, state.body_bytes, known.is_some()).await?;
        // A body can take a while to arrive, and the credential may have been revoked meanwhile.
        let principal = match &known {
            Some(_) if headers.has_body() => authenticated(request)?,
            known => known.clone(),
        };
        Ok((principal, body))
    };
    let read: Result<_, ApiError> = read.await;
    match read {
        Ok((Some(principal), body)) => {
            state.limits.count_principal(&principal.key())?;
            Ok((principal, body))
        }
        Ok((None, _)) => {
            count_address(state, origin)?;
            let error = ApiError::new(Code::Unauthorized, "A valid bearer token is required.");
            Err(error.hint(credential::hint(request)))
        }
        Err(error) => {
            if known.is_none() {
                count_address(state, origin)?;
            }
            body::drain(request.headers(), payload).await;
            Err(error)
        }
    }
}

/// Counts a request on a public route: against its principal if it has a valid credential,
/// otherwise against its address.
pub(in crate::http) fn count_anonymous(
    request: &HttpRequest,
    origin: &Origin,
) -> Result<(), ApiError> {
    let state = state(request);
    match authenticated(request)? {
        Some(principal) => state.limits.count_principal(&principal.key())?,
        None => count_address(state, origin)?,
    }
    Ok(())
}

/// Counts a request without a valid credential against its address.
pub(in crate::http) fn count_address(state: &State, origin: &Origin) -> Result<(), LimitExceeded> {
    origin.ip.map_or(Ok(()), |ip| state.limits.count_address(ip))
}
