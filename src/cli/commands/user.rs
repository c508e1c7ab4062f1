//! `coffer user`: people who log in.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::api::{ApiClient, ApiResponse, ClientArguments, ClientError, path_id};
use crate::cli::arguments::scope::{
    EnvironmentNames, ROLES, RequestScope, ResponseScope, ScopeArguments,
};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, format_time, optional, table};
use crate::cli::terminal::prompt::new_password;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Create a user; prompts for the password
    Create(UserCreateArguments),
    /// List users
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Set a user's password and end all their sessions and tokens
    Passwd {
        /// Email address of the user
        email: String,
        /// Read the new password from the first line of stdin
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Disable a user and end all their sessions and tokens
    Disable {
        /// Email address of the user
        email: String,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Enable a disabled user
    Enable {
        /// Email address of the user
        email: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UserCreateArguments {
    /// Email address, used to log in
    email: String,
    /// Display name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Role
    #[arg(long, value_parser = ROLES, default_value = "viewer")]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
struct UserCreateRequest<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    password: &'a str,
    role: &'a str,
    #[serde(flatten)]
    scope: RequestScope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PasswordChangeRequest<'a> {
    new_password: &'a str,
}

#[derive(Serialize)]
struct UserPatchRequest {
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedUser {
    id: String,
    email: String,
    name: Option<String>,
    role: String,
    #[serde(flatten)]
    scope: ResponseScope,
    disabled: bool,
    last_active_at: Option<String>,
}

#[derive(Deserialize)]
struct UserResponse {
    user: ListedUser,
}

#[derive(Deserialize)]
struct UserList {
    users: Vec<ListedUser>,
}

impl UserCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::List { client } => {
                let (client, format) = client.connect()?;
                let response = users(&client)?;
                format.show(response.text(), || rows(&client, response.read::<UserList>()?.users))
            }
            Self::Passwd { email, password_stdin, client } => {
                let (client, format) = client.connect()?;
                let id = user_id(&client, &email)?;
                let password = new_password(password_stdin)?;
                let path = format!("/api/users/{id}/change-password");
                let response =
                    client.post(&path, &PasswordChangeRequest { new_password: &password })?;
                format.show(response.text(), || {
                    Ok(format!("changed the password of {email}; all sessions and tokens ended"))
                })
            }
            Self::Disable { email, client } => set_disabled(&email, client, true),
            Self::Enable { email, client } => set_disabled(&email, client, false),
        }
    }
}

fn create(arguments: UserCreateArguments) -> Result<(), Failure> {
    let UserCreateArguments { email, name, role, scope, password_stdin, client } = arguments;
    let (client, format) = client.connect()?;
    // Before the prompt, so that nobody types a password in vain.
    let scope = scope.resolve(&client)?;
    let password = new_password(password_stdin)?;
    let name = name.as_deref();
    let body = UserCreateRequest { email: &email, name, password: &password, role: &role, scope };
    show_one(&client, format, &client.post("/api/users", &body)?)
}

fn set_disabled(email: &str, client: ClientArguments, disabled: bool) -> Result<(), Failure> {
    let (client, format) = client.connect()?;
    let id = user_id(&client, email)?;
    let response = client.patch(&format!("/api/users/{id}"), &UserPatchRequest { disabled })?;
    show_one(&client, format, &response)
}

fn show_one(
    client: &ApiClient,
    format: OutputFormat,
    response: &ApiResponse,
) -> Result<(), Failure> {
    format.show(response.text(), || rows(client, vec![response.read::<UserResponse>()?.user]))
}

fn users(client: &ApiClient) -> Result<ApiResponse, ClientError> {
    client.get("/api/users")
}

/// Looks up the id of the user with this email address, ignoring case.
pub(in crate::cli) fn user_id(client: &ApiClient, email: &str) -> Result<String, Failure> {
    let known = users(client)?.read::<UserList>()?.users;
    let folded = email.to_lowercase();
    let found = known.into_iter().find(|user| user.email.to_lowercase() == folded);
    let found = found.ok_or_else(|| {
        Failure::failed(format!("no user with email {email:?}"))
            .hint("List users: coffer user list")
    })?;
    Ok(path_id(found.id)?)
}

fn rows(client: &ApiClient, users: Vec<ListedUser>) -> Result<String, Failure> {
    let names = EnvironmentNames::of(client, users.iter().map(|user| &user.scope))?;
    let row = |user: ListedUser| {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let last_active = user.last_active_at.map(|at| format_time(&at));
        let environments = names.cell(&user.scope);
        [
            user.email,
            optional(user.name),
            user.role,
            environments,
            state.to_owned(),
            optional(last_active),
        ]
    };
    let headings = ["EMAIL", "NAME", "ROLE", "ENVIRONMENTS", "STATE", "LAST ACTIVE"];
    Ok(table(headings, users.into_iter().map(row)))
}
