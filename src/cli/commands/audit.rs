//! `coffer audit`: the chain of the audit log, and its rows for keeping.

use std::io::{BufWriter, Write};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::api::{Answer, Client, ClientArguments, PlaceArguments, not_coffer};
use crate::cli::offline::Stopped;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{Form, one_line, print, print_json, written};
use crate::config::{Config, Variables};
use crate::http;
use crate::vault;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Check that no row was changed, dropped or moved; exit code 1 if one was
    Verify(VerifyArguments),
    /// Print every row, oldest first
    Export(ExportArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArguments {
    /// Read a stopped server's data directory instead of asking a server; also
    /// when --data-dir is given and neither --url nor COFFER_URL
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    /// How: one JSON object a line
    #[arg(long, value_parser = ["jsonl"], default_value = "jsonl")]
    format: String,
    /// Read a stopped server's data directory instead of asking a server; also
    /// when --data-dir is given and neither --url nor COFFER_URL
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

impl AuditCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(arguments) => verify(arguments),
            Self::Export(arguments) => {
                let (config, variables) = arguments.place.load()?;
                if is_offline(arguments.offline, &arguments.place, &variables) {
                    return export_stopped(&config, &variables);
                }
                let client = arguments.place.client(&config, &variables)?;
                export(|after| page_of_server(&client, after))
            }
        }
    }
}

/// What the API says about the chain, and what is said offline.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    intact: bool,
    rows: u64,
    /// The first row that is kept; older ones were dropped.
    first_seq: u64,
    dropped_at: Option<String>,
    broken_seq: Option<u64>,
    problem: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Verified {
    verification: Verification,
}

fn verify(arguments: VerifyArguments) -> Result<(), Failure> {
    let VerifyArguments { offline, client: ClientArguments { place, json } } = arguments;
    let form = Form::choose(json);
    let (config, variables) = place.load()?;
    let (verified, answer) = if is_offline(offline, &place, &variables) {
        (verify_stopped(&config, &variables)?, None)
    } else {
        let answer = place.client(&config, &variables)?.get("/api/audit-logs/verification")?;
        (answer.read()?, Some(answer))
    };
    let Verification { intact, rows, first_seq, .. } = verified.verification;
    match (form, &answer) {
        (Form::Json, Some(answer)) => print_json(answer)?,
        (Form::Json, None) => {
            print(&serde_json::to_string(&verified).expect("numbers and texts are always JSON"))?;
        }
        (Form::Table, _) if intact && first_seq > 1 => {
            print(&format!(
                "intact: {rows} rows from row {first_seq} on; older ones were dropped"
            ))?;
        }
        (Form::Table, _) if intact => print(&format!("intact: {rows} rows"))?,
        (Form::Table, _) => {}
    }
    if intact {
        return Ok(());
    }
    let Verification { broken_seq, problem, .. } = verified.verification;
    let place = broken_seq.map_or("it".to_owned(), |seq| format!("row {seq}"));
    let problem = problem.unwrap_or_else(|| "does not hold".to_owned());
    Err(Failure::failed(format!("the audit log is broken at {place}: {problem}")).hint(format!(
        "The {rows} rows before it hold. Compare the rest with an export or a backup."
    )))
}

/// Whether a command that can do either works on the data directory.
pub(in crate::cli) fn is_offline(
    told: bool,
    place: &PlaceArguments,
    variables: &Variables,
) -> bool {
    let asked = place.url.is_some() || variables.given("COFFER_URL").is_some();
    told || (place.data_dir.is_some() && !asked)
}

/// The rows of a stopped server's log; reading them needs no key.
fn export_stopped(config: &Config, variables: &Variables) -> Result<(), Failure> {
    logging::start(config.log_level);
    let stopped = Stopped::open(config, variables, ", or ask it, by --url or COFFER_URL")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in vault::export_audit(&stopped.opened, 0) {
        let line = http::audit_line(row.map_err(Failure::failed)?);
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => written(result)?,
        }
    }
    written(out.flush())?;
    stopped.close()
}

fn verify_stopped(config: &Config, variables: &Variables) -> Result<Verified, Failure> {
    logging::start(config.log_level);
    let stopped = Stopped::open(config, variables, ", or ask it, by --url or COFFER_URL")?;
    let found = vault::verify_audit(&stopped.opened, stopped.given.roots())
        .map_err(|error| Stopped::failure(stopped.source(), &error))?;
    let verification = Verification {
        intact: found.broken.is_none(),
        rows: found.rows,
        first_seq: found.first_seq,
        dropped_at: found.dropped_at.map(|at| at.to_string()),
        broken_seq: found.broken.as_ref().map(|broken| broken.seq),
        problem: found.broken.map(|broken| broken.what.to_owned()),
    };
    stopped.close()?;
    Ok(Verified { verification })
}

/// Rows in a page.
const PAGE_ROWS: usize = 1000;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    logs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

fn page_of_server(client: &Client, after: u64) -> Result<Answer, Failure> {
    client.get(&format!("/api/audit-logs/export?afterSeq={after}&limit={PAGE_ROWS}"))
}

/// Prints the rows of page after page, until one is empty. `page` gives those
/// behind a sequence number, as the API's JSON.
fn export(mut page: impl FnMut(u64) -> Result<Answer, Failure>) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut after = 0;
    loop {
        let answer = page(after)?;
        let rows = answer.read::<Page>()?.logs;
        if rows.is_empty() {
            return written(out.flush());
        }
        for row in rows {
            let Numbered { seq } = serde_json::from_str(row.get())
                .map_err(|_| not_coffer("a row has no sequence number"))?;
            // Else a server that ignores afterSeq would be asked for ever.
            if seq <= after {
                return Err(not_coffer("the rows are not in order"));
            }
            after = seq;
            match writeln!(out, "{}", one_line(row.get())) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                result => written(result)?,
            }
        }
    }
}
