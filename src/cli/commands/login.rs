//! `coffer login`, `coffer logout`, `coffer whoami`: a person's session, kept in the login file.
//!
//! Must never: print a session's token; leave a session open on the server that no login file has.

use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::api::{ClientArguments, ClientErrorKind, Login, LoginFile};
use crate::cli::arguments::scope::{EnvironmentNames, ResponseScope};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{NO_VALUE, OutputFormat, optional, print};
use crate::cli::terminal::prompt;
use crate::cli::terminal::sanitize::clean;

#[derive(Debug, Args)]
pub(in crate::cli) struct LoginArguments {
    /// Email address [default: prompt for it]
    #[arg(long)]
    email: Option<String>,
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogoutArguments {
    /// Only remove the login from this machine, for a server that can no longer be reached
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhoamiArguments {
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
struct LoginRequest<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct LoginResponse<'a> {
    token: &'a str,
    user: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CurrentUserResponse {
    user: CurrentUser,
    /// The effective role of the credential.
    role: String,
}

#[derive(Deserialize)]
struct CurrentUser {
    id: String,
    email: Option<String>,
    name: Option<String>,
    scope: ResponseScope,
}

impl LoginArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { email, password_stdin, client: ClientArguments { server, json } } = self;
        let format = OutputFormat::choose(json);
        let (config, variables) = server.load()?;
        // Before the prompts, so that nobody types a password in vain.
        let mut logins = LoginFile::load_own()?;
        let client = server.client_without_token(&config, &variables, &logins)?;
        let url = client.server().to_owned();
        let email = match email {
            Some(email) => email,
            None => ask_email(logins.get(&url).map(|login| login.email.as_str()))?,
        };
        let password = prompt::password(password_stdin)?;
        let response =
            client.post("/api/auth/login", &LoginRequest { email: &email, password: &password })?;
        let LoginResponse { token, user } = response.read()?;
        let session = client.with_session(token)?;
        let login = Login { url: url.clone(), email: email.clone(), token: token.to_owned() };
        match logins.put(login) {
            // Only the replaced login had the old session.
            Ok(Some(old)) => drop(client.with_session(&old.token)?.post_empty(LOGOUT)),
            Ok(None) => {}
            Err(failure) => {
                drop(session.post_empty(LOGOUT));
                return Err(failure);
            }
        }
        match format {
            OutputFormat::Json => print(&json!({ "url": url, "user": user }).to_string())?,
            OutputFormat::Table => print(&format!("logged in to {url} as {}", clean(&email)))?,
        }
        if variables.get("COFFER_TOKEN").is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: COFFER_TOKEN is set and takes precedence over this login"
            );
        }
        Ok(())
    }
}

const LOGOUT: &str = "/api/auth/logout";

/// Prompts for the email address; an empty line repeats the last one.
fn ask_email(last: Option<&str>) -> Result<String, Failure> {
    if !prompt::is_possible() {
        return Err(Failure::wrong("cannot prompt for an email address: stdin is not a terminal")
            .hint("Pass it with --email."));
    }
    let prompt = last.map_or("Email: ".to_owned(), |last| format!("Email [{last}]: "));
    match (prompt::line(&prompt)?, last) {
        (typed, Some(last)) if typed.is_empty() => Ok(last.to_owned()),
        (typed, None) if typed.is_empty() => {
            Err(Failure::failed("no email address given, nothing was changed"))
        }
        (typed, _) => Ok(typed),
    }
}

impl LogoutArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { forget, client: ClientArguments { server, json } } = self;
        let format = OutputFormat::choose(json);
        let (config, variables) = server.load()?;
        let mut logins = LoginFile::load_own()?;
        let Some(login) = server.login(&variables, &logins)? else {
            return Err(Failure::failed("not logged in")
                .hint("To see which token is used instead: coffer whoami"));
        };
        let (url, token) = (login.url.clone(), Zeroizing::new(login.token.clone()));
        let mut ended = false;
        if !forget {
            let client = server.at(&url).client_without_token(&config, &variables, &logins)?;
            match client.with_session(&token)?.post_empty(LOGOUT) {
                Ok(_) => ended = true,
                Err(error) if error.kind() == ClientErrorKind::Unauthorized => {}
                Err(error) => {
                    return Err(Failure::from(error).hint(
                        "You are still logged in. `coffer logout --forget` removes the login from this machine only; the session then ends when it expires.",
                    ));
                }
            }
        }
        logins.remove(&url)?;
        let text = match (ended, forget) {
            (true, _) => format!("logged out of {url}"),
            (false, true) => format!("removed the login for {url}"),
            (false, false) => format!("removed the login for {url}; its session had expired"),
        };
        match format {
            OutputFormat::Json => print(&json!({ "url": url, "ended": !forget }).to_string()),
            OutputFormat::Table => print(&text),
        }
    }
}

impl WhoamiArguments {
    pub fn run(self) -> Result<(), Failure> {
        let (client, format) = self.client.connect()?;
        let response = client.get("/api/auth/me")?;
        format.show(response.text(), || {
            let CurrentUserResponse { user, role } = response.read()?;
            let names = EnvironmentNames::of(&client, [&user.scope].into_iter())?;
            let who = user.email.or(user.name).unwrap_or_else(|| NO_VALUE.to_owned());
            let lines = [
                ("user", who),
                ("id", optional(Some(user.id))),
                ("role", role),
                ("environments", names.cell(&user.scope)),
                ("server", client.server().to_owned()),
                ("token from", client.token_source().to_owned()),
            ];
            let line = |(name, text): (&str, String)| format!("{name:<14}{}", clean(&text));
            Ok(lines.map(line).join("\n"))
        })
    }
}
