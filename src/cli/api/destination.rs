//! Which server a command talks to, and with which token.
//!
//! ```text
//! server   --url, COFFER_URL, the last login, http:// and the listen address of the
//!          configuration
//! token    COFFER_TOKEN, the login for exactly that server,
//!          <data_dir>/bootstrap-token (only for this host's server)
//! ```
//!
//! The first that exists is used. --data-dir and --config mean this host's server and its own
//! token, and so does COFFER_TOKEN without an address: none of them falls back to a login.
//!
//! Must never: take a token from the arguments; send this host's admin token to another host, or a
//! session to a server other than its own.

use std::io::Write;

use zeroize::Zeroizing;

use crate::access::NewTokenFile;
use crate::cli::api::login_file::{Login, LoginFile};
use crate::cli::api::server_url::ServerUrl;
use crate::cli::terminal::error::Failure;
use crate::config::{Config, Variables};

/// What the arguments say about the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requested<'a> {
    /// The value of --url.
    pub url: Option<&'a str>,
    /// Whether an argument names this host's server by its configuration or data directory.
    pub this_host: bool,
}

/// A token, and where it came from.
struct ClientToken {
    text: Zeroizing<String>,
    source: String,
    /// Whether it is a session from the login file.
    is_login: bool,
}

/// A server and the token for it.
pub(super) struct Destination {
    url: ServerUrl,
    /// Whether the server was found without an address, so that it is this host's own.
    local: bool,
    token: Option<ClientToken>,
}

impl Destination {
    /// Chooses the server and the token. `logins` is read only if a login may be used.
    pub fn choose(
        requested: Requested<'_>,
        config: &Config,
        variables: &Variables,
        logins: impl FnOnce() -> Result<Option<LoginFile>, Failure>,
    ) -> Result<Self, Failure> {
        let named = named(requested.url, variables)?;
        let was_named = named.is_some();
        let with_token = |url: ServerUrl, token| {
            let local = !was_named || url.is_loopback();
            Self { url, local, token: Some(token) }
        };
        if let Some(text) = variables.get("COFFER_TOKEN") {
            let url = named.map_or_else(|| ServerUrl::of_config(config), Ok)?;
            return Ok(with_token(url, ClientToken::parse(text, "COFFER_TOKEN".to_owned())?));
        }
        if !requested.this_host
            && let Some(logins) = logins()?
        {
            let login = match &named {
                Some(url) => logins.get(url.base()),
                None => logins.newest(),
            };
            if let Some(login) = login {
                let url = named.map_or_else(|| login_url(login), Ok)?;
                let source = logins.path().display().to_string();
                let token = ClientToken::parse(&login.token, source)?;
                let token = ClientToken { is_login: true, ..token };
                return Ok(Self { local: url.is_loopback(), url, token: Some(token) });
            }
        }
        let url = named.map_or_else(|| ServerUrl::of_config(config), Ok)?;
        if was_named && !url.is_loopback() {
            return Err(Failure::wrong(format!("no token for {}", url.base())).hint(format!(
                "Log in with `coffer login --url {}`, or set COFFER_TOKEN. The token in the data directory is only for the server on this host.",
                url.base()
            )));
        }
        Ok(with_token(url, bootstrap_token(config)?))
    }

    /// Chooses the server to log in to, without a token.
    pub fn for_login(
        requested: Requested<'_>,
        config: &Config,
        variables: &Variables,
        logins: &LoginFile,
    ) -> Result<Self, Failure> {
        let newest = || logins.newest().filter(|_| !requested.this_host);
        let (url, local) = match named(requested.url, variables)? {
            Some(url) => (url, false),
            None => match newest() {
                Some(login) => (login_url(login)?, false),
                None => (ServerUrl::of_config(config)?, true),
            },
        };
        Ok(Self { url, local, token: None })
    }

    /// The same server, with one of its sessions as the token.
    pub fn with_session(&self, token: &str) -> Result<Self, Failure> {
        let token = ClientToken::parse(token, "the login".to_owned())?;
        let token = Some(ClientToken { is_login: true, ..token });
        Ok(Self { url: self.url.clone(), local: self.local, token })
    }

    /// Warns on stderr if `what` is about to be sent to another host without encryption.
    pub fn warn_if_unencrypted(&self, what: &str) {
        if !self.is_https() && !self.url.is_loopback() {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: {what} is sent unencrypted; use https to connect to {}",
                self.url.host()
            );
        }
    }

    /// The server's address, without a trailing slash.
    pub fn base(&self) -> &str {
        self.url.base()
    }

    pub fn is_https(&self) -> bool {
        self.url.is_https()
    }

    /// Whether the server is on this host, so that no proxy is needed to reach it.
    pub fn is_local(&self) -> bool {
        self.local || self.url.is_loopback()
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.text.as_str())
    }

    /// What it means that the server rejected the token; `None` if none was sent.
    pub fn rejected(&self) -> Option<String> {
        let ClientToken { source, is_login, .. } = self.token.as_ref()?;
        Some(if *is_login {
            format!("your session at {} has expired", self.base())
        } else if source == "COFFER_TOKEN" {
            "COFFER_TOKEN is not valid or has expired".to_owned()
        } else {
            format!("the token in {source} is not valid or has expired")
        })
    }

    /// What to do after the server rejected the token; `None` if none was sent.
    pub fn remedy(&self) -> Option<String> {
        let is_login = self.token.as_ref()?.is_login;
        let base = self.base();
        Some(if is_login {
            format!("Log in again: coffer login --url {base}")
        } else {
            format!("Set COFFER_TOKEN to a valid token, or log in: coffer login --url {base}")
        })
    }

    /// Where the token came from, for a person to read.
    pub fn token_source(&self) -> &str {
        self.token.as_ref().map_or("nowhere", |token| &token.source)
    }
}

