//! `coffer secret`: secrets of an environment.
//!
//! Must never: take a value from the arguments; print one that nobody asked to
//! see.

mod put;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{Secret, Secrets, find, key, list_path, row_path};
use crate::cli::arguments::value;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{Form, clean, moment, or_nothing, print_json, table};
use crate::cli::terminal::prompt::confirm;

pub(in crate::cli) use put::{is_put, not_understood};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SecretCommand {
    /// Give a secret a value; asks for it, and creates the secret if need be
    Set(put::SetArguments),
    /// Give a secret a value that the server makes and nobody sees
    Generate(put::GenerateArguments),
    /// List the secrets, without their values
    List {
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// Show a secret's value, and nothing else
    Reveal(KeyArguments),
    /// Delete a secret and all its versions
    Rm(SureArguments),
    /// List the versions that are kept, newest first
    Versions(KeyArguments),
    /// Put an old version in force again, as a new version
    Activate {
        #[command(flatten)]
        key: KeyArguments,
        /// Its number in `coffer secret versions`
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
    },
    /// Make a secret write-only, in all its versions and for good
    Latch(SureArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct KeyArguments {
    /// Its key
    key: String,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SureArguments {
    #[command(flatten)]
    key: KeyArguments,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Deserialize)]
struct One {
    secret: Secret,
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: u32,
    created_at: String,
    created_by: String,
    active: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Latch {
    never_reveal: bool,
}

impl SecretCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(arguments) => arguments.run(),
            Self::Generate(arguments) => arguments.run(),
            Self::List { environment } => {
                let (client, form, environment) = environment.connect()?;
                let answer = client.get(&list_path::<Secret>(&environment))?;
                form.show(&answer, || Ok(rows(answer.read::<Secrets>()?.secrets)))
            }
            Self::Reveal(arguments) => reveal(arguments),
            Self::Rm(arguments) => remove(arguments),
            Self::Versions(arguments) => {
                let key = key(&arguments.key)?;
                let (client, form, environment) = arguments.environment.connect()?;
                let secret = find::<Secret>(&client, &environment, &key)?;
                let answer = client.get(&format!("{}/versions", row_path(&secret)?))?;
                form.show(&answer, || Ok(versions(answer.read()?)))
            }
            Self::Activate { key: arguments, version } => {
                let key = key(&arguments.key)?;
                let (client, form, environment) = arguments.environment.connect()?;
                let secret = find::<Secret>(&client, &environment, &key)?;
                let path = format!("{}/versions/{version}/activate", row_path(&secret)?);
                let answer = client.send_empty(&path)?;
                form.show(&answer, || Ok(rows([answer.read::<One>()?.secret])))
            }
            Self::Latch(arguments) => latch(arguments),
        }
    }
}

fn reveal(arguments: KeyArguments) -> Result<(), Failure> {
    let key = key(&arguments.key)?;
    let json = arguments.environment.wants_json();
    let (client, _, environment) = arguments.environment.connect()?;
    let secret = find::<Secret>(&client, &environment, &key)?;
    let answer = client.get(&format!("{}/value", row_path(&secret)?))?;
    // In a pipe, too: what a program wants of this command is the value.
    if json { print_json(&answer) } else { value::print_exactly(&answer) }
}

fn remove(arguments: SureArguments) -> Result<(), Failure> {
    let SureArguments { key: KeyArguments { key: name, environment }, yes } = arguments;
    let key = key(&name)?;
    let (client, form, environment) = environment.connect()?;
    let secret = find::<Secret>(&client, &environment, &key)?;
    confirm(&format!("Delete the secret {key} of {environment} with all its versions?"), yes)?;
    let answer = client.delete(&row_path(&secret)?)?;
    form.show(&answer, || Ok(format!("deleted {key}")))
}

fn latch(arguments: SureArguments) -> Result<(), Failure> {
    let SureArguments { key: KeyArguments { key: name, environment }, yes } = arguments;
    let key = key(&name)?;
    let (client, form, environment) = environment.connect()?;
    let secret = find::<Secret>(&client, &environment, &key)?;
    if !secret.never_reveal {
        let question =
            format!("Make {key} of {environment} write-only? Nobody can ever see it again.");
        confirm(&question, yes)?;
    }
    let answer = client.patch(&row_path(&secret)?, &Latch { never_reveal: true })?;
    form.show(&answer, || Ok(rows([answer.read::<One>()?.secret])))
}

fn show_one(form: Form, answer: &crate::cli::api::Answer) -> Result<(), Failure> {
    form.show(answer, || Ok(rows([answer.read::<One>()?.secret])))
}

/// Secrets as a table.
pub(in crate::cli) fn rows(secrets: impl IntoIterator<Item = Secret>) -> String {
    let row = |one: Secret| {
        let mode = if one.never_reveal { "never" } else { "by admins" };
        let version = one.version.to_string();
        let described = clean(&or_nothing(one.description));
        [one.key, version, mode.to_owned(), moment(&one.updated_at), described]
    };
    let headings = ["KEY", "VERSION", "REVEAL", "UPDATED", "DESCRIPTION"];
    table(headings, secrets.into_iter().map(row))
}

fn versions(answer: Versions) -> String {
    let row = |one: Version| {
        let active = if one.active { "yes" } else { "" };
        [one.version.to_string(), active.to_owned(), moment(&one.created_at), one.created_by]
    };
    table(["VERSION", "ACTIVE", "CREATED", "BY"], answer.versions.into_iter().map(row))
}
