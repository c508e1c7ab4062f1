//! `coffer token`: API tokens.
//!
//! Must never: print a token, except once on stdout when it is created.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::api::{ApiClient, ApiResponse, ClientArguments, path_id};
use crate::cli::arguments::scope::{
    EnvironmentNames, ROLES, RequestScope, ResponseScope, ScopeArguments,
};
use crate::cli::commands::service_account::service_account_id;
use crate::cli::commands::user::user_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, format_time, optional, print, print_json, table};
use crate::cli::terminal::sanitize::clean;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Create an API token; it is shown only once
    Create(TokenCreateArguments),
    /// List API tokens
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Revoke a token immediately
    Revoke {
        /// Token id or name (not the token itself)
        #[arg(value_name = "ID-OR-NAME")]
        token: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TokenCreateArguments {
    /// Token name, as shown in lists and in the audit log
    name: String,
    /// Highest role of the token; the role of its owner also applies
    #[arg(long, value_parser = ROLES)]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Service account that owns the token [default: you]
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    service_account: Option<String>,
    /// User who owns the token
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=365))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenCreateRequest<'a> {
    name: &'a str,
    role: &'a str,
    #[serde(flatten)]
    scope: RequestScope,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_service_account_id: Option<String>,
    expires_in_days: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedToken {
    id: String,
    name: String,
    token_prefix: String,
    role: String,
    #[serde(flatten)]
    scope: ResponseScope,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    created_at: String,
}

/// The token is borrowed from the response, which is erased when dropped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenCreateResponse<'a> {
    token: &'a str,
    token_record: ListedToken,
}

#[derive(Deserialize)]
struct TokenList {
    tokens: Vec<ListedToken>,
}

const PATH: &str = "/api/admin/tokens";

impl TokenCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::List { client } => {
                let (client, format) = client.connect()?;
                let response = client.get(PATH)?;
                format.show(response.text(), || rows(&client, response.read::<TokenList>()?.tokens))
            }
            Self::Revoke { token, client } => {
                let (client, format) = client.connect()?;
                let (id, name) = find(&client.get(PATH)?, &token)?;
                let response = client.delete(&format!("{PATH}/{id}"))?;
                format.show(response.text(), || Ok(format!("revoked {} ({id})", clean(&name))))
            }
        }
    }
}

fn create(arguments: TokenCreateArguments) -> Result<(), Failure> {
    let TokenCreateArguments { name, role, scope, service_account, user, expires_in_days, client } =
        arguments;
    let (client, format) = client.connect()?;
    let scope = scope.resolve(&client)?;
    let owner_user_id = user.map(|email| user_id(&client, &email)).transpose()?;
    let owner_service_account_id =
        service_account.map(|name| service_account_id(&client, &name)).transpose()?;
    let body = TokenCreateRequest {
        name: &name,
        role: &role,
        scope,
        owner_user_id,
        owner_service_account_id,
        expires_in_days,
    };
    let response = client.post(PATH, &body)?;
    if format == OutputFormat::Json {
        return print_json(response.text());
    }
    // The token first: if the rest fails, the token could not be shown again.
    let TokenCreateResponse { token, token_record } = response.read()?;
    print(&Zeroizing::new(format!(
        "{}\n\nSave this token now. It will not be shown again.\n",
        clean(token)
    )))?;
    print(&rows(&client, vec![token_record])?)
}

/// Finds the id and name of the only token with this id or name.
fn find(response: &ApiResponse, wanted: &str) -> Result<(String, String), Failure> {
    if ["cof_", "cos_"].iter().any(|prefix| wanted.starts_with(prefix)) {
        // Not repeated, because scrollback and script logs keep what is printed.
        return Err(Failure::wrong("this is the token itself, not its id or name").hint(
            "Others may have seen it. Find its id with `coffer token list` and revoke it by id.",
        ));
    }
    let known = response.read::<TokenList>()?.tokens;
    let by_id = known.iter().find(|token| token.id == wanted);
    let named: Vec<_> = known.iter().filter(|token| token.name == wanted).collect();
    let found = match (by_id, named.as_slice()) {
        (Some(token), _) => token,
        (None, [token]) => token,
        (None, []) => {
            return Err(Failure::failed(format!("no token with id or name {wanted:?}"))
                .hint("List tokens: coffer token list"));
        }
        (None, several) => {
            let failure = Failure::failed(format!("{} tokens are named {wanted:?}", several.len()))
                .hint("Revoke one of them by id:");
            return Err(several.iter().fold(failure, |failure, token| {
                let created = format_time(&token.created_at);
                failure.hint(format!("  {}  {}  created {created}", token.id, token.token_prefix))
            }));
        }
    };
    Ok((path_id(found.id.clone())?, found.name.clone()))
}

fn rows(client: &ApiClient, tokens: Vec<ListedToken>) -> Result<String, Failure> {
    let names = EnvironmentNames::of(client, tokens.iter().map(|token| &token.scope))?;
    let row = |token: ListedToken| {
        let expires = token.expires_at.map_or("never".to_owned(), |at| format_time(&at));
        let used = optional(token.last_used_at.map(|at| format_time(&at)));
        let environments = names.cell(&token.scope);
        [token.name, token.role, environments, expires, used, token.token_prefix, token.id]
    };
    let headings = ["NAME", "ROLE", "ENVIRONMENTS", "EXPIRES", "LAST USED", "PREFIX", "ID"];
    Ok(table(headings, tokens.into_iter().map(row)))
}
