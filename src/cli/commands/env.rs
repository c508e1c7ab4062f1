//! `coffer env`: environments.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::cli::api::ClientArguments;
use crate::cli::arguments::environment::{name_or_id, new_name};
use crate::cli::arguments::scope::{Environment, Environments, environments};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{moment, or_nothing, table};
use crate::cli::terminal::prompt::confirm;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EnvCommand {
    /// Create an environment
    Create {
        /// Its name: letters, digits, '.', '_' and '-'
        #[arg(value_parser = new_name)]
        name: String,
        /// What it is called on screen
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// List the environments
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Delete an environment and destroy its data keys
    Delete {
        /// Its name or id
        #[arg(value_parser = name_or_id)]
        name: String,
        /// Even if it holds secrets: they go with it, for good
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct New<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
}

#[derive(Deserialize)]
struct One {
    environment: Environment,
}

impl EnvCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, display_name, client } => {
                let (client, form) = client.connect()?;
                let new = New { name: &name, display_name: display_name.as_deref() };
                let answer = client.post("/api/environments", &new)?;
                form.show(&answer, || Ok(rows([answer.read::<One>()?.environment])))
            }
            Self::List { client } => {
                let (client, form) = client.connect()?;
                let answer = environments(&client)?;
                form.show(&answer, || Ok(rows(answer.read::<Environments>()?.environments)))
            }
            Self::Delete { name, force, yes, client } => {
                let (client, form) = client.connect()?;
                let what = if force { " with everything in it" } else { "" };
                confirm(&format!("Delete the environment {name}{what}?"), yes)?;
                let query = if force { "?force=true" } else { "" };
                // The rule of names and ids leaves nothing to encode.
                let answer = client.delete(&format!("/api/environments/{name}{query}"))?;
                form.show(&answer, || Ok(format!("deleted {name}")))
            }
        }
    }
}

fn rows(environments: impl IntoIterator<Item = Environment>) -> String {
    let row = |one: Environment| {
        let (secrets, vars) = (one.count.secrets.to_string(), one.count.vars.to_string());
        [one.name, or_nothing(one.display_name), secrets, vars, moment(&one.created_at), one.id]
    };
    let headings = ["NAME", "DISPLAY NAME", "SECRETS", "VARS", "CREATED", "ID"];
    table(headings, environments.into_iter().map(row))
}
