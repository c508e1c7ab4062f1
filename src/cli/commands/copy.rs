//! `coffer copy`: copies secrets to another environment, inside the server. The values never pass
//! through the client.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::ClientArguments;
use crate::cli::arguments::environment::name_or_id;
use crate::cli::arguments::keyed::{ListedSecret, key};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::table;
use crate::domain::OnConflict;

#[derive(Debug, Args)]
pub(in crate::cli) struct CopyArguments {
    /// Source environment (name or id)
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    from: String,
    /// Target environment (name or id)
    #[arg(long, value_name = "ENV", value_parser = name_or_id)]
    to: String,
    /// Keys of the secrets; either all of them are copied or none
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// What to do about keys that already exist in the target
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
struct CopyRequest<'a> {
    from: &'a str,
    keys: &'a [String],
    on_conflict: &'a str,
}

#[derive(Deserialize)]
struct CopyResponse {
    copied: Vec<CopiedSecret>,
}

#[derive(Deserialize)]
struct CopiedSecret {
    outcome: String,
    secret: ListedSecret,
}

impl CopyArguments {
    pub fn run(self) -> Result<(), Failure> {
        let Self { from, to, keys, on_conflict, client } = self;
        for one in &keys {
            key(one)?;
        }
        let (client, format) = client.connect()?;
        let body = CopyRequest { from: &from, keys: &keys, on_conflict: &on_conflict };
        let response = client
            .post(&format!("/api/environments/{to}/secrets/copy"), &body)
            .map_err(|error| error.reworded(|line| name_arguments(line, &keys)))?;
        format.show(response.text(), || Ok(rows(response.read()?)))
    }
}

/// Replaces the names of request fields with those of the arguments.
fn name_arguments(line: &str, keys: &[String]) -> String {
    let line = line.replace("onConflict: ", "--on-conflict ");
    // In reverse, because `keys.1` is also the start of `keys.10`.
    let numbered = keys.iter().enumerate().rev();
    numbered.fold(line, |line, (at, key)| line.replace(&format!("keys.{at}"), key))
}

fn rows(response: CopyResponse) -> String {
    let row = |CopiedSecret { outcome, secret }: CopiedSecret| {
        let mode = if secret.never_reveal { "never" } else { "by admins" };
        [secret.key, outcome, secret.version.to_string(), mode.to_owned()]
    };
    table(["KEY", "OUTCOME", "VERSION", "REVEAL"], response.copied.into_iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_fields_become_arguments() {
        let keys: Vec<_> = (0..11).map(|number| format!("K{number}")).collect();
        let line = name_arguments("keys.10 exists, keys.1 does not; use onConflict: skip", &keys);
        assert_eq!(line, "K10 exists, K1 does not; use --on-conflict skip");
    }
}
