//! What every request carries from its start: the state, its id, where it came from.

use actix_web::{HttpMessage, HttpRequest, web};

use crate::domain::{Origin, RequestId};

use crate::http::request::client_address::client_address;
use crate::http::request::state::State;

/// Returns the state that the app was built with.
pub(in crate::http) fn state(request: &HttpRequest) -> &web::Data<State> {
    request.app_data().expect("the app is built with its state")
}

/// Returns the request's id, which the envelope has assigned.
pub(in crate::http) fn request_id(request: &HttpRequest) -> RequestId {
    request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .expect("the envelope assigns an id to every request")
}

/// Returns the request's id and the client's address, for the audit log and the rate limits.
pub(in crate::http) fn origin(request: &HttpRequest, id: &RequestId) -> Origin {
    let trusted = &state(request).trusted_proxies;
    let ip = request
        .peer_addr()
        .map(|peer| client_address(peer.ip().to_canonical(), request.headers(), trusted));
    Origin { request_id: Some(id.clone()), ip }
}

/// Returns a variable segment of the path; empty if the route has none of this name.
pub(in crate::http) fn segment<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}
