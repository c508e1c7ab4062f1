//! `coffer user`: people who log in.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::api::{Answer, Client, ClientArguments};
use crate::cli::arguments::scope::{Names, ROLES, Scope, ScopeArguments, ScopeShown};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{Form, moment, or_nothing, table};
use crate::cli::terminal::prompt::new_password;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Create a user; asks for the password
    Create(CreateArguments),
    /// List the users
    List {
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Give a user a new password; ends all its sessions and tokens
    Passwd {
        /// The user's e-mail address
        email: String,
        /// Read the new password from stdin: its first line
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Lock a user out; ends all its sessions and tokens
    Disable {
        /// The user's e-mail address
        email: String,
        #[command(flatten)]
        client: ClientArguments,
    },
    /// Let a disabled user in again
    Enable {
        /// The user's e-mail address
        email: String,
        #[command(flatten)]
        client: ClientArguments,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArguments {
    /// The address that the user logs in with
    email: String,
    /// What the user is called on screen
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// What the user may do
    #[arg(long, value_parser = ROLES, default_value = "viewer")]
    role: String,
    #[command(flatten)]
    scope: ScopeArguments,
    /// Read the password from stdin: its first line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
struct New<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    password: &'a str,
    role: &'a str,
    #[serde(flatten)]
    scope: Scope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewPassword<'a> {
    new_password: &'a str,
}

#[derive(Serialize)]
struct Patch {
    disabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    email: String,
    name: Option<String>,
    role: String,
    #[serde(flatten)]
    scope: ScopeShown,
    disabled: bool,
    last_active_at: Option<String>,
}

#[derive(Deserialize)]
struct One {
    user: User,
}

#[derive(Deserialize)]
struct Many {
    users: Vec<User>,
}

impl UserCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::List { client } => {
                let (client, form) = client.connect()?;
                let answer = users(&client)?;
                form.show(&answer, || rows(&client, answer.read::<Many>()?.users))
            }
            Self::Passwd { email, password_stdin, client } => {
                let (client, form) = client.connect()?;
                let id = user_id(&client, &email)?;
                let password = new_password(password_stdin)?;
                let path = format!("/api/users/{id}/change-password");
                let answer = client.post(&path, &NewPassword { new_password: &password })?;
                form.show(&answer, || {
                    Ok(format!("{email} has a new password; its sessions and tokens have ended"))
                })
            }
            Self::Disable { email, client } => set_disabled(&email, client, true),
            Self::Enable { email, client } => set_disabled(&email, client, false),
        }
    }
}

fn create(arguments: CreateArguments) -> Result<(), Failure> {
    let CreateArguments { email, name, role, scope, password_stdin, client } = arguments;
    let (client, form) = client.connect()?;
    // First what can be wrong, then the person's effort.
    let scope = scope.resolve(&client)?;
    let password = new_password(password_stdin)?;
    let new = New { email: &email, name: name.as_deref(), password: &password, role: &role, scope };
    show_one(&client, form, &client.post("/api/users", &new)?)
}

fn set_disabled(email: &str, client: ClientArguments, disabled: bool) -> Result<(), Failure> {
    let (client, form) = client.connect()?;
    let id = user_id(&client, email)?;
    let answer = client.patch(&format!("/api/users/{id}"), &Patch { disabled })?;
    show_one(&client, form, &answer)
}

fn show_one(client: &Client, form: Form, answer: &Answer) -> Result<(), Failure> {
    form.show(answer, || rows(client, vec![answer.read::<One>()?.user]))
}

fn users(client: &Client) -> Result<Answer, Failure> {
    client.get("/api/users")
}

/// The id of the user with this address; case does not count.
pub(in crate::cli) fn user_id(client: &Client, email: &str) -> Result<String, Failure> {
    let known = users(client)?.read::<Many>()?.users;
    let folded = email.to_lowercase();
    let found = known.into_iter().find(|user| user.email.to_lowercase() == folded);
    let found = found.ok_or_else(|| {
        Failure::failed(format!("there is no user {email:?}"))
            .hint("`coffer user list` shows those there are.")
    })?;
    crate::cli::api::path_id(found.id)
}

fn rows(client: &Client, users: Vec<User>) -> Result<String, Failure> {
    let names = Names::of(client, users.iter().map(|user| &user.scope))?;
    let row = |user: User| {
        let state = if user.disabled { "disabled" } else { "enabled" };
        let seen = user.last_active_at.map(|at| moment(&at));
        let environments = names.cell(&user.scope);
        [
            user.email,
            or_nothing(user.name),
            user.role,
            environments,
            state.to_owned(),
            or_nothing(seen),
        ]
    };
    let headings = ["EMAIL", "NAME", "ROLE", "ENVIRONMENTS", "STATE", "LAST ACTIVE"];
    Ok(table(headings, users.into_iter().map(row)))
}
