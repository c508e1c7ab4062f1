//! `coffer service-account`: accounts for machines, which hold tokens.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::api::{ApiClient, ApiResponse, ClientArguments, ClientError, path_id};
use crate::cli::arguments::scope::{
    EnvironmentNames, ROLES, RequestScope, ResponseScope, ScopeArguments,
};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{optional, table};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceAccountCommand {
    /// Create a service account; add a token with `coffer token create`
    Create(ServiceAccountCreateArguments),
    /// List service accounts
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Delete a service account and revoke its tokens
    Delete {
        /// Service account name
        name: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceAccountCreateArguments {
    /// Name: lower-case letters, digits, '_' and '-'
    name: String,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Role
    #[arg(long, value_parser = ROLES, default_value = "viewer")]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
struct ServiceAccountCreateRequest<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    role: &'a str,
    #[serde(flatten)]
    scope: RequestScope,
}

#[derive(Deserialize)]
struct ListedServiceAccount {
    id: String,
    name: String,
    description: Option<String>,
    role: String,
    #[serde(flatten)]
    scope: ResponseScope,
    disabled: bool,
    #[serde(rename = "_count")]
    count: ServiceAccountCounts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccountCounts {
    api_tokens: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccountResponse {
    service_account: ListedServiceAccount,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccountList {
    service_accounts: Vec<ListedServiceAccount>,
}

const PATH: &str = "/api/admin/service-accounts";

impl ServiceAccountCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::List { client } => {
                let (client, format) = client.connect()?;
                let response = service_accounts(&client)?;
                format.show(response.text(), || {
                    rows(&client, response.read::<ServiceAccountList>()?.service_accounts)
                })
            }
            Self::Delete { name, client } => {
                let (client, format) = client.connect()?;
                let id = service_account_id(&client, &name)?;
                let response = client.delete(&format!("{PATH}/{id}"))?;
                format
                    .show(response.text(), || Ok(format!("deleted {name} and revoked its tokens")))
            }
        }
    }
}

fn create(arguments: ServiceAccountCreateArguments) -> Result<(), Failure> {
    let ServiceAccountCreateArguments { name, description, role, scope, client } = arguments;
    let (client, format) = client.connect()?;
    let scope = scope.resolve(&client)?;
    let description = description.as_deref();
    let body = ServiceAccountCreateRequest { name: &name, description, role: &role, scope };
    let response = client.post(PATH, &body)?;
    format.show(response.text(), || {
        rows(&client, vec![response.read::<ServiceAccountResponse>()?.service_account])
    })
}

fn service_accounts(client: &ApiClient) -> Result<ApiResponse, ClientError> {
    client.get(PATH)
}

/// Looks up the id of the service account with this name.
pub(in crate::cli) fn service_account_id(
    client: &ApiClient,
    name: &str,
) -> Result<String, Failure> {
    let known = service_accounts(client)?.read::<ServiceAccountList>()?.service_accounts;
    let found = known.into_iter().find(|one| one.name == name).ok_or_else(|| {
        Failure::failed(format!("no service account named {name:?}"))
            .hint("List service accounts: coffer service-account list")
    })?;
    Ok(path_id(found.id)?)
}

fn rows(client: &ApiClient, accounts: Vec<ListedServiceAccount>) -> Result<String, Failure> {
    let names = EnvironmentNames::of(client, accounts.iter().map(|one| &one.scope))?;
    let row = |one: ListedServiceAccount| {
        let state = if one.disabled { "disabled" } else { "enabled" };
        let (environments, tokens) = (names.cell(&one.scope), one.count.api_tokens.to_string());
        let description = optional(one.description);
        [one.name, one.role, environments, state.to_owned(), tokens, description]
    };
    let headings = ["NAME", "ROLE", "ENVIRONMENTS", "STATE", "TOKENS", "DESCRIPTION"];
    Ok(table(headings, accounts.into_iter().map(row)))
}
