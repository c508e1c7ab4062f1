//! Which environment a command works on: --env, else COFFER_ENV.
//!
//! Must never: guess one. A value in the wrong environment is exposed to everyone who can read
//! that environment.

use clap::Args;

use crate::cli::api::{ApiClient, ClientArguments};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::OutputFormat;
use crate::config::Variables;
use crate::domain::{EnvironmentId, EnvironmentName};

#[derive(Debug, Args)]
pub(in crate::cli) struct EnvironmentArguments {
    /// Environment name or id [default: COFFER_ENV]
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    env: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

impl EnvironmentArguments {
    /// Whether --json is given, for commands that print no JSON by default, not even in a pipe.
    pub fn wants_json(&self) -> bool {
        self.client.json
    }

    /// Chooses the server, the token, the output format and the environment, which may go into a
    /// path as it is.
    pub fn connect(self) -> Result<(ApiClient, OutputFormat, String), Failure> {
        let environment = match self.env {
            Some(env) => env,
            None => from_variable(&Variables::of_process()?)?,
        };
        let (client, format) = self.client.connect()?;
        Ok((client, format, environment))
    }
}

fn from_variable(variables: &Variables) -> Result<String, Failure> {
    let Some(env) = variables.given("COFFER_ENV") else {
        return Err(Failure::wrong("no environment given")
            .hint("Pass one with --env or COFFER_ENV. To list them: coffer env list"));
    };
    name_or_id(env).map_err(|rule| Failure::wrong(format!("COFFER_ENV {rule}")))
}

/// Parses an environment name. The characters of a valid one need no escaping in a path.
pub(in crate::cli) fn new_name(text: &str) -> Result<String, &'static str> {
    EnvironmentName::parse(text).map(|_| text.to_owned()).map_err(|violation| violation.0)
}

/// Parses an environment name or id.
pub(in crate::cli) fn name_or_id(text: &str) -> Result<String, &'static str> {
    if text.parse::<EnvironmentId>().is_ok() { Ok(text.to_owned()) } else { new_name(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_environment_is_an_error() {
        let read = |pairs: &[(&str, &str)]| {
            from_variable(&Variables::from_pairs(pairs.iter().copied()))
                .map_err(|failure| failure.text())
        };
        assert_eq!(read(&[("COFFER_ENV", "prod")]).as_deref(), Ok("prod"));
        for none in [&[][..], &[("COFFER_ENV", "")]] {
            assert!(read(none).unwrap_err().starts_with("2 no environment given\nPass one"));
        }
        assert!(read(&[("COFFER_ENV", "../x")]).unwrap_err().starts_with("2 COFFER_ENV must be"));
    }
}
