//! `coffer login`, `coffer logout`, `coffer whoami`: a person's session, kept in
//! the login file (`api::Logins`).
//!
//! Must never: print a session's token; leave a session behind that nobody has.

use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::api::{ClientArguments, Login, Logins, login_place};
use crate::cli::arguments::scope::{Names, ScopeShown};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{Form, NOTHING, clean, or_nothing, print};
use crate::cli::terminal::prompt;

#[derive(Debug, Args)]
pub(in crate::cli) struct LoginArguments {
    /// The address of the user [default: it is asked for]
    #[arg(long)]
    email: Option<String>,
    /// Read the password from stdin: its first line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogoutArguments {
    /// Only forget the session here, when its server cannot be reached any more
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
struct Credentials<'a> {
    email: &'a str,
    password: &'a str,
}

/// The answer to a login.
#[derive(Deserialize)]
struct Begun<'a> {
    token: &'a str,
    user: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    user: Person,
    /// What the credential can do now, at most.
    role: String,
}

#[derive(Deserialize)]
struct Person {
    id: String,
    email: Option<String>,
    name: Option<String>,
    scope: ScopeShown,
}

impl LoginArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { email, password_stdin, client: ClientArguments { place, json } } = self;
        let form = Form::choose(json);
        let (config, variables) = place.load()?;
        // First what can be wrong, then the person's effort.
        let mut logins = logins()?;
        let client = place.stranger(&config, &variables, &logins)?;
        let url = client.server().to_owned();
        let email = match email {
            Some(email) => email,
            None => ask_email(logins.of(&url).map(|login| login.email.as_str()))?,
        };
        let password = prompt::password(password_stdin)?;
        let answer =
            client.post("/api/auth/login", &Credentials { email: &email, password: &password })?;
        let Begun { token, user } = answer.read()?;
        let session = client.with_session(token)?;
        let login = Login { url: url.clone(), email: email.clone(), token: token.to_owned() };
        match logins.put(login) {
            // It has been replaced by this one, and nobody else has it.
            Ok(Some(old)) => drop(client.with_session(&old.token)?.send_empty(LOGOUT)),
            Ok(None) => {}
            Err(failure) => {
                drop(session.send_empty(LOGOUT));
                return Err(failure);
            }
        }
        match form {
            Form::Json => print(&json!({ "url": url, "user": user }).to_string())?,
            Form::Table => print(&format!("logged in to {url} as {}", clean(&email)))?,
        }
        if variables.get("COFFER_TOKEN").is_some() {
            let _ = writeln!(
                std::io::stderr(),
                "coffer: warning: COFFER_TOKEN is set; commands use that and not this login"
            );
        }
        Ok(())
    }
}

const LOGOUT: &str = "/api/auth/logout";

fn ask_email(last: Option<&str>) -> Result<String, Failure> {
    if !prompt::is_possible() {
        return Err(Failure::wrong("nobody can be asked for an address: stdin is no terminal")
            .hint("Give it with --email."));
    }
    let prompt = last.map_or("E-mail: ".to_owned(), |last| format!("E-mail [{last}]: "));
    match (prompt::line(&prompt)?, last) {
        (typed, Some(last)) if typed.is_empty() => Ok(last.to_owned()),
        (typed, None) if typed.is_empty() => {
            Err(Failure::failed("no address was given; nothing was changed"))
        }
        (typed, _) => Ok(typed),
    }
}

impl LogoutArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { forget, client: ClientArguments { place, json } } = self;
        let form = Form::choose(json);
        let (config, variables) = place.load()?;
        let mut logins = logins()?;
        let Some(login) = place.login(&variables, &logins)? else {
            return Err(Failure::failed("nobody is logged in there")
                .hint("`coffer whoami` shows whose token is used instead."));
        };
        let (url, token) = (login.url.clone(), zeroize::Zeroizing::new(login.token.clone()));
        let mut ended = false;
        if !forget {
            let client = place.at(&url).stranger(&config, &variables, &logins)?;
            match client.with_session(&token)?.send_empty(LOGOUT) {
                Ok(_) => ended = true,
                Err(failure) if failure.is_about_the_credential() => {}
                Err(failure) => {
                    return Err(failure.hint(
                        "You are still logged in. `coffer logout --forget` forgets the session here; \
                         it then ends by itself.",
                    ));
                }
            }
        }
        logins.remove(&url)?;
        let how = match (ended, forget) {
            (true, _) => "logged out of",
            (false, true) => "forgot the session at",
            (false, false) => "the session had ended already at",
        };
        match form {
            Form::Json => print(&json!({ "url": url, "ended": !forget }).to_string()),
            Form::Table => print(&format!("{how} {url}")),
        }
    }
}

impl WhoamiArguments {
    pub fn run(self) -> Result<(), Failure> {
        let (client, form) = self.client.connect()?;
        let answer = client.get("/api/auth/me")?;
        form.show(&answer, || {
            let Me { user, role } = answer.read()?;
            let names = Names::of(&client, [&user.scope].into_iter())?;
            let who = user.email.or(user.name).unwrap_or_else(|| NOTHING.to_owned());
            let lines = [
                ("user", who),
                ("id", or_nothing(Some(user.id))),
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

fn logins() -> Result<Logins, Failure> {
    Logins::load(login_place())?.ok_or_else(|| {
        Failure::wrong("there is no place for a login: neither HOME nor XDG_CONFIG_HOME is set")
            .hint("Set one of them, or give a token by COFFER_TOKEN.")
    })
}
