//! Doors for the fuzz targets, in builds for them only: what stands in a
//! request before anybody is known to have sent it.
//!
//! Must never: be part of any other build.

use std::net::IpAddr;

use actix_web::http::header::{
    AUTHORIZATION, COOKIE, FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR,
};

use crate::domain::Network;

use crate::http::State;
use crate::http::handlers::{
    environments, secrets, service_accounts, settings, tokens, users, vars,
};
use crate::http::request::call::RequestBody;
use crate::http::request::json::Members;
use crate::http::request::query::Query;
use crate::http::request::{client_address, credential};

/// Reads a body as each route would that takes one. Whatever is taken must be
/// JSON in the eyes of another reader, too, and a problem's text must hold none
/// of the body.
pub fn body(state: &State, body: &[u8]) {
    match Members::parse(body) {
        Ok(_) => {
            let other = serde_json::from_slice::<serde_json::Value>(body);
            assert!(other.is_ok_and(|value| value.is_object()), "taken, and no object");
        }
        Err(error) => keeps_quiet(&error, body),
    }
    macro_rules! each {
        ($($of:ty),* $(,)?) => {$(
            if let Err(error) = <$of as RequestBody>::parse(body, state) {
                keeps_quiet(&error, body);
            }
        )*};
    }
    each!(
        environments::CreateEnvironment,
        secrets::CreateSecret,
        secrets::PatchSecret,
        vars::CreateVar,
        vars::PatchVar,
        settings::PatchSettings,
        tokens::CreateToken,
        users::CreateUser,
        users::PatchUser,
        users::ChangePassword,
        service_accounts::CreateServiceAccount,
        service_accounts::PatchServiceAccount,
    );
}

/// What the targets plant in values.
pub const CANARY: &str = "canary-7d1f";

fn keeps_quiet(error: &crate::http::response::error::ApiError, body: &[u8]) {
    let told = format!("{error:?}");
    let planted = body.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
    assert!(!(planted && told.contains(CANARY)), "a problem quotes the body: {told}");
}

/// Reads a query string as the lists do.
pub fn query(text: &str) {
    let Ok(query) = Query::parse(text) else { return };
    if let Ok(page) = query.page() {
        assert!(page.limit.is_none_or(|limit| (1..=1000).contains(&limit)));
    }
    let _ = query.boolean("force");
}

/// Reads what says who sends a request. A stranger is not believed.
pub fn headers(peer: IpAddr, forwarded: [&[u8]; 2], shown: [&[u8]; 2], trusted: &[Network]) {
    let mut headers = HeaderMap::new();
    let named: [(HeaderName, &[u8]); 4] = [
        (X_FORWARDED_FOR, forwarded[0]),
        (FORWARDED, forwarded[1]),
        (AUTHORIZATION, shown[0]),
        (COOKIE, shown[1]),
    ];
    for (name, bytes) in named {
        for bytes in bytes.split(|byte| *byte == b'\n') {
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                headers.append(name.clone(), value);
            }
        }
    }
    assert_eq!(client_address::client_address(peer, &headers, &[]), peer);
    let _ = client_address::client_address(peer, &headers, trusted);
    let _ = credential::bearer(&headers);
    if let Some(token) = credential::cookie(&headers) {
        assert!(token.starts_with("cos_"));
    }
}
