//! `coffer var`: configuration of an environment that is not secret.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::arguments::environment::EnvironmentArguments;
use crate::cli::arguments::keyed::{Var, Vars, find, key, list_path, look_up, row_path};
use crate::cli::arguments::value::{ValueArguments, print_value};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{moment, or_nothing, print_json, table};
use crate::cli::terminal::prompt::confirm;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VarCommand {
    /// Give a var a value, and create it if need be
    Set(SetArguments),
    /// Show a var's value, and nothing else
    Get {
        /// Its key
        key: String,
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// List the vars
    List {
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
    /// Delete a var
    Rm {
        /// Its key
        key: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        environment: EnvironmentArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArguments {
    /// Its key
    key: String,
    /// Its value, which is no secret; or --stdin, or --file
    #[arg(value_name = "VALUE", conflicts_with_all = ["stdin", "file"])]
    given: Option<String>,
    #[command(flatten)]
    value: ValueArguments,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArguments,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Deserialize)]
struct One {
    var: Var,
}

impl VarCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(arguments) => set(arguments),
            Self::Get { key: name, environment } => {
                let key = key(&name)?;
                let json = environment.wants_json();
                let (client, _, environment) = environment.connect()?;
                let var = find::<Var>(&client, &environment, &key)?;
                if json {
                    // The row itself; the list around it was this command's own affair.
                    return print_json(&client.get(&row_path(&var)?)?);
                }
                print_value(&var.value)
            }
            Self::List { environment } => {
                let (client, form, environment) = environment.connect()?;
                let answer = client.get(&list_path::<Var>(&environment))?;
                form.show(&answer, || Ok(rows(answer.read::<Vars>()?.vars)))
            }
            Self::Rm { key: name, yes, environment } => {
                let key = key(&name)?;
                let (client, form, environment) = environment.connect()?;
                let var = find::<Var>(&client, &environment, &key)?;
                confirm(&format!("Delete the var {key} of {environment}?"), yes)?;
                let answer = client.delete(&row_path(&var)?)?;
                form.show(&answer, || Ok(format!("deleted {key}")))
            }
        }
    }
}

fn set(arguments: SetArguments) -> Result<(), Failure> {
    let SetArguments { key: name, given, value, description, environment } = arguments;
    let key = key(&name)?;
    let (client, form, environment) = environment.connect()?;
    let present = look_up::<Var>(&client, &environment, &key)?;
    let value = match given {
        Some(given) => Zeroizing::new(given),
        None if value.is_given() => value.read("value")?,
        None => {
            return Err(Failure::wrong("no value is given")
                .hint("Say it behind the key, or give it with --stdin or --file FILE."));
        }
    };
    let body = Body { key: None, value: &value, description: description.as_deref() };
    let answer = match &present {
        Some(var) => client.patch(&row_path(var)?, &body)?,
        None => {
            let body = Body { key: Some(key.as_str()), ..body };
            client.post(&list_path::<Var>(&environment), &body)?
        }
    };
    form.show(&answer, || Ok(rows([answer.read::<One>()?.var])))
}

fn rows(vars: impl IntoIterator<Item = Var>) -> String {
    let row = |one: Var| {
        let value = one.value.replace('\n', "\\n");
        [one.key, value, moment(&one.updated_at), or_nothing(one.description)]
    };
    table(["KEY", "VALUE", "UPDATED", "DESCRIPTION"], vars.into_iter().map(row))
}
