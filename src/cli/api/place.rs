//! Which server is asked, and with which token.
//!
//! ```text
//! server   --url, COFFER_URL, http:// and the configuration's listen address
//! token    COFFER_TOKEN, <data_dir>/bootstrap-token (only for this host's server)
//! ```
//!
//! Must never: take a token from the arguments; send this host's admin token to
//! another host.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ureq::http::Uri;
use zeroize::Zeroizing;

use super::Client;
use crate::access::NewTokenFile;
use crate::cli::failure::Failure;
use crate::cli::show::Form;
use crate::config::{self, Config, Variables};

/// Where the server and its token are found.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in crate::cli) struct PlaceArguments {
    /// The server [default: COFFER_URL, or where the configuration listens]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory of this host's server, with its first token [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What every command that asks a server takes. The token comes from
/// COFFER_TOKEN or from the data directory, never from here.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in crate::cli) struct ClientArguments {
    #[command(flatten)]
    pub place: PlaceArguments,
    /// Print the server's JSON answer, as when stdout is no terminal
    #[arg(long)]
    pub json: bool,
}

impl ClientArguments {
    /// Finds the server and the token; says how the answer is to be shown.
    pub fn connect(self) -> Result<(Client, Form), Failure> {
        let form = Form::choose(self.json);
        let (config, variables) = self.place.load()?;
        Ok((self.place.client(&config, &variables)?, form))
    }
}

impl PlaceArguments {
    /// The configuration, with the data directory of the arguments.
    pub fn load(&self) -> Result<(Config, Variables), Failure> {
        let variables = Variables::of_process()?;
        let mut config = config::load(self.config.as_deref(), &variables)?;
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        Ok((config, variables))
    }

    /// The client for the server that is meant.
    pub fn client(&self, config: &Config, variables: &Variables) -> Result<Client, Failure> {
        let place = Place::find(self.url.as_deref(), config, variables)?;
        if !place.is_https() && !place.is_loopback() {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: the token crosses the network in the clear; use https to reach {}",
                place.host
            );
        }
        Ok(Client::new(place))
    }
}

/// A server and a token for it.
pub(super) struct Place {
    /// Scheme, authority and path, without a slash at the end.
    base: String,
    host: String,
    https: bool,
    token: Zeroizing<String>,
    token_source: String,
    local: bool,
}

impl Place {
    fn find(url: Option<&str>, config: &Config, variables: &Variables) -> Result<Self, Failure> {
        let given = match url {
            Some(url) => Some(("--url", url)),
            None => variables.get("COFFER_URL").map(|url| ("COFFER_URL", url)),
        };
        let (base, host, https) = match given {
            Some((source, url)) => {
                parse(url).map_err(|problem| Failure::wrong(format!("{source}: {problem}")))?
            }
            None => {
                let address = reachable(config.server.listen);
                if address.port() == 0 {
                    return Err(Failure::wrong(
                        "the server listens on a port that it chooses itself",
                    )
                    .hint("Give the address that it printed, with --url or COFFER_URL."));
                }
                (format!("http://{address}"), address.ip().to_string(), false)
            }
        };
        let local = given.is_none() || is_loopback(&host);
        let (token, token_source) = token(local, config, variables)?;
        Ok(Self { base, host, https, token, token_source, local })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether it is this host's own server.
    pub fn is_local(&self) -> bool {
        self.local
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where the token came from, in words.
    pub fn token_source(&self) -> &str {
        &self.token_source
    }
}

/// What a URL must be to be a server's: its base, its host, whether it is https.
/// The complaint does not repeat it, for it may hold a password.
fn parse(url: &str) -> Result<(String, String, bool), &'static str> {
    const RULE: &str = "must be a URL such as https://coffer.example.com or http://127.0.0.1:8420.";
    let uri: Uri = url.parse().map_err(|_| RULE)?;
    let https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(RULE),
    };
    let authority = uri.authority().ok_or(RULE)?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user name or password; the token goes into COFFER_TOKEN.");
    }
    if url.contains(['?', '#']) || authority.host().is_empty() {
        return Err(RULE);
    }
    let scheme = if https { "https" } else { "http" };
    let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Ok((base, host.to_owned(), https))
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761, section 6.3: it never names another host.
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Where this machine reaches a server that listens on all its addresses.
pub(in crate::cli) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The token, and where it came from.
fn token(
    local: bool,
    config: &Config,
    variables: &Variables,
) -> Result<(Zeroizing<String>, String), Failure> {
    if let Some(text) = variables.get("COFFER_TOKEN") {
        return Ok((checked(text, "COFFER_TOKEN")?, "COFFER_TOKEN".to_owned()));
    }
    let path = config.server.data_dir.join(NewTokenFile::NAME);
    let shown = path.display().to_string();
    if !local {
        return Err(Failure::wrong("there is no token for another host's server")
            .hint("Give one by COFFER_TOKEN. The one in the data directory is for this host's server only."));
    }
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => Ok((checked(text.trim(), &shown)?, shown)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::wrong(format!(
            "there is no token: COFFER_TOKEN is not set, and {shown} does not exist"
        ))
        .hint("Set COFFER_TOKEN, or name the server's data directory with --data-dir.")),
        Err(error) => Err(Failure::wrong(format!("{shown}: {error}"))
            .hint("Set COFFER_TOKEN, or run this as the user that the server runs as.")),
    }
}

