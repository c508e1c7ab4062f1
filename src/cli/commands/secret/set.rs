//! `coffer secret set` and `coffer secret generate`: a new value for a new or existing secret.

use std::ffi::{OsStr, OsString};

use clap::Args;
use serde::Serialize;

use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{ListedSecret, item_path, key, list_path, look_up};
use crate::cli::arguments::value::ValueArguments;
use crate::cli::commands::secret::table::show_one;
use crate::cli::terminal::error::Failure;
use crate::vault::Alphabet;

#[derive(Debug, Args)]
pub(in crate::cli) struct SecretSetArguments {
    /// Secret key
    key: String,
    /// Accepted only to refuse it with an explanation; see `value_in_arguments`.
    #[arg(value_name = "VALUE", hide = true)]
    given: Vec<OsString>,
    #[command(flatten)]
    value: ValueArguments,
    #[command(flatten)]
    properties: SecretPropertyArguments,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SecretGenerateArguments {
    /// Secret key
    key: String,
    /// Number of characters, up to 4096 [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    length: Option<u16>,
    /// Characters to use [default: alphanumeric]
    #[arg(long, value_name = "ALPHABET", value_parser = Alphabet::ALL.map(Alphabet::as_str))]
    alphabet: Option<String>,
    #[command(flatten)]
    properties: SecretPropertyArguments,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Debug, Args)]
struct SecretPropertyArguments {
    /// Make the secret write-only: nobody will be able to view any version; cannot be undone
    #[arg(long)]
    never_reveal: bool,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Serialize)]
struct GenerateRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alphabet: Option<&'a str>,
}

/// The body of a creation, with a key, or of a change, without one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<GenerateRequest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// `true` or missing: then the environment's settings decide about a new secret, and an
    /// existing one stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    never_reveal: Option<bool>,
}

impl SecretPropertyArguments {
    fn body(&self) -> SecretRequest<'_> {
        SecretRequest {
            key: None,
            value: None,
            generate: None,
            description: self.description.as_deref(),
            never_reveal: self.never_reveal.then_some(true),
        }
    }
}

impl SecretSetArguments {
    pub fn run(self) -> Result<(), Failure> {
        if !self.given.is_empty() || self.key.contains('=') {
            return Err(value_in_arguments());
        }
        let Self { key: name, value, properties, environment, .. } = self;
        let read = || value.read();
        put(&name, environment, |send| {
            let value = read()?;
            send(SecretRequest { value: Some(value.as_str()), ..properties.body() })
        })
    }
}

impl SecretGenerateArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { key: name, length, alphabet, properties, environment } = self;
        put(&name, environment, |send| {
            let generate = GenerateRequest { length, alphabet: alphabet.as_deref() };
            send(SecretRequest { generate: Some(generate), ..properties.body() })
        })
    }
}

/// Sends a body as a creation or a change.
type SendBody<'s> = &'s mut dyn FnMut(SecretRequest<'_>) -> Result<(), Failure>;

/// Creates or changes the secret. `with_body` makes the body, and prompts for the value, only
/// after everything else has been checked.
fn put(
    name: &str,
    environment: EnvironmentArguments,
    with_body: impl FnOnce(SendBody<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let key = key(name)?;
    let (client, format, environment) = environment.connect()?;
    let present = look_up::<ListedSecret>(&client, &environment, &key)?;
    with_body(&mut |body| {
        let response = match &present {
            Some(secret) => client.patch(&item_path(secret)?, &body)?,
            None => {
                let body = SecretRequest { key: Some(key.as_str()), ..body };
                client.post(&list_path::<ListedSecret>(&environment), &body)?
            }
        };
        show_one(format, &response)
    })
}

/// Whether these are the arguments of a command that takes a value. An unknown one among them may
/// be a value, and must not be printed.
pub(in crate::cli) fn takes_value(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<_> = arguments.into_iter().skip(1).take(2).collect();
    words == [OsStr::new("secret"), OsStr::new("set")]
}

/// Reports an unknown argument without repeating it.
pub(in crate::cli) fn unknown_argument() -> Failure {
    Failure::wrong("unknown argument, not shown because it may be a value: do not pass secret values as arguments").hint(
        "Run without a value to be prompted, or pass --stdin or --file FILE. \
         For the options: coffer secret set --help",
    )
}

/// Refuses a value in the arguments.
fn value_in_arguments() -> Failure {
    Failure::wrong("do not pass secret values as arguments: they show up in ps and shell history")
        .hint("Run without the value to be prompted, or pass --stdin or --file FILE.")
}
