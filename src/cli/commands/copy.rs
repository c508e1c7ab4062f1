//! `coffer copy`: secrets from one environment into another, inside the server.
//! No value comes this way.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::ClientArguments;
use crate::cli::arguments::environment::name_or_id;
use crate::cli::arguments::keyed::{Secret, key};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::table;
use crate::domain::OnConflict;

#[derive(Debug, Args)]
pub(in crate::cli) struct CopyArguments {
    /// The environment that they are in, by its name or id
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    from: String,
    /// The environment that they are copied into, by its name or id
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    to: String,
    /// The keys of the secrets; all of them are copied, or none
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// What to do about keys that are taken
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = OnConflict::ALL.map(OnConflict::as_str),
        default_value = OnConflict::Fail.as_str()
    )]
    on_conflict: String,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    from: &'a str,
    keys: &'a [String],
    on_conflict: &'a str,
}

#[derive(Deserialize)]
struct Answered {
    copied: Vec<Copied>,
}

#[derive(Deserialize)]
struct Copied {
    outcome: String,
    secret: Secret,
}

impl CopyArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { from, to, keys, on_conflict, client } = self;
        for one in &keys {
            key(one)?;
        }
        let (client, form) = client.connect()?;
        let body = Body { from: &from, keys: &keys, on_conflict: &on_conflict };
        let answer = client
            .post(&format!("/api/environments/{to}/secrets/copy"), &body)
            .map_err(|failure| failure.reworded(|line| for_people(line, &keys)))?;
        form.show(&answer, || Ok(rows(answer.read()?)))
    }
}

/// What the API says about members of the body, in the words of the command line.
fn for_people(line: &str, keys: &[String]) -> String {
    let line = line.replace("onConflict: ", "--on-conflict ");
    // From behind: `keys.1` is the beginning of `keys.10`.
    let numbered = keys.iter().enumerate().rev();
    numbered.fold(line, |line, (at, key)| line.replace(&format!("keys.{at}"), key))
}

fn rows(answer: Answered) -> String {
    let row = |Copied { outcome, secret }: Copied| {
        let mode = if secret.never_reveal { "never" } else { "by admins" };
        [secret.key, outcome, secret.version.to_string(), mode.to_owned()]
    };
    table(["KEY", "OUTCOME", "VERSION", "REVEAL"], answer.copied.into_iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_called_by_their_names() {
        let keys: Vec<_> = (0..11).map(|number| format!("K{number}")).collect();
        let line = for_people("keys.10 is taken, keys.1 not; say onConflict: skip", &keys);
        assert_eq!(line, "K10 is taken, K1 not; say --on-conflict skip");
    }
}
