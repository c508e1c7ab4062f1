//! The credential of a request: a bearer token or a session cookie.
//!
//! A browser sends cookies with every request, even one that a page of another origin caused. So a
//! cookie only allows reading, unless the request has a header that such a page cannot send
//! without permission (`X-Coffer: 1`).
//! Must never: accept a cookie next to an Authorization header, because it would be unclear which
//! of the two counts.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};

use crate::http::request::context::state;

/// The name of the session cookie.
const COOKIE_NAME: &str = "coffer_session";
/// The header that the web console sends with every request.
const CONSOLE: HeaderName = HeaderName::from_static("x-coffer");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Headers that a proxy may have added, whether or not it was configured to.
const PROXY_HEADERS: [&str; 6] =
    ["x-forwarded-for", "forwarded", "via", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"];

/// Headers that a browser adds to requests of a page.
const BROWSER_HEADERS: [&str; 2] = ["origin", "sec-fetch-site"];

/// Returns the credential, if the request has one that counts.
pub(in crate::http) fn presented(request: &HttpRequest) -> Option<&str> {
    let headers = request.headers();
    if headers.contains_key(AUTHORIZATION) {
        return bearer(headers);
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    cookie(headers).filter(|_| reads || is_console(headers))
}

/// Whether the request has any credential, valid or not.
pub(in crate::http) fn is_present(request: &HttpRequest) -> bool {
    request.headers().contains_key(AUTHORIZATION) || cookie(request.headers()).is_some()
}

/// Says how to send the credential that is missing.
pub(in crate::http) fn hint(request: &HttpRequest) -> &'static str {
    let headers = request.headers();
    if !headers.contains_key(AUTHORIZATION) && cookie(headers).is_some() && !is_console(headers) {
        "With a session cookie, also send the header X-Coffer: 1."
    } else {
        "Send the header Authorization: Bearer <token>."
    }
}

/// Returns the bearer token, if the header has one.
pub(in crate::http) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    // With two credentials it would be unclear which one counts.
    if values.next().is_some() {
        return None;
    }
    let (word, token) = value.split_once(' ')?;
    word.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Returns the session token in the cookie (RFC 6265, section 4.2.1), if there is exactly one.
pub(in crate::http) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let texts = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    let mut found =
        pairs.filter(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim());
    let (first, second) = (found.next(), found.next());
    // An API token does not belong in a cookie.
    first.filter(|token| second.is_none() && token.starts_with("cos_"))
}

/// Whether the request was made by the web console.
pub(in crate::http) fn is_console(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONSOLE);
    values.next().is_some_and(|value| value == "1") && values.next().is_none()
}

/// Returns `Set-Cookie` for a session that lasts for `seconds`; 0 clears the cookie.
pub(in crate::http) fn set_cookie(request: &HttpRequest, token: &str, seconds: i64) -> HeaderValue {
    let secure = if came_over_tls(request) { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}"
    );
    HeaderValue::from_str(&text).expect("tokens are plain ASCII")
}

/// Whether the client used TLS, according to a trusted proxy. Without a proxy the server speaks
/// plain HTTP, and a browser would not send back a cookie marked Secure.
fn came_over_tls(request: &HttpRequest) -> bool {
    let proto = request.headers().get(FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) && has_trusted_peer(request)
}

fn has_trusted_peer(request: &HttpRequest) -> bool {
    let trusted = &state(request).trusted_proxies;
    let peer = request.peer_addr().map(|peer| peer.ip());
    peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(peer)))
}

/// Whether the request was made on this machine, as far as that is visible: it comes from the
/// loopback interface, no proxy handled it (one that adds no header usually speaks HTTP/1.0), no
/// page sent it, and its Host is a name of this machine. The last check excludes pages whose own
/// name was made to resolve to this machine (DNS rebinding).
pub(in crate::http) fn is_local(request: &HttpRequest) -> bool {
    let headers = request.headers();
    if request.version() < Version::HTTP_11
        || BROWSER_HEADERS.iter().any(|name| headers.contains_key(*name))
    {
        return false;
    }
    let loopback = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let forwarded = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
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
    fn loopback_names() {
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
