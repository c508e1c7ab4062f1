//! Which server is asked, and with which token.
//!
//! ```text
//! server   --url, COFFER_URL, the newest login, http:// and the configuration's
//!          listen address
//! token    COFFER_TOKEN, the login for exactly that server,
//!          <data_dir>/bootstrap-token (only for this host's server)
//! ```
//!
//! Whoever says --data-dir or --config means this host's server and its own token;
//! whoever gives COFFER_TOKEN without an address, too. Neither is taken for a login.
//!
//! Must never: take a token from the arguments; send this host's admin token to
//! another host, or a session to another server than it was made for.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::access::NewTokenFile;
use crate::cli::api::Client;
use crate::cli::api::logins::{self, Login, Logins};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::Form;
use crate::config::{self, Config, Variables};
use crate::domain::reachable;

/// Where the server and its token are found.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in crate::cli) struct PlaceArguments {
    /// The server [default: COFFER_URL, the last login, or where the configuration
    /// listens]
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
/// COFFER_TOKEN, the login file or the data directory, never from here.
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
        let logins = || Logins::load(logins::place_of_process());
        let place = Place::find(self, config, variables, logins)?;
        place.warn("the token");
        Ok(Client::new(place))
    }

    /// A client without a token: for logging in.
    pub fn stranger(
        &self,
        config: &Config,
        variables: &Variables,
        logins: &Logins,
    ) -> Result<Client, Failure> {
        let newest = || logins.newest().filter(|_| !self.means_this_host());
        let (server, local) = match named(self, variables)? {
            Some(server) => (server, false),
            None => match newest() {
                Some(login) => (parse(&login.url).map_err(not_a_login)?, false),
                None => (configured(config)?, true),
            },
        };
        let place = Place { server, local, credential: None };
        place.warn("the password");
        Ok(Client::new(place))
    }

    /// The server that a login is ended at: the one that is named, else the newest.
    pub fn login<'a>(
        &self,
        variables: &Variables,
        logins: &'a Logins,
    ) -> Result<Option<&'a Login>, Failure> {
        Ok(match named(self, variables)? {
            Some(server) => logins.of(&server.base),
            None => logins.newest(),
        })
    }

    /// The same, at this server.
    pub fn at(&self, url: &str) -> Self {
        let Self { config, data_dir, .. } = self;
        Self { url: Some(url.to_owned()), config: config.clone(), data_dir: data_dir.clone() }
    }

    fn means_this_host(&self) -> bool {
        self.data_dir.is_some() || self.config.is_some()
    }
}

/// A server's address.
struct Server {
    /// Scheme, authority and path, without a slash at the end.
    base: String,
    host: String,
    https: bool,
}

/// A token, and where it came from.
struct Credential {
    token: Zeroizing<String>,
    source: String,
    /// Whether it is a session out of the login file.
    is_login: bool,
}

/// A server and a token for it.
pub(super) struct Place {
    server: Server,
    local: bool,
    credential: Option<Credential>,
}

impl Place {
    fn find(
        arguments: &PlaceArguments,
        config: &Config,
        variables: &Variables,
        logins: impl FnOnce() -> Result<Option<Logins>, Failure>,
    ) -> Result<Self, Failure> {
        let given = named(arguments, variables)?;
        let was_given = given.is_some();
        let place = |server: Server, credential| {
            let local = !was_given || is_loopback(&server.host);
            Self { server, local, credential: Some(credential) }
        };
        if let Some(text) = variables.get("COFFER_TOKEN") {
            let server = given.map_or_else(|| configured(config), Ok)?;
            return Ok(place(server, credential(text, "COFFER_TOKEN".to_owned())?));
        }
        if !arguments.means_this_host()
            && let Some(logins) = logins()?
        {
            let login = match &given {
                Some(server) => logins.of(&server.base),
                None => logins.newest(),
            };
            if let Some(login) = login {
                let server = given.map_or_else(|| parse(&login.url).map_err(not_a_login), Ok)?;
                let source = logins.path().display().to_string();
                let credential = credential(&login.token, source)?;
                let credential = Credential { is_login: true, ..credential };
                let local = is_loopback(&server.host);
                return Ok(Self { server, local, credential: Some(credential) });
            }
        }
        let server = given.map_or_else(|| configured(config), Ok)?;
        if was_given && !is_loopback(&server.host) {
            return Err(Failure::wrong("there is no token for another host's server").hint(
                format!("Log in: coffer login --url {}, or give a token by COFFER_TOKEN. The one in the data directory is for this host's server only.", server.base),
            ));
        }
        Ok(place(server, first_token(config)?))
    }

    /// The same server, with a session of it.
    pub fn with_session(&self, token: &str) -> Result<Self, Failure> {
        let credential = credential(token, "the login".to_owned())?;
        let Server { base, host, https } = &self.server;
        let server = Server { base: base.clone(), host: host.clone(), https: *https };
        let credential = Some(Credential { is_login: true, ..credential });
        Ok(Self { server, local: self.local, credential })
    }

