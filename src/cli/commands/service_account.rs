//! `coffer service-account`: machines that hold tokens.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::api::{Answer, Client, ClientArguments};
use crate::cli::arguments::scope::{Names, ROLES, Scope, ScopeArguments, ScopeShown};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{or_nothing, table};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceAccountCommand {
    /// Create a service account; then give it a token with `coffer token create`
    Create(CreateArguments),
    /// List the service accounts
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Delete a service account; ends all its tokens
    Delete {
        /// Its name
        name: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    /// Its name: lower-case letters, digits, '_' and '-'
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What it may do
    #[arg(long, value_parser = ROLES, default_value = "viewer")]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    role: &'a str,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Deserialize)]
struct ServiceAccount {
    id: String,
    name: String,
    description: Option<String>,
    role: String,
    #[serde(flatten)]
    scope: ScopeShown,
    disabled: bool,
    #[serde(rename = "_count")]
    count: Count,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    api_tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    service_account: ServiceAccount,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Many {
    service_accounts: Vec<ServiceAccount>,
}

const PATH: &str = "/api/admin/service-accounts";

impl ServiceAccountCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => {
                let CreateArguments { name, description, role, scope, client } = arguments;
                let (client, form) = client.connect()?;
                let scope = scope.resolve(&client)?;
                let description = description.as_deref();
                let new = New { name: &name, description, role: &role, scope };
                let answer = client.post(PATH, &new)?;
                form.show(&answer, || rows(&client, vec![answer.read::<One>()?.service_account]))
            }
            Self::List { client } => {
                let (client, form) = client.connect()?;
                let answer = service_accounts(&client)?;
                form.show(&answer, || rows(&client, answer.read::<Many>()?.service_accounts))
            }
            Self::Delete { name, client } => {
                let (client, form) = client.connect()?;
                let id = service_account_id(&client, &name)?;
                let answer = client.delete(&format!("{PATH}/{id}"))?;
                form.show(&answer, || Ok(format!("deleted {name}; its tokens have ended")))
            }
        }
    }
}

fn service_accounts(client: &Client) -> Result<Answer, Failure> {
    client.get(PATH)
}

/// The id of the service account with this name.
pub(in crate::cli) fn service_account_id(client: &Client, name: &str) -> Result<String, Failure> {
    let known = service_accounts(client)?.read::<Many>()?.service_accounts;
    let found = known.into_iter().find(|one| one.name == name).ok_or_else(|| {
        Failure::failed(format!("there is no service account {name:?}"))
            .hint("`coffer service-account list` shows those there are.")
    })?;
    crate::cli::api::path_id(found.id)
}

fn rows(client: &Client, accounts: Vec<ServiceAccount>) -> Result<String, Failure> {
    let names = Names::of(client, accounts.iter().map(|one| &one.scope))?;
    let row = |one: ServiceAccount| {
        let state = if one.disabled { "disabled" } else { "enabled" };
        let (environments, tokens) = (names.cell(&one.scope), one.count.api_tokens.to_string());
        let description = or_nothing(one.description);
        [one.name, one.role, environments, state.to_owned(), tokens, description]
    };
    let headings = ["NAME", "ROLE", "ENVIRONMENTS", "STATE", "TOKENS", "DESCRIPTION"];
    Ok(table(headings, accounts.into_iter().map(row)))
}
