//! The arguments of `coffer doctor`, and its checks in order.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::ServerArguments;
use crate::cli::commands::doctor::repair::repair;
use crate::cli::commands::doctor::{database, files};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{one_line, print};
use crate::cli::terminal::sanitize::clean;
use crate::config::{Config, Variables};
use crate::domain::{Finding, Severity};
use crate::store::{DataDirLock, OpenError};

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArguments {
    /// Repair what is safe to repair, after copying the data directory (server stopped)
    #[arg(long, conflicts_with = "url")]
    repair: bool,
    /// Directory for that copy [default: next to the data directory]
    #[arg(long, value_name = "DIR", requires = "repair")]
    copy_to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// The output of `--json`.
#[derive(Serialize)]
struct DoctorOutput<'a> {
    worst: Severity,
    findings: &'a [Finding],
}

#[derive(Deserialize)]
struct DoctorResponse {
    findings: Vec<Finding>,
}

impl DoctorArguments {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let (config, variables) = self.server.load()?;
        logging::start(config.log_level);
        let findings = if self.repair {
            repair(&config, &variables, self.copy_to.as_deref())?
        } else {
            self.examine(&config, &variables)
        };
        let worst = findings.iter().map(|finding| finding.severity).max();
        let worst = worst.unwrap_or(Severity::Error);
        if self.json {
            let report = DoctorOutput { worst, findings: &findings };
            let text = serde_json::to_string(&report).expect("strings and lists always serialize");
            print(&one_line(&text))?;
        } else {
            print(&findings.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(ExitCode::from(match worst {
            Severity::Ok | Severity::Repaired => 0,
            Severity::Warn => 1,
            Severity::Error => 2,
        }))
    }

    fn examine(&self, config: &Config, variables: &Variables) -> Vec<Finding> {
        let names_server = self.server.names_server(variables);
        let mut findings = files::settings(config);
        match DataDirLock::acquire_existing(&config.server.data_dir) {
            Ok(held) => {
                findings.extend(files::examine(config, variables, files::ServerState::Stopped));
                findings.extend(database::examine(held, config, variables));
                if names_server {
                    findings.extend(self.ask_other(config, variables));
                }
            }
            Err(OpenError::InUse { .. }) => {
                findings.extend(files::examine(config, variables, files::ServerState::Running));
                findings.extend(self.ask(config, variables));
            }
            Err(OpenError::None { .. }) if names_server => {
                findings.push(Finding::warn(
                    "the server's files were not checked: they are not in this data directory",
                    "Run this command on the server's host as well, with --data-dir.",
                ));
                findings.extend(self.ask(config, variables));
            }
            Err(error @ OpenError::Restoring { .. }) => {
                let remedy = "No server can start here until then.";
                findings.push(Finding::error(error.to_string(), remedy));
            }
            Err(error) => {
                let remedy = "Pass the server's data directory with --data-dir.";
                findings.push(Finding::error(error.to_string(), remedy));
                if names_server {
                    findings.extend(self.ask(config, variables));
                }
            }
        }
        findings
    }

    /// Asks a named server, while the server of this data directory is stopped. The two may be the
    /// same: COFFER_URL may still be set to its address.
    fn ask_other(&self, config: &Config, variables: &Variables) -> Vec<Finding> {
        let found = self.ask(config, variables);
        match found.as_slice() {
            [Finding { severity: Severity::Error, what, .. }] if self.server.url.is_none() => {
                vec![Finding::warn(
                    format!("COFFER_URL is set, but {what}"),
                    "The findings above are about the data directory. Unset COFFER_URL, or start that server.",
                )]
            }
            _ => {
                let dir = config.server.data_dir.display();
                let what =
                    format!("the findings below are about the running server, not about {dir}");
                std::iter::once(Finding::ok(what)).chain(found).collect()
            }
        }
    }

    /// Asks a running server for its findings.
    fn ask(&self, config: &Config, variables: &Variables) -> Vec<Finding> {
        match self.request(config, variables) {
            Ok(DoctorResponse { findings }) => findings,
            Err(failure) => {
                let what = format!("the server was not checked: {}", failure.message());
                vec![Finding::error(what, failure.remedy())]
            }
        }
    }

    fn request(&self, config: &Config, variables: &Variables) -> Result<DoctorResponse, Failure> {
        let client = self.server.client(config, variables)?;
        Ok(client.get_without_timeout("/api/admin/doctor")?.read()?)
    }
}

/// Formats a finding as `warn  what  → remedy`.
fn line(finding: &Finding) -> String {
    let Finding { severity, what, remedy } = finding;
    let line = format!("{:<8}  {}", severity.as_str(), clean(what));
    match remedy {
        Some(remedy) => format!("{line}  → {}", clean(remedy)),
        None => line,
    }
}