    /// Says that something crosses the network in the clear, if it does.
    fn warn(&self, what: &str) {
        if !self.is_https() && !is_loopback(&self.server.host) {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: {what} crosses the network in the clear; use https to reach {}",
                self.server.host
            );
        }
    }

    pub fn base(&self) -> &str {
        &self.server.base
    }

    pub fn is_https(&self) -> bool {
        self.server.https
    }

    /// Whether it is this host's own server, between which and this process
    /// there is no proxy.
    pub fn is_local(&self) -> bool {
        self.local || is_loopback(&self.server.host)
    }

    pub fn token(&self) -> Option<&str> {
        self.credential.as_ref().map(|credential| credential.token.as_str())
    }

    /// What it means that the server does not know the token, if more is known than
    /// the server says.
    pub fn ended(&self) -> Option<String> {
        let is_login = self.credential.as_ref().is_some_and(|credential| credential.is_login);
        is_login.then(|| format!("the session at {} has ended", self.base()))
    }

    /// What to do about that; nothing where no token was shown.
    pub fn remedy(&self) -> Option<String> {
        let Credential { source, is_login, .. } = self.credential.as_ref()?;
        Some(if *is_login {
            format!("Log in again: coffer login --url {}", self.base())
        } else {
            format!("The token came from {source}. Give one that is in force by COFFER_TOKEN.")
        })
    }

    /// Where the token came from, in words.
    pub fn token_source(&self) -> &str {
        self.credential.as_ref().map_or("nowhere", |credential| &credential.source)
    }
}

/// The server that an argument or a variable names.
fn named(arguments: &PlaceArguments, variables: &Variables) -> Result<Option<Server>, Failure> {
    let (source, url) = match (&arguments.url, variables.get("COFFER_URL")) {
        (Some(url), _) => ("--url", url.as_str()),
        (None, Some(url)) => ("COFFER_URL", url),
        (None, None) => return Ok(None),
    };
    parse(url).map(Some).map_err(|problem| Failure::wrong(format!("{source}: {problem}")))
}

/// This host's server, as its configuration says.
fn configured(config: &Config) -> Result<Server, Failure> {
    let address = reachable(config.server.listen);
    if address.port() == 0 {
        return Err(Failure::wrong("the server listens on a port that it chooses itself")
            .hint("Give the address that it printed, with --url or COFFER_URL."));
    }
    let base = format!("http://{address}");
    Ok(Server { base, host: address.ip().to_string(), https: false })
}

fn not_a_login(problem: &str) -> Failure {
    Failure::wrong(format!("an address in the login file {problem}"))
        .hint("Remove the file and log in again: coffer login.")
}

/// What a URL must be to be a server's: its base, its host, whether it is https.
/// The complaint does not repeat it, for it may hold a password.
fn parse(url: &str) -> Result<Server, &'static str> {
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
    let host = authority.host();
    if url.contains(['?', '#']) || host.is_empty() {
        return Err(RULE);
    }
    let (scheme, default_port) = if https { ("https", ":443") } else { ("http", ":80") };
    // One spelling for one server: a login is kept under it.
    let authority = authority.as_str().to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
    let host = host.to_ascii_lowercase();
    Ok(Server { base, host: host.trim_matches(['[', ']']).to_owned(), https })
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761, section 6.3: it never names another host.
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// The first admin's token, which this host's server has in its data directory.
fn first_token(config: &Config) -> Result<Credential, Failure> {
    let path = config.server.data_dir.join(NewTokenFile::NAME);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => credential(text.trim(), shown),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::wrong(format!(
            "there is no token: COFFER_TOKEN is not set, nobody is logged in, and {shown} does not exist"
        ))
        .hint("Log in: coffer login. Or set COFFER_TOKEN, or name the server's data directory with --data-dir.")),
        Err(error) => Err(Failure::wrong(format!("{shown}: {error}"))
            .hint("Log in: coffer login. Or set COFFER_TOKEN, or run this as the user that the server runs as.")),
    }
}

fn credential(text: &str, source: String) -> Result<Credential, Failure> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::wrong(format!("{source} holds no token"))
            .hint("A token begins with cof_ and has no spaces in it."));
    }
    Ok(Credential { token: Zeroizing::new(text.to_owned()), source, is_login: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: Option<&str>, listen: &str, pairs: &[(&str, &str)]) -> Result<Place, String> {
        let mut config = Config::default();
        config.server.listen = listen.parse().unwrap();
        config.server.data_dir = "/nonexistent".into();
        let arguments =
            PlaceArguments { url: url.map(str::to_owned), config: None, data_dir: None };
        Place::find(&arguments, &config, &Variables::from_pairs(pairs.iter().copied()), || Ok(None))
            .map_err(|failure| failure.text())
    }

    fn base(url: Option<&str>, listen: &str, pairs: &[(&str, &str)]) -> String {
        let token = [("COFFER_TOKEN", "cof_x")];
        found(url, listen, &[pairs, &token].concat())
            .map_or_else(|why| why, |place| place.server.base)
    }

    #[test]
    fn the_argument_wins_then_the_variable_then_the_configuration() {
        let variable = [("COFFER_URL", "https://b:1/x/")];
        assert_eq!(base(Some("http://a"), "127.0.0.1:1", &variable), "http://a");
        assert_eq!(base(None, "127.0.0.1:1", &variable), "https://b:1/x");
        assert_eq!(base(None, "127.0.0.1:1", &[]), "http://127.0.0.1:1");
        assert_eq!(
            base(Some("HTTPS://B.Example:443/x"), "127.0.0.1:1", &[]),
            "https://b.example/x"
        );
        assert_eq!(base(Some("http://b.example:443"), "127.0.0.1:1", &[]), "http://b.example:443");
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