fn checked(text: &str, source: &str) -> Result<Zeroizing<String>, Failure> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::wrong(format!("{source} holds no token"))
            .hint("A token begins with cof_ and has no spaces in it."));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: Option<&str>, listen: &str, pairs: &[(&str, &str)]) -> Result<Place, String> {
        let mut config = Config::default();
        config.server.listen = listen.parse().unwrap();
        config.server.data_dir = "/nonexistent".into();
        Place::find(url, &config, &Variables::from_pairs(pairs.iter().copied()))
            .map_err(|failure| failure.text())
    }

    fn base(url: Option<&str>, listen: &str, pairs: &[(&str, &str)]) -> String {
        let token = [("COFFER_TOKEN", "cof_x")];
        found(url, listen, &[pairs, &token].concat()).map_or_else(|why| why, |place| place.base)
    }

    #[test]
    fn the_argument_wins_then_the_variable_then_the_configuration() {
        let variable = [("COFFER_URL", "https://b:1/x/")];
        assert_eq!(base(Some("http://a"), "127.0.0.1:1", &variable), "http://a");
        assert_eq!(base(None, "127.0.0.1:1", &variable), "https://b:1/x");
        assert_eq!(base(None, "127.0.0.1:1", &[]), "http://127.0.0.1:1");
        assert_eq!(base(None, "0.0.0.0:2", &[]), "http://127.0.0.1:2");
        assert_eq!(base(None, "[::]:2", &[]), "http://[::1]:2");
        assert!(base(None, "127.0.0.1:0", &[]).starts_with("2 the server listens on a port"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for bad in ["", "localhost:8420", "ftp://a", "http://", "http://a?b", "http://a#b", "a b"] {
            assert!(parse(bad).is_err(), "{bad}");
            assert!(base(Some(bad), "127.0.0.1:1", &[]).starts_with("2 --url: must be"), "{bad}");
        }
        let complaint = base(Some("http://me:hunter2hunter2@a"), "127.0.0.1:1", &[]);
        assert!(complaint.contains("password") && !complaint.contains("hunter2"), "{complaint}");
    }

    #[test]
    fn loopback_is_this_host_and_nothing_that_looks_like_it() {
        for host in ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "::2", "0.0.0.0"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn this_hosts_token_is_for_this_host() {
        let read = |url| found(url, "10.0.0.5:1", &[]).err().unwrap();
        assert!(read(None).contains("/nonexistent/bootstrap-token"));
        assert!(read(Some("http://127.0.0.1:1")).contains("/nonexistent/bootstrap-token"));
        assert!(read(Some("http://[::1]:1")).contains("/nonexistent/bootstrap-token"));
        // Even the configuration's own address: as a URL it is anybody's.
        assert!(read(Some("http://10.0.0.5:1")).contains("another host"));
        assert!(read(Some("https://example.com")).contains("another host"));
    }

    #[test]
    fn a_token_that_cannot_be_one_is_not_sent() {
        for bad in ["", "cof_a b", "cof_\n", "cof_\u{e9}"] {
            let complaint = found(None, "127.0.0.1:1", &[("COFFER_TOKEN", bad)]).err().unwrap();
            assert!(complaint.starts_with("2 COFFER_TOKEN holds no token"), "{complaint}");
        }
    }
}
