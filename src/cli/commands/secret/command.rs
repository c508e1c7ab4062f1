//! The subcommands of `coffer secret`.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::api::ApiClient;
use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{ListedSecret, SecretList, find, item_path, key, list_path};
use crate::cli::arguments::value;
use crate::cli::commands::secret::set::{SecretGenerateArguments, SecretSetArguments};
use crate::cli::commands::secret::table::{rows, show_one};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, format_time, print_json, table};
use crate::cli::terminal::prompt::confirm;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SecretCommand {
    /// Set a secret, creating it if it does not exist; prompts for the value
    Set(SecretSetArguments),
    /// Set a secret to a random value, created on the server and not shown
    Generate(SecretGenerateArguments),
    /// List secrets, without their values
    List {
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// Print the value of a secret
    Reveal(SecretKeyArguments),
    /// Delete a secret and all its versions
    Rm(SecretChangeArguments),
    /// List the stored versions of a secret, newest first
    Versions(SecretKeyArguments),
    /// Restore an old version, as a new version
    Activate {
        #[command(flatten)]
        key: SecretKeyArguments,
        /// Version number, from `coffer secret versions`
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
    },
    /// Make a secret and all its versions write-only; cannot be undone
    Latch(SecretChangeArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SecretKeyArguments {
    /// Secret key
    key: String,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

/// The arguments of a change that cannot be undone.
#[derive(Debug, Args)]
pub(in crate::cli) struct SecretChangeArguments {
    #[command(flatten)]
    key: SecretKeyArguments,
    /// Skip confirmation
    #[arg(long)]
    yes: bool,
}

#[derive(Deserialize)]
struct VersionList {
    versions: Vec<ListedVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedVersion {
    version: u32,
    created_at: String,
    created_by: String,
    active: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LatchRequest {
    never_reveal: bool,
}

impl SecretCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(arguments) => arguments.run(),
            Self::Generate(arguments) => arguments.run(),
            Self::List { environment } => {
                let (client, format, environment) = environment.connect()?;
                let response = client
                    .get(&list_path::<ListedSecret>(&environment))
                    .map_err(|error| error.naming_environment(&environment))?;
                format.show(response.text(), || Ok(rows(response.read::<SecretList>()?.secrets)))
            }
            Self::Reveal(arguments) => reveal(arguments),
            Self::Rm(arguments) => remove(arguments),
            Self::Versions(arguments) => {
                let FoundSecret { client, format, secret, .. } = arguments.find()?;
                let response = client.get(&format!("{}/versions", item_path(&secret)?))?;
                format.show(response.text(), || Ok(version_rows(response.read()?)))
            }
            Self::Activate { key, version } => {
                let FoundSecret { client, format, secret, .. } = key.find()?;
                let path = format!("{}/versions/{version}/activate", item_path(&secret)?);
                show_one(format, &client.post_empty(&path)?)
            }
            Self::Latch(arguments) => latch(arguments),
        }
    }
}

/// A secret, and what is needed to work on it.
struct FoundSecret {
    client: ApiClient,
    format: OutputFormat,
    environment: String,
    secret: ListedSecret,
}

impl SecretKeyArguments {
    fn find(self) -> Result<FoundSecret, Failure> {
        let key = key(&self.key)?;
        let (client, format, environment) = self.environment.connect()?;
        let secret = find(&client, &environment, &key)?;
        Ok(FoundSecret { client, format, environment, secret })
    }
}

fn reveal(arguments: SecretKeyArguments) -> Result<(), Failure> {
    // Also in a pipe: programs want the value of this command, not JSON.
    let json = arguments.environment.wants_json();
    let FoundSecret { client, secret, .. } = arguments.find()?;
    let response = client.get(&format!("{}/value", item_path(&secret)?))?;
    if json { print_json(response.text()) } else { value::print_response_value(&response) }
}

fn remove(arguments: SecretChangeArguments) -> Result<(), Failure> {
    let FoundSecret { client, format, environment, secret } = arguments.key.find()?;
    let key = &secret.key;
    let question = format!("Permanently delete {key} and all its versions from {environment}?");
    confirm(&question, arguments.yes)?;
    let response = client.delete(&item_path(&secret)?)?;
    format.show(response.text(), || Ok(format!("deleted {key}")))
}

fn latch(arguments: SecretChangeArguments) -> Result<(), Failure> {
    let FoundSecret { client, format, environment, secret } = arguments.key.find()?;
    if !secret.never_reveal {
        let question = format!(
            "Make {} in {environment} write-only? Nobody, including admins, will be able to view any version of it. This cannot be undone.",
            secret.key
        );
        confirm(&question, arguments.yes)?;
    }
    let response = client.patch(&item_path(&secret)?, &LatchRequest { never_reveal: true })?;
    show_one(format, &response)
}

fn version_rows(response: VersionList) -> String {
    let row = |one: ListedVersion| {
        let active = if one.active { "yes" } else { "" };
        [one.version.to_string(), active.to_owned(), format_time(&one.created_at), one.created_by]
    };
    table(["VERSION", "CURRENT", "CREATED", "BY"], response.versions.into_iter().map(row))
}
