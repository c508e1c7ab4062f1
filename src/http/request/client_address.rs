//! The client's address: the peer's, unless the peer is a trusted proxy.
//!
//! Must never: believe a header that any client can send. `X-Forwarded-For` or `Forwarded`
//! (RFC 7239) counts only if it comes from a trusted peer, and it is read from its end: each
//! trusted proxy appended the address that it saw, so the last address that is not a trusted proxy
//! is the client. The client itself may have written anything before that.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};

use crate::domain::Network;

/// Returns the client's address.
pub(in crate::http) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &[Network],
) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(*address));
    if !is_trusted(&peer) {
        return peer;
    }
    let follow = |hops: Vec<Option<IpAddr>>| {
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            // An entry that is not an address hides the client, so the last known hop is the
            // best answer.
            let Some(hop) = hop else { break };
            client = hop;
            if !is_trusted(&hop) {
                break;
            }
        }
        client.to_canonical()
    };
    let by_list = follow(list(headers, &X_FORWARDED_FOR).map(address).collect());
    let entries = list(headers, &FORWARDED).map(|entry| address(forwarded_for(entry)?));
    let by_standard = follow(entries.collect());
    match (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(FORWARDED)) {
        (true, false) => by_list,
        (false, true) => by_standard,
        // A proxy writes one of them and may pass on the other as the client sent it. There is no
        // way to tell which one that is.
        (true, true) if by_list == by_standard => by_list,
        _ => peer,
    }
}

/// Returns the comma-separated entries of all headers of this name, in order.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    // A value that is not text becomes an entry that is not an address.
    headers.get_all(name).flat_map(|value| value.to_str().unwrap_or("?").split(',')).map(str::trim)
}

/// Returns the value of `for=` in one entry of `Forwarded`.
fn forwarded_for(entry: &str) -> Option<&str> {
    entry.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// Parses an address with or without a port; an IPv6 address with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn seen(peer: &str, headers: &[(HeaderName, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_static(value));
        }
        let trusted = ["10.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap());
        client_address(peer.parse().unwrap(), &map, &trusted).to_string()
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        assert_eq!(seen("192.0.2.9", &[(X_FORWARDED_FOR, "198.51.100.1")]), "192.0.2.9");
        assert_eq!(seen("192.0.2.9", &[(FORWARDED, "for=198.51.100.1")]), "192.0.2.9");
    }

    #[test]
    fn the_last_address_that_is_not_a_trusted_proxy_counts() {
        let spoofed = "203.0.113.7, 198.51.100.1, 10.0.0.2";
        assert_eq!(seen("10.0.0.1", &[(X_FORWARDED_FOR, spoofed)]), "198.51.100.1");
        let two = [(X_FORWARDED_FOR, "203.0.113.7"), (X_FORWARDED_FOR, "198.51.100.1")];
        assert_eq!(seen("10.0.0.1", &two), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[(X_FORWARDED_FOR, "10.0.0.3")]), "10.0.0.3");
    }

    #[test]
    fn two_headers_that_disagree_are_ignored() {
        let both = |other| [(X_FORWARDED_FOR, "198.51.100.1"), (FORWARDED, other)];
        assert_eq!(seen("10.0.0.1", &both("for=198.51.100.1")), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &both("for=198.51.100.2")), "10.0.0.1");
    }

    #[test]
    fn spellings_of_addresses() {
        for text in ["[2001:db8::1]:443", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(address(text), "2001:db8::1".parse().ok(), "{text}");
        }
        assert_eq!(address("192.0.2.1:80"), "192.0.2.1".parse().ok());
        let forwarded = "for=203.0.113.7, For=\"[2001:db8::1]:443\";proto=https;by=10.0.0.1";
        assert_eq!(seen("::1", &[(FORWARDED, forwarded)]), "2001:db8::1");
    }

    #[test]
    fn an_entry_that_is_not_an_address_ends_the_search() {
        let hidden = "198.51.100.1, unknown, 10.0.0.2";
        assert_eq!(seen("10.0.0.1", &[(X_FORWARDED_FOR, hidden)]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &[(X_FORWARDED_FOR, "")]), "10.0.0.1");
    }
}
