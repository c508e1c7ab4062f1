//! `coffer token`: API tokens.
//!
//! Must never: print a token anywhere but on stdout, once, when it is made.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::api::{Answer, Client, ClientArguments};
use crate::cli::arguments::scope::{Names, ROLES, Scope, ScopeArguments, ScopeShown};
use crate::cli::commands::service_account::service_account_id;
use crate::cli::commands::user::user_id;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{Form, clean, moment, or_nothing, print, print_json, table};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Make an API token; it is shown this once
    Create(CreateArguments),
    /// List the tokens, without the tokens themselves
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// End a token, at once
    Revoke {
        /// Its id or its name (not the token itself)
        #[arg(value_name = "ID-OR-NAME")]
        token: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    /// What it is called in lists and in the audit log
    name: String,
    /// What it may do, at most; its owner's role is a limit, too
    #[arg(long, value_parser = ROLES)]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    /// The service account that it is for [default: whoever makes it]
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    service_account: Option<String>,
    /// The user that it is for
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
    /// It stops working after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=365))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct New<'a> {
    name: &'a str,
    role: &'a str,
    #[serde(flatten)]
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_service_account_id: Option<String>,
    expires_in_days: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    name: String,
    token_prefix: String,
    role: String,
    #[serde(flatten)]
    scope: ScopeShown,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    created_at: String,
}

/// The token is borrowed from the answer, which is erased when dropped.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    token: &'a str,
    token_record: Token,
}

#[derive(Deserialize)]
struct Many {
    tokens: Vec<Token>,
}

const PATH: &str = "/api/admin/tokens";

impl TokenCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::List { client } => {
                let (client, form) = client.connect()?;
                let answer = client.get(PATH)?;
                form.show(&answer, || rows(&client, answer.read::<Many>()?.tokens))
            }
            Self::Revoke { token, client } => {
                let (client, form) = client.connect()?;
                let (id, name) = find(&client.get(PATH)?, &token)?;
                let answer = client.delete(&format!("{PATH}/{id}"))?;
                form.show(&answer, || Ok(format!("revoked {} ({id})", clean(&name))))
            }
        }
    }
}

fn create(arguments: CreateArguments) -> Result<(), Failure> {
    let CreateArguments { name, role, scope, service_account, user, expires_in_days, client } =
        arguments;
    let (client, form) = client.connect()?;
    let scope = scope.resolve(&client)?;
    let owner_user_id = user.map(|email| user_id(&client, &email)).transpose()?;
    let owner_service_account_id =
        service_account.map(|name| service_account_id(&client, &name)).transpose()?;
    let new = New {
        name: &name,
        role: &role,
        scope,
        owner_user_id,
        owner_service_account_id,
        expires_in_days,
    };
    let answer = client.post(PATH, &new)?;
    if form == Form::Json {
        return print_json(&answer);
    }
    // The token first: whatever becomes of the rest, it cannot be shown again.
    let Made { token, token_record } = answer.read()?;
    print(&Zeroizing::new(format!(
        "{}\n\nThis is the token. It is shown this once; keep it where it is needed.\n",
        clean(token)
    )))?;
    print(&rows(&client, vec![token_record])?)
}

/// The one token with this id or this name.
fn find(answer: &Answer, wanted: &str) -> Result<(String, String), Failure> {
    if ["cof_", "cos_"].iter().any(|prefix| wanted.starts_with(prefix)) {
        // Not repeated: a terminal's scrollback and logs of scripts keep it.
        return Err(Failure::wrong("that is the token itself, not its id or name").hint(
            "Others may have read it now. `coffer token list` shows its id: revoke it by that.",
        ));
    }
    let known = answer.read::<Many>()?.tokens;
    let by_id = known.iter().find(|token| token.id == wanted);
    let named: Vec<_> = known.iter().filter(|token| token.name == wanted).collect();
    let found = match (by_id, named.as_slice()) {
        (Some(token), _) => token,
        (None, [token]) => token,
        (None, []) => {
            return Err(Failure::failed(format!("there is no token {wanted:?}"))
                .hint("`coffer token list` shows those there are."));
        }
        (None, several) => {
            let failure =
                Failure::failed(format!("{} tokens are called {wanted:?}", several.len()))
                    .hint("Revoke the one that is meant by its id:");
            return Err(several.iter().fold(failure, |failure, token| {
                let created = moment(&token.created_at);
                failure.hint(format!("  {}  {}  created {created}", token.id, token.token_prefix))
            }));
        }
    };
    Ok((crate::cli::api::path_id(found.id.clone())?, found.name.clone()))
}

fn rows(client: &Client, tokens: Vec<Token>) -> Result<String, Failure> {
    let names = Names::of(client, tokens.iter().map(|token| &token.scope))?;
    let row = |token: Token| {
        let expires = token.expires_at.map_or("never".to_owned(), |at| moment(&at));
        let used = or_nothing(token.last_used_at.map(|at| moment(&at)));
        let environments = names.cell(&token.scope);
        [token.name, token.role, environments, expires, used, token.token_prefix, token.id]
    };
    let headings = ["NAME", "ROLE", "ENVIRONMENTS", "EXPIRES", "LAST USED", "BEGINS", "ID"];
    Ok(table(headings, tokens.into_iter().map(row)))
}
