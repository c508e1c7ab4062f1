//! Which environment a command is about.
//!
//! ```text
//! --env, COFFER_ENV
//! ```
//!
//! Must never: guess one. A value that went into the wrong environment is in the
//! hands of whoever reads that one.

use clap::Args;

use crate::cli::api::{Client, ClientArguments};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::Form;
use crate::config::Variables;
use crate::domain::{EnvironmentId, EnvironmentName};

#[derive(Debug, Args)]
pub(in crate::cli) struct EnvironmentArguments {
    /// The environment, by its name or id [default: COFFER_ENV]
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    env: Option<String>,
    #[command(flatten)]
    client: ClientArguments,
}

impl EnvironmentArguments {
    /// Whether --json was said, for commands whose answer in a pipe is no JSON.
    pub fn wants_json(&self) -> bool {
        self.client.json
    }

    /// Finds the server and the token; the environment is for the path.
    pub fn connect(self) -> Result<(Client, Form, String), Failure> {
        let environment = match self.env {
            Some(env) => env,
            None => from_variable(&Variables::of_process()?)?,
        };
        let (client, form) = self.client.connect()?;
        Ok((client, form, environment))
    }
}

fn from_variable(variables: &Variables) -> Result<String, Failure> {
    let Some(env) = variables.given("COFFER_ENV") else {
        return Err(Failure::wrong("no environment is named")
            .hint("Name one with --env or COFFER_ENV; `coffer env list` shows those there are."));
    };
    name_or_id(env).map_err(|rule| Failure::wrong(format!("COFFER_ENV {rule}")))
}

/// The name of an environment. Its rule leaves nothing to encode in a path.
pub(in crate::cli) fn new_name(text: &str) -> Result<String, &'static str> {
    EnvironmentName::parse(text).map(|_| text.to_owned()).map_err(|violation| violation.0)
}

/// A name or an id.
pub(in crate::cli) fn name_or_id(text: &str) -> Result<String, &'static str> {
    if text.parse::<EnvironmentId>().is_ok() { Ok(text.to_owned()) } else { new_name(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_named_or_it_is_an_error() {
        let read = |pairs: &[(&str, &str)]| {
            from_variable(&Variables::from_pairs(pairs.iter().copied()))
                .map_err(|failure| failure.text())
        };
        assert_eq!(read(&[("COFFER_ENV", "prod")]).as_deref(), Ok("prod"));
        for none in [&[][..], &[("COFFER_ENV", "")]] {
            assert!(read(none).unwrap_err().starts_with("2 no environment is named\nName one"));
        }
        assert!(read(&[("COFFER_ENV", "../x")]).unwrap_err().starts_with("2 COFFER_ENV must be"));
    }
}
