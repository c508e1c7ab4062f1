//! Entry points for the fuzz targets: what is read from a request before its sender is known.
//!
//! Must never: be part of any other build.
//! Called by: the targets in `fuzz/`.

use std::net::IpAddr;

use actix_web::http::header::{
    AUTHORIZATION, COOKIE, FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR,
};

use crate::domain::Network;

use crate::http::handlers::{
    environments, secrets, service_accounts, settings, tokens, users, vars,
};
use crate::http::request::json::BodyMembers;
use crate::http::request::parse::RequestBody;
use crate::http::request::query::Query;
use crate::http::request::state::State;
use crate::http::request::{client_address, credential};

/// Parses a body as each route does. What is accepted must be JSON to another parser too, and an
/// error must not quote the body.
pub fn body(state: &State, body: &[u8]) {
    match BodyMembers::parse(body) {
        Ok(_) => {
            let other = serde_json::from_slice::<serde_json::Value>(body);
            assert!(other.is_ok_and(|value| value.is_object()), "accepted, but not an object");
        }
        Err(error) => assert_no_quote(&error, body),
    }
    macro_rules! each {
        ($($of:ty),* $(,)?) => {$(
            if let Err(error) = <$of as RequestBody>::parse(body, state) {
                assert_no_quote(&error, body);
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

/// The text that the targets put into values.
pub const CANARY: &str = "canary-7d1f";

fn assert_no_quote(error: &crate::http::response::error::ApiError, body: &[u8]) {
    let text = format!("{error:?}");
    let planted = body.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
    assert!(!(planted && text.contains(CANARY)), "an error quotes the body: {text}");
}

/// Parses a query string as lists do.
pub fn query(text: &str) {
    let Ok(query) = Query::parse(text) else { return };
    if let Ok(page) = query.page() {
        assert!(page.limit.is_none_or(|limit| (1..=1000).contains(&limit)));
    }
    let _ = query.boolean("force");
}

/// Parses the headers that say who sent a request. An untrusted peer must not be believed.
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
