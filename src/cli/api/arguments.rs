//! The arguments that choose the server. The token never comes from the arguments, which other
//! processes of the machine can read; see `destination`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::api::client::ApiClient;
use crate::cli::api::destination::{Destination, Requested, named_base};
use crate::cli::api::login_file::{self, Login, LoginFile};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::OutputFormat;
use crate::config::{self, Config, Variables};

/// Which server to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in crate::cli) struct ServerArguments {
    /// Server URL [default: COFFER_URL, the last login, or the listen address in the
    /// configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory of the server on this host; its bootstrap token is used [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The arguments of every command that sends requests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(in crate::cli) struct ClientArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// Print the server's JSON response (the default when stdout is not a terminal)
    #[arg(long)]
    pub json: bool,
}

impl ClientArguments {
    /// Chooses the server, the token and the output format.
    pub fn connect(self) -> Result<(ApiClient, OutputFormat), Failure> {
        let format = OutputFormat::choose(self.json);
        let (config, variables) = self.server.load()?;
        Ok((self.server.client(&config, &variables)?, format))
    }
}

impl ServerArguments {
    /// Loads the configuration, with the data directory that the arguments give.
    pub fn load(&self) -> Result<(Config, Variables), Failure> {
        let variables = Variables::of_process()?;
        let mut config = config::load(self.config.as_deref(), &variables)?;
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        Ok((config, variables))
    }

    /// A client for the chosen server, with the chosen token.
    pub fn client(&self, config: &Config, variables: &Variables) -> Result<ApiClient, Failure> {
        let logins = || LoginFile::load(login_file::path_of_process());
        let destination = Destination::choose(self.requested(), config, variables, logins)?;
        destination.warn_if_unencrypted("the token");
        Ok(ApiClient::new(destination))
    }

    /// A client without a token, for logging in.
    pub fn client_without_token(
        &self,
        config: &Config,
        variables: &Variables,
        logins: &LoginFile,
    ) -> Result<ApiClient, Failure> {
        let destination = Destination::for_login(self.requested(), config, variables, logins)?;
        destination.warn_if_unencrypted("the password");
        Ok(ApiClient::new(destination))
    }

    /// The login to end: the one for the named server, else the newest.
    pub fn login<'a>(
        &self,
        variables: &Variables,
        logins: &'a LoginFile,
    ) -> Result<Option<&'a Login>, Failure> {
        Ok(match named_base(self.url.as_deref(), variables)? {
            Some(base) => logins.get(&base),
            None => logins.newest(),
        })
    }

    /// The same arguments with another URL.
    pub fn at(&self, url: &str) -> Self {
        let Self { config, data_dir, .. } = self;
        Self { url: Some(url.to_owned()), config: config.clone(), data_dir: data_dir.clone() }
    }

    /// Whether an address of a server is given, by an argument or a variable.
    pub fn names_server(&self, variables: &Variables) -> bool {
        self.url.is_some() || variables.given("COFFER_URL").is_some()
    }

    /// Whether a command that can do both reads the data directory instead of asking a server:
    /// with `--offline`, and when a data directory is given and no address.
    pub fn is_offline(&self, offline: bool, variables: &Variables) -> bool {
        offline || (self.data_dir.is_some() && !self.names_server(variables))
    }

    fn requested(&self) -> Requested<'_> {
        let this_host = self.data_dir.is_some() || self.config.is_some();
        Requested { url: self.url.as_deref(), this_host }
    }
}
