//! Secrets as rows of a table.

use serde::Deserialize;

use crate::cli::api::ApiResponse;
use crate::cli::arguments::keyed::ListedSecret;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, format_time, optional, table};

#[derive(Deserialize)]
struct SecretResponse {
    secret: ListedSecret,
}

/// Prints the secret in a response.
pub(super) fn show_one(format: OutputFormat, response: &ApiResponse) -> Result<(), Failure> {
    format.show(response.text(), || Ok(rows([response.read::<SecretResponse>()?.secret])))
}

/// Formats secrets as a table.
pub(super) fn rows(secrets: impl IntoIterator<Item = ListedSecret>) -> String {
    let row = |one: ListedSecret| {
        let mode = if one.never_reveal { "never" } else { "by admins" };
        let (version, updated) = (one.version.to_string(), format_time(&one.updated_at));
        [one.key, version, mode.to_owned(), updated, optional(one.description)]
    };
    let headings = ["KEY", "VERSION", "REVEAL", "UPDATED", "DESCRIPTION"];
    table(headings, secrets.into_iter().map(row))
}
