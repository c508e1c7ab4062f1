//! The address of a server.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::cli::terminal::error::Failure;
use crate::config::Config;
use crate::domain::reachable;

/// A server's address in its one canonical spelling, which login files use as a key.
#[derive(Debug, Clone)]
pub(super) struct ServerUrl {
    /// Scheme, authority and path, without a trailing slash.
    base: String,
    host: String,
    https: bool,
}

impl ServerUrl {
    /// Parses an `http` or `https` URL. The error does not repeat the text, which may contain a
    /// password.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const RULE: &str =
            "must be a URL such as https://coffer.example.com or http://127.0.0.1:8420.";
        let uri: Uri = url.parse().map_err(|_| RULE)?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(RULE),
        };
        let authority = uri.authority().ok_or(RULE)?;
        if authority.as_str().contains('@') {
            return Err("must not contain a user name or password. Set the token in COFFER_TOKEN.");
        }
        let host = authority.host();
        if url.contains(['?', '#']) || host.is_empty() {
            return Err(RULE);
        }
        let (scheme, default_port) = if https { ("https", ":443") } else { ("http", ":80") };
        let authority = authority.as_str().to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
        let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
        let host = host.to_ascii_lowercase();
        Ok(Self { base, host: host.trim_matches(['[', ']']).to_owned(), https })
    }

    /// The address that a server of this configuration listens on.
    pub fn of_config(config: &Config) -> Result<Self, Failure> {
        let address = reachable(config.server.listen);
        if address.port() == 0 {
            return Err(Failure::wrong("the server picks a free port when it starts")
                .hint("Pass the address that it printed, with --url or COFFER_URL."));
        }
        let base = format!("http://{address}");
        Ok(Self { base, host: address.ip().to_string(), https: false })
    }

    /// Scheme, authority and path, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether the address cannot lead to another host.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761, section 6.3: this name never resolves to another host.
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_urls_are_refused() {
        for bad in ["", "localhost:8420", "ftp://a", "http://", "http://a?b", "http://a#b", "a b"] {
            assert!(ServerUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_addresses_count_as_this_host() {
        for host in ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "::2", "0.0.0.0"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