impl ClientToken {
    fn parse(text: &str, source: String) -> Result<Self, Failure> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Failure::wrong(format!("{source} does not contain a valid token"))
                .hint("A token starts with cof_ and contains no spaces."));
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), source, is_login: false })
    }
}

/// The server that an argument or a variable names.
fn named(url: Option<&str>, variables: &Variables) -> Result<Option<ServerUrl>, Failure> {
    let (source, url) = match (url, variables.get("COFFER_URL")) {
        (Some(url), _) => ("--url", url),
        (None, Some(url)) => ("COFFER_URL", url),
        (None, None) => return Ok(None),
    };
    let parsed = ServerUrl::parse(url);
    parsed.map(Some).map_err(|rule| Failure::wrong(format!("{source}: {rule}")))
}

/// The address that the arguments or variables name, as the login file spells it.
pub(super) fn named_base(
    url: Option<&str>,
    variables: &Variables,
) -> Result<Option<String>, Failure> {
    Ok(named(url, variables)?.map(|url| url.base().to_owned()))
}

fn login_url(login: &Login) -> Result<ServerUrl, Failure> {
    ServerUrl::parse(&login.url).map_err(|rule| {
        Failure::wrong(format!("a server address in the login file {rule}"))
            .hint("Remove the file and log in again: coffer login")
    })
}

/// The first admin token, which a server leaves in its data directory.
fn bootstrap_token(config: &Config) -> Result<ClientToken, Failure> {
    let path = config.server.data_dir.join(NewTokenFile::NAME);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(text) => ClientToken::parse(text.trim(), shown),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::wrong(format!(
            "no token: not logged in, COFFER_TOKEN is not set, and {shown} does not exist"
        ))
        .hint("Log in with `coffer login`, set COFFER_TOKEN, or pass the server's data directory with --data-dir.")),
        Err(error) => Err(Failure::wrong(format!("{shown}: {error}"))
            .hint("Log in with `coffer login`, set COFFER_TOKEN, or run this command as the server's user.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        url: Option<&str>,
        listen: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Destination, String> {
        let mut config = Config::default();
        config.server.listen = listen.parse().unwrap();
        config.server.data_dir = "/nonexistent".into();
        let variables = Variables::from_pairs(pairs.iter().copied());
        let requested = Requested { url, this_host: false };
        Destination::choose(requested, &config, &variables, || Ok(None))
            .map_err(|failure| failure.text())
    }

    fn base(url: Option<&str>, listen: &str, pairs: &[(&str, &str)]) -> String {
        let token = [("COFFER_TOKEN", "cof_x")];
        choose(url, listen, &[pairs, &token].concat())
            .map_or_else(|why| why, |destination| destination.base().to_owned())
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
        assert!(base(None, "127.0.0.1:0", &[]).starts_with("2 the server picks a free port"));
    }

    #[test]
    fn invalid_urls_are_not_repeated() {
        for bad in ["", "localhost:8420", "ftp://a", "http://", "http://a?b", "http://a#b", "a b"] {
            assert!(base(Some(bad), "127.0.0.1:1", &[]).starts_with("2 --url: must be"), "{bad}");
        }
        let message = base(Some("http://me:hunter2hunter2@a"), "127.0.0.1:1", &[]);
        assert!(message.contains("password") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn the_bootstrap_token_is_only_for_this_host() {
        let error = |url| choose(url, "10.0.0.5:1", &[]).err().unwrap();
        assert!(error(None).contains("/nonexistent/bootstrap-token"));
        assert!(error(Some("http://127.0.0.1:1")).contains("/nonexistent/bootstrap-token"));
        assert!(error(Some("http://[::1]:1")).contains("/nonexistent/bootstrap-token"));
        // Even the address of the configuration: as a URL it may belong to any host.
        assert!(error(Some("http://10.0.0.5:1")).contains("no token for http://10.0.0.5:1"));
        assert!(error(Some("https://example.com")).contains("no token for https://example.com"));
    }

    #[test]
    fn malformed_tokens_are_not_sent() {
        for bad in ["", "cof_a b", "cof_\n", "cof_\u{e9}"] {
            let message = choose(None, "127.0.0.1:1", &[("COFFER_TOKEN", bad)]).err().unwrap();
            assert!(
                message.starts_with("2 COFFER_TOKEN does not contain a valid token"),
                "{message}"
            );
        }
    }
}
