//! Which credential a request shows: a bearer token, or a session's cookie.
//!
//! A browser sends a cookie along whoever made it send the request. So a cookie
//! is a credential for reading only, unless the request carries a header that a
//! page of another origin cannot send without asking (`X-Coffer: 1`).
//! Must never: take a cookie beside an Authorization header; two credentials
//! would leave it open which one counts.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};

use crate::http::request::call::state;

/// The session's cookie.
const NAME: &str = "coffer_session";
/// What a page of ours sends with every request.
const PAGE: HeaderName = HeaderName::from_static("x-coffer");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What a proxy may have added, whether it was told to or not.
const BY_PROXY: [&str; 6] =
    ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"];

/// What a browser adds to what a page sends.
const BY_PAGE: [&str; 2] = ["origin", "sec-fetch-site"];

/// The credential, if the request shows one that counts.
pub(in crate::http) fn shown(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers();
    if headers.contains_key(AUTHORIZATION) {
        return bearer(headers);
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    cookie(headers).filter(|_| reads || is_page(headers))
}

/// Whether the request shows anything at all, good or bad.
pub(in crate::http) fn is_tried(request: &HttpRequest) -> bool {
    request.headers().contains_key(AUTHORIZATION) || cookie(request.headers()).is_some()
}

/// What to do about a credential that is missing.
pub(in crate::http) fn remedy(request: &HttpRequest) -> &'static str {
    let headers = request.headers();
    if !headers.contains_key(AUTHORIZATION) && cookie(headers).is_some() && !is_page(headers) {
        "With a cookie, send the header X-Coffer: 1 as well."
    } else {
        "Send the header Authorization: Bearer <token>."
    }
}

/// The bearer token, if the header has one.
pub(in crate::http) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    // Two credentials would leave it open which one counts.
    if values.next().is_some() {
        return None;
    }
    let (word, token) = value.split_once(' ')?;
    word.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// The session's token in the cookie (RFC 6265, section 4.2.1), if there is one
/// and no other beside it.
pub(in crate::http) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(name, _)| name.trim() == NAME).map(|(_, value)| value.trim());
    let (first, second) = (found.next(), found.next());
    // An API token does not belong into a cookie.
    first.filter(|token| second.is_none() && token.starts_with("cos_"))
}

/// Whether the request was made by a page of ours.
pub(in crate::http) fn is_page(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(PAGE);
    values.next().is_some_and(|value| value == "1") && values.next().is_none()
}

/// `Set-Cookie` for a session that lasts for so many seconds; 0 takes it away.
pub(in crate::http) fn set_cookie(request: &HttpRequest, token: &str, seconds: i64) -> HeaderValue {
    let secure = if came_over_tls(request) { "; Secure" } else { "" };
    let text =
        format!("{NAME}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    HeaderValue::from_str(&text).expect("tokens are plain ASCII")
}

/// Whether a proxy that is believed says so. Without one we speak plain HTTP,
/// and a cookie marked Secure would not come back.
fn came_over_tls(request: &HttpRequest) -> bool {
    let proto = request.headers().get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) && has_trusted_peer(request)
}

fn has_trusted_peer(request: &HttpRequest) -> bool {
    let trusted = &state(request).trusted_proxies;
    let peer = request.peer_addr().map(|peer| peer.ip());
    peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(peer)))
}

/// Whether the request was made on this machine, as far as that can be told: it
/// comes from the loopback interface, no proxy had it in its hands (one that adds
/// no header at all mostly speaks HTTP/1.0), no page sent it, and it was made for
/// a name of this machine. The last keeps out pages whose own name was made to
/// lead here (DNS rebinding).
pub(in crate::http) fn is_local(request: &HttpRequest) -> bool {
    let headers = request.headers();
    if request.version() < Version::HTTP_11
        || BY_PAGE.iter().any(|name| headers.contains_key(*name))
    {
        return false;
    }
    let loopback = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let forwarded = BY_PROXY.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    loopback && !forwarded && !has_trusted_peer(request) && is_loopback_name(host)
}

fn is_loopback_name(host: &str) -> bool {
    let port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, tail)) if port(tail) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_cookies(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        cookie(&headers).map(str::to_owned)
    }

    #[test]
    fn cookies() {
        assert_eq!(in_cookies(&["coffer_session=cos_x"]).as_deref(), Some("cos_x"));
        assert_eq!(in_cookies(&["a=b; coffer_session=cos_x;c=d"]).as_deref(), Some("cos_x"));
        assert_eq!(in_cookies(&["a=b", "coffer_session=cos_x"]).as_deref(), Some("cos_x"));
        assert_eq!(in_cookies(&["coffer_session=cof_x"]), None);
        assert_eq!(in_cookies(&["xcoffer_session=cos_x"]), None);
        assert_eq!(in_cookies(&["coffer_session=cos_x; coffer_session=cos_y"]), None);
        assert_eq!(in_cookies(&["coffer_session=cos_x", "coffer_session=cos_x"]), None);
    }

    #[test]
    fn names_of_this_machine() {
        for good in
            ["localhost", "LOCALHOST:8420", "127.0.0.1", "127.9.9.9:1", "[::1]:8420", "[::1]"]
        {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:8420",
            "localhost.evil.example",
            "10.0.0.1:1",
            "[::2]",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }
}
