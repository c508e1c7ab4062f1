//! `coffer secret set` and `coffer secret generate`: a value for a key, whether or
//! not there is a secret with it already.

use std::ffi::{OsStr, OsString};

use clap::Args;
use serde::Serialize;

use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{key, list_path, look_up, row_path};
use crate::cli::arguments::value::ValueArguments;
use crate::cli::commands::secret::{Secret, show_one};
use crate::cli::terminal::error::Failure;
use crate::vault::Alphabet;

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArguments {
    /// Its key
    key: String,
    /// Refused: who can list processes could read it, and shells keep it.
    #[arg(value_name = "VALUE", hide = true)]
    given: Vec<OsString>,
    #[command(flatten)]
    value: ValueArguments,
    #[command(flatten)]
    about: AboutArguments,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GenerateArguments {
    /// Its key
    key: String,
    /// How many characters, up to 4096 [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    length: Option<u16>,
    /// Which characters [default: alphanumeric]
    #[arg(long, value_name = "ALPHABET", value_parser = Alphabet::ALL.map(Alphabet::as_str))]
    alphabet: Option<String>,
    #[command(flatten)]
    about: AboutArguments,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Debug, Args)]
struct AboutArguments {
    /// Write-only, for good: nobody can ever see any of its values
    #[arg(long)]
    never_reveal: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Serialize)]
struct Generate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alphabet: Option<&'a str>,
}

/// The body of a creation, with a key, or of a change, without one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<Generate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// Only ever `true`: without it the environment's settings decide about a new
    /// secret, and one that is there stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    never_reveal: Option<bool>,
}

impl AboutArguments {
    fn body(&self) -> Body<'_> {
        Body {
            key: None,
            value: None,
            generate: None,
            description: self.description.as_deref(),
            never_reveal: self.never_reveal.then_some(true),
        }
    }
}

impl SetArguments {
    pub fn run(self) -> Result<(), Failure> {
        if !self.given.is_empty() || self.key.contains('=') {
            return Err(no_value_here());
        }
        let Self { key: name, value, about, environment, .. } = self;
        let read = || value.read("value");
        put(&name, environment, |send| {
            let value = read()?;
            send(Body { value: Some(value.as_str()), ..about.body() })
        })
    }
}

impl GenerateArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { key: name, length, alphabet, about, environment } = self;
        put(&name, environment, |send| {
            let generate = Generate { length, alphabet: alphabet.as_deref() };
            send(Body { generate: Some(generate), ..about.body() })
        })
    }
}

type Send<'s> = &'s mut dyn FnMut(Body<'_>) -> Result<(), Failure>;

/// Creates the secret, or changes it. The body is made last: first what can be
/// wrong, then the person's effort.
fn put(
    name: &str,
    environment: EnvironmentArguments,
    with_body: impl FnOnce(Send<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let key = key(name)?;
    let (client, form, environment) = environment.connect()?;
    let present = look_up::<Secret>(&client, &environment, &key)?;
    with_body(&mut |body| {
        let answer = match &present {
            Some(secret) => client.patch(&row_path(secret)?, &body)?,
            None => {
                let body = Body { key: Some(key.as_str()), ..body };
                client.post(&list_path::<Secret>(&environment), &body)?
            }
        };
        show_one(form, &answer)
    })
}

/// Whether these are the words of a command that takes a value: then what is not
/// understood about them may be one, and is not repeated.
pub(in crate::cli) fn is_put(words: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<_> = words.into_iter().skip(1).take(2).collect();
    words == [OsStr::new("secret"), OsStr::new("set")]
}

/// Likewise, where the words themselves are not understood.
pub(in crate::cli) fn not_understood() -> Failure {
    Failure::wrong(
        "there is an argument that this command does not know. It is not shown, because it may \
         be a value, and a value is not taken from the arguments",
    )
    .hint(
        "Leave a value out to be asked for it, or give it with --stdin or --file FILE. \
         `coffer secret set --help` shows the options.",
    )
}

/// Why a value in the arguments is not taken.
fn no_value_here() -> Failure {
    Failure::wrong(
        "a value is not taken from the arguments: other processes of this machine can read \
         them, and shells write them down",
    )
    .hint("Leave it out to be asked for it, or give it with --stdin or --file FILE.")
}
