//! `coffer audit`: verifies and exports the audit log.

use std::io::{BufWriter, ErrorKind, Write};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::api::{
    ApiClient, ApiResponse, ClientArguments, ClientError, ServerArguments, unexpected_response,
};
use crate::cli::offline::StoppedServer;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{OutputFormat, check_written, one_line, print, print_json};
use crate::config::{Config, Variables};
use crate::http;
use crate::vault;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Verify that no event was changed, removed or reordered; exits with 1 if one was
    Verify(AuditVerifyArguments),
    /// Print all events, oldest first
    Export(AuditExportArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditVerifyArguments {
    /// Read the data directory of a stopped server (the default with --data-dir, unless --url or
    /// COFFER_URL is given)
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AuditExportArguments {
    /// Output format: one JSON object per line
    #[arg(long, value_parser = ["jsonl"], default_value = "jsonl")]
    format: String,
    /// Read the data directory of a stopped server (the default with --data-dir, unless --url or
    /// COFFER_URL is given)
    #[arg(long, conflicts_with = "url")]
    offline: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl AuditCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(arguments) => verify(arguments),
            Self::Export(arguments) => {
                let (config, variables) = arguments.server.load()?;
                if arguments.server.is_offline(arguments.offline, &variables) {
                    return export_stopped(&config, &variables);
                }
                let client = arguments.server.client(&config, &variables)?;
                export(|after| fetch_page(&client, after))
            }
        }
    }
}

/// The result of a verification, as the API and offline commands print it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditVerification {
    intact: bool,
    rows: u64,
    /// The first event that is kept; retention has deleted older ones.
    first_seq: u64,
    dropped_at: Option<String>,
    broken_seq: Option<u64>,
    problem: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AuditVerificationResponse {
    verification: AuditVerification,
}

fn verify(arguments: AuditVerifyArguments) -> Result<(), Failure> {
    let AuditVerifyArguments { offline, client: ClientArguments { server, json } } = arguments;
    let format = OutputFormat::choose(json);
    let (config, variables) = server.load()?;
    let (verified, response) = if server.is_offline(offline, &variables) {
        (verify_stopped(&config, &variables)?, None)
    } else {
        let client = server.client(&config, &variables)?;
        let response = client.get("/api/audit-logs/verification")?;
        (response.read()?, Some(response))
    };
    let AuditVerification { intact, rows, first_seq, .. } = verified.verification;
    match (format, &response) {
        (OutputFormat::Json, Some(response)) => print_json(response.text())?,
        (OutputFormat::Json, None) => {
            let text = serde_json::to_string(&verified);
            print(&text.expect("numbers and strings always serialize"))?;
        }
        (OutputFormat::Table, _) if intact && first_seq > 1 => {
            print(&format!(
                "verified: {rows} events since event {first_seq}, none changed or missing; older ones were deleted by retention"
            ))?;
        }
        (OutputFormat::Table, _) if intact => {
            print(&format!("verified: {rows} events, none changed or missing"))?;
        }
        (OutputFormat::Table, _) => {}
    }
    if intact {
        return Ok(());
    }
    let AuditVerification { broken_seq, problem, .. } = verified.verification;
    let at = broken_seq.map_or(String::new(), |seq| format!(" at event {seq}"));
    let problem = problem.unwrap_or_else(|| "verification failed".to_owned());
    Err(Failure::failed(format!("the audit log is broken{at}: {problem}")).hint(format!(
        "The {rows} events before it are verified. Compare the rest with an export or a backup."
    )))
}

/// The hint that completes "Stop the server first".
const OR_ASK_IT: &str = ", or ask it with --url or COFFER_URL";

/// Prints the events of a stopped server. This needs no root key.
fn export_stopped(config: &Config, variables: &Variables) -> Result<(), Failure> {
    logging::start(config.log_level);
    let stopped = StoppedServer::open(config, variables, OR_ASK_IT)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for row in vault::export_audit(&stopped.opened, 0) {
        let line = http::audit_line(row.map_err(Failure::failed)?);
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            result => check_written(result)?,
        }
    }
    check_written(out.flush())?;
    stopped.close()
}

fn verify_stopped(
    config: &Config,
    variables: &Variables,
) -> Result<AuditVerificationResponse, Failure> {
    logging::start(config.log_level);
    let stopped = StoppedServer::open(config, variables, OR_ASK_IT)?;
    let found = vault::verify_audit(&stopped.opened, stopped.root_keys.roots())
        .map_err(|error| StoppedServer::not_unlocked(stopped.source(), &error))?;
    let verification = AuditVerification {
        intact: found.broken.is_none(),
        rows: found.rows,
        first_seq: found.first_seq,
        dropped_at: found.dropped_at.map(|at| at.to_string()),
        broken_seq: found.broken.as_ref().map(|broken| broken.seq),
        problem: found.broken.map(|broken| broken.what.to_owned()),
    };
    stopped.close()?;
    Ok(AuditVerificationResponse { verification })
}

const EVENTS_PER_PAGE: usize = 1000;

#[derive(Deserialize)]
struct AuditExportPage<'a> {
    #[serde(borrow)]
    logs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct EventNumber {
    seq: u64,
}

fn fetch_page(client: &ApiClient, after: u64) -> Result<ApiResponse, ClientError> {
    client.get(&format!("/api/audit-logs/export?afterSeq={after}&limit={EVENTS_PER_PAGE}"))
}

/// Prints the events of page after page, until one is empty. `page` fetches the events after a
/// sequence number.
fn export(page: impl Fn(u64) -> Result<ApiResponse, ClientError>) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut after = 0;
    loop {
        let response = page(after)?;
        let events = response.read::<AuditExportPage>()?.logs;
        if events.is_empty() {
            return check_written(out.flush());
        }
        for event in events {
            let EventNumber { seq } = serde_json::from_str(event.get())
                .map_err(|_| unexpected_response("an event has no sequence number"))?;
            // Otherwise a server that ignores afterSeq would be asked forever.
            if seq <= after {
                return Err(unexpected_response("the events are not in order").into());
            }
            after = seq;
            match writeln!(out, "{}", one_line(event.get())) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                result => check_written(result)?,
            }
        }
    }
}
