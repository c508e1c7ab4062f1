//! `coffer env`: environments.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::cli::api::ClientArguments;
use crate::cli::arguments::environment::{name_or_id, new_name};
use crate::cli::arguments::scope::{EnvironmentList, ListedEnvironment, environments};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{format_time, optional, table};
use crate::cli::terminal::prompt::confirm;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EnvCommand {
    /// Create an environment
    Create {
        /// Environment name: letters, digits, '.', '_' and '-'; cannot be changed later
        #[arg(value_parser = new_name)]
        name: String,
        /// Display name
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// List environments
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Delete an environment and destroy its data keys
    Delete {
        /// Environment name or id
        #[arg(value_parser = name_or_id)]
        name: String,
        /// Delete it even if it contains secrets, which only a backup can bring back
        #[arg(long)]
        force: bool,
        /// Skip confirmation
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentCreateRequest<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
}

#[derive(Deserialize)]
struct EnvironmentResponse {
    environment: ListedEnvironment,
}

impl EnvCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create { name, display_name, client } => {
                let (client, format) = client.connect()?;
                let display_name = display_name.as_deref();
                let body = EnvironmentCreateRequest { name: &name, display_name };
                let response = client.post("/api/environments", &body)?;
                format.show(response.text(), || {
                    Ok(rows([response.read::<EnvironmentResponse>()?.environment]))
                })
            }
            Self::List { client } => {
                let (client, format) = client.connect()?;
                let response = environments(&client)?;
                format.show(response.text(), || {
                    Ok(rows(response.read::<EnvironmentList>()?.environments))
                })
            }
            Self::Delete { name, force, yes, client } => {
                let (client, format) = client.connect()?;
                let what = if force { " and everything in it" } else { "" };
                confirm(&format!("Permanently delete environment {name}{what}?"), yes)?;
                let query = if force { "?force=true" } else { "" };
                // A valid name or id needs no escaping.
                let response = client.delete(&format!("/api/environments/{name}{query}"))?;
                format.show(response.text(), || Ok(format!("deleted {name}")))
            }
        }
    }
}

fn rows(environments: impl IntoIterator<Item = ListedEnvironment>) -> String {
    let row = |one: ListedEnvironment| {
        let (secrets, vars) = (one.count.secrets.to_string(), one.count.vars.to_string());
        let created = format_time(&one.created_at);
        [one.name, optional(one.display_name), secrets, vars, created, one.id]
    };
    let headings = ["NAME", "DISPLAY NAME", "SECRETS", "VARS", "CREATED", "ID"];
    table(headings, environments.into_iter().map(row))
}
