//! `coffer var`: variables, the values of an environment that are not secret.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{ListedVar, VarList, find, item_path, key, list_path, look_up};
use crate::cli::arguments::value::{ValueArguments, print_value};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{format_time, optional, print_json, table};
use crate::cli::terminal::prompt::confirm;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VarCommand {
    /// Set a variable, creating it if it does not exist
    Set(VarSetArguments),
    /// Print the value of a variable
    Get {
        /// Variable key
        key: String,
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// List variables
    List {
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// Delete a variable
    Rm {
        /// Variable key
        key: String,
        /// Skip confirmation
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VarSetArguments {
    /// Variable key
    key: String,
    /// Value (not for secrets); alternatives: --stdin, --file
    #[arg(value_name = "VALUE", conflicts_with_all = ["stdin", "file"])]
    given: Option<String>,
    #[command(flatten)]
    value: ValueArguments,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

/// The body of a creation, with a key, or of a change, without one.
#[derive(Serialize)]
struct VarRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Deserialize)]
struct VarResponse {
    var: ListedVar,
}

impl VarCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(arguments) => set(arguments),
            Self::Get { key: name, environment } => {
                let key = key(&name)?;
                let json = environment.wants_json();
                let (client, _, environment) = environment.connect()?;
                let var = find::<ListedVar>(&client, &environment, &key)?;
                if json {
                    // The response for this one variable, not the list that it was found in.
                    return print_json(client.get(&item_path(&var)?)?.text());
                }
                print_value(&var.value)
            }
            Self::List { environment } => {
                let (client, format, environment) = environment.connect()?;
                let response = client
                    .get(&list_path::<ListedVar>(&environment))
                    .map_err(|error| error.naming_environment(&environment))?;
                format.show(response.text(), || Ok(rows(response.read::<VarList>()?.vars)))
            }
            Self::Rm { key: name, yes, environment } => {
                let key = key(&name)?;
                let (client, format, environment) = environment.connect()?;
                let var = find::<ListedVar>(&client, &environment, &key)?;
                confirm(&format!("Permanently delete {key} from {environment}?"), yes)?;
                let response = client.delete(&item_path(&var)?)?;
                format.show(response.text(), || Ok(format!("deleted {key}")))
            }
        }
    }
}

fn set(arguments: VarSetArguments) -> Result<(), Failure> {
    let VarSetArguments { key: name, given, value, description, environment } = arguments;
    let key = key(&name)?;
    let (client, format, environment) = environment.connect()?;
    let present = look_up::<ListedVar>(&client, &environment, &key)?;
    let value = match given {
        Some(given) => Zeroizing::new(given),
        None if value.is_given() => value.read()?,
        None => {
            return Err(Failure::wrong("no value given")
                .hint("Pass it after the key, or with --stdin or --file FILE."));
        }
    };
    let body = VarRequest { key: None, value: &value, description: description.as_deref() };
    let response = match &present {
        Some(var) => client.patch(&item_path(var)?, &body)?,
        None => {
            let body = VarRequest { key: Some(key.as_str()), ..body };
            client.post(&list_path::<ListedVar>(&environment), &body)?
        }
    };
    format.show(response.text(), || Ok(rows([response.read::<VarResponse>()?.var])))
}

fn rows(vars: impl IntoIterator<Item = ListedVar>) -> String {
    let row = |one: ListedVar| {
        let value = one.value.replace('\n', "\\n");
        [one.key, value, format_time(&one.updated_at), optional(one.description)]
    };
    table(["KEY", "VALUE", "UPDATED", "DESCRIPTION"], vars.into_iter().map(row))
}
