//! `coffer doctor`: looks for everything that may be wrong, one line each, with
//! what to do about it; with `--repair`, does what is safe.
//!
//! A stopped server's database is opened here. A running one is asked what it
//! finds, and its files are looked at here if they are this host's.
//!
//! Must never: print a value, a key or a token; repair anything without a copy.
//!
//! Exit codes: 0 all is well, or is again; 1 there are warnings; 2 something is
//! broken, or could not be looked at.

mod aside;
mod files;
mod keys;

pub(in crate::cli) use files::is_ours;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::PlaceArguments;
use crate::cli::offline::Given;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{clean, one_line, print};
use crate::config::{Config, Variables};
use crate::domain::{Clock, Finding, Severity, SystemClock};
use crate::server::root_key::Source;
use crate::store::{
    DataDirLock, OpenError, Opened, Options, RepairReport, leftovers, remove_leftover,
};
use crate::vault::{self, UnlockError, Unlocked};

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArguments {
    /// Repair what can be repaired safely, after copying the data directory; the
    /// server must be stopped
    #[arg(long, conflicts_with = "url")]
    repair: bool,
    /// Where to put that copy [default: beside the data directory]
    #[arg(long, value_name = "DIR", requires = "repair")]
    copy_to: Option<PathBuf>,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: PlaceArguments,
}

/// The machine's form.
#[derive(Serialize)]
struct Report<'a> {
    worst: Severity,
    findings: &'a [Finding],
}

/// What the API answers.
#[derive(Deserialize)]
struct Answered {
    findings: Vec<Finding>,
}

const STOP: &str = "Stop the server first, so that nothing is written meanwhile.";
const NO_COPY: &str = "Nothing was repaired. The copy can be put elsewhere, into a directory that this user may write: --copy-to DIR";
const SEE: &str = "See docs/operations.md, \"Disaster: the database does not open\".";

impl DoctorArguments {
    pub fn run(self) -> Result<ExitCode, Failure> {
        // Other commands fail with 1, which is a warning here.
        let (config, variables) = self.place.load()?;
        logging::start(config.log_level);
        let findings = if self.repair {
            repair(&config, &variables, self.copy_to.as_deref())?
        } else {
            self.examine(&config, &variables)
        };
        let worst = findings.iter().map(|finding| finding.severity).max();
        let worst = worst.unwrap_or(Severity::Error);
        if self.json {
            let report = Report { worst, findings: &findings };
            let text = serde_json::to_string(&report).expect("texts and lists are always JSON");
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
        let data_dir = &config.server.data_dir;
        let asked = self.place.url.is_some() || variables.given("COFFER_URL").is_some();
        let mut findings = files::settings(config);
        match DataDirLock::acquire_existing(data_dir) {
            Ok(held) => {
                findings.extend(files::examine(config, variables, files::Server::Stopped));
                findings.extend(stopped(held, config, variables));
                if asked {
                    findings.extend(self.ask_elsewhere(config, variables));
                }
            }
            Err(OpenError::InUse { .. }) => {
                findings.extend(files::examine(config, variables, files::Server::Running));
                findings.extend(self.ask(config, variables));
            }
            Err(OpenError::None { .. }) if asked => {
                findings.push(Finding::warn(
                    "the server's files are not looked at: they are not in this data directory",
                    "Run this on the server's host, too, and name its directory with --data-dir.",
                ));
                findings.extend(self.ask(config, variables));
            }
            Err(error @ OpenError::Restoring { .. }) => {
                findings
                    .push(Finding::error(error.to_string(), "Until then no server starts here."));
            }
            Err(error) => {
                findings.push(Finding::error(
                    error.to_string(),
                    "Name the server's data directory with --data-dir.",
                ));
                if asked {
                    findings.extend(self.ask(config, variables));
                }
            }
        }
        findings
    }

    /// What a server finds whose address was given, although the one of this data
    /// directory is stopped. It may be that one: a variable outlives a server.
    fn ask_elsewhere(&self, config: &Config, variables: &Variables) -> Vec<Finding> {
        let found = self.ask(config, variables);
        match found.as_slice() {
            [Finding { severity: Severity::Error, what, .. }] if self.place.url.is_none() => {
                vec![Finding::warn(
                    format!("COFFER_URL is set, and {what}"),
                    "What is said above is about the data directory. Unset COFFER_URL, or start that server.",
                )]
            }
            _ => {
                let dir = config.server.data_dir.display();
                let what = format!("what follows is of the server that was asked, not of {dir}");
                std::iter::once(Finding::ok(what)).chain(found).collect()
            }
        }
    }

    /// What a running server finds.
    fn ask(&self, config: &Config, variables: &Variables) -> Vec<Finding> {
        let answer = self
            .place
            .client(config, variables)
            .and_then(|client| client.get_patiently("/api/admin/doctor"))
            .and_then(|answer| answer.read::<Answered>());
        match answer {
            Ok(Answered { findings }) => findings,
            Err(failure) => {
                let (what, remedy) = failure.parts();
                vec![Finding::error(format!("the server was not asked: {what}"), remedy)]
            }
        }
    }
}

/// `warn  what  → remedy`
fn line(finding: &Finding) -> String {
    let Finding { severity, what, remedy } = finding;
    let line = format!("{:<8}  {}", severity.as_str(), clean(what));
    match remedy {
        Some(remedy) => format!("{line}  → {}", clean(remedy)),
        None => line,
    }
}

/// Opens the database and examines it.
fn stopped(held: DataDirLock, config: &Config, variables: &Variables) -> Vec<Finding> {
    let (opened, given, source) = match open(held, config, variables) {
        Ok(open) => open,
        Err(finding) => return vec![finding],
    };
    let mut findings = match vault::examine_stopped(&opened, given.roots(), SystemClock.now()) {
        Ok(examined) => examined.findings,
        Err(error) => vec![locked(&error, &source)],
    };
    findings.extend(opened.close().err().map(|error| not_closed(&error)));
    findings
}

fn not_closed(error: &dyn std::fmt::Display) -> Finding {
    Finding::error(format!("the database could not be closed: {error}"), files::CHECK_DISK)
}

/// What to do is about the root key, if that is what is wrong.
fn locked(error: &UnlockError, source: &Source) -> Finding {
    let remedy = error.remedy(&source.to_string());
    Finding::error(error.to_string(), remedy.unwrap_or_else(|| SEE.to_owned()))
}

fn open(
    held: DataDirLock,
    config: &Config,
    variables: &Variables,
) -> Result<(Opened, Given, Source), Finding> {
    // Whoever opens it writes files that the server could then not read.
    files::is_ours(&config.server.data_dir)?;
    let broken = |error: &dyn std::fmt::Display| Finding::error(error.to_string(), SEE);
    let opened = Opened::open_held(held, Options::default()).map_err(|error| broken(&error))?;
    let sealed_under = vault::sealed_under(&opened).map_err(|error| broken(&error))?;
    if sealed_under.is_none() {
        let what = format!("there are no keys in {}", config.server.data_dir.display());
        return Err(Finding::error(what, SEE));
    }
    let given = Given::find(config, variables, sealed_under);
    let (given, source) = given.map_err(|error| {
        Finding::error(error.to_string(), "Give the root key as the server gets it.")
    })?;
    Ok((opened, given, source))
}

/// Copies everything, then repairs; what is then found comes behind it.
fn repair(
    config: &Config,
    variables: &Variables,
    copy_to: Option<&Path>,
) -> Result<Vec<Finding>, Failure> {
    let data_dir = &config.server.data_dir;
    let held = DataDirLock::acquire_existing(data_dir).map_err(|error| match error {
        OpenError::InUse { path } => Failure::wrong(format!(
            "the database in {} is in use by a running server",
            path.display()
        ))
        .hint(STOP),
        error @ OpenError::Restoring { .. } => Failure::wrong(error),
        error => Failure::wrong(error).hint("Name the server's data directory with --data-dir."),
    })?;
    files::is_ours(data_dir).map_err(|finding| Failure::wrong(finding.what))?;
    let copy =
        aside::copy(data_dir, copy_to).map_err(|error| Failure::wrong(error).hint(NO_COPY))?;
    let mut findings = files::settings(config);
    findings
        .push(Finding::ok(format!("the data directory was copied to {} first", copy.display())));
    // Opening sees to it, so that nobody would learn of it below.
    findings.extend(files::before_opening(data_dir));
    findings.extend(files::repair_modes(data_dir));
    findings.extend(clear_leftovers(data_dir));
    findings.extend(rows(held, config, variables));
    findings.extend(files::examine(config, variables, files::Server::Stopped));
    Ok(findings)
}

/// Removes what is no part of the database.
fn clear_leftovers(data_dir: &Path) -> Vec<Finding> {
    let found = match leftovers(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![files::refused(data_dir, &error)],
    };
    let rubbish = found.into_iter().filter(|(kind, _)| kind.is_removable());
    rubbish
        .map(|(kind, path)| match remove_leftover(&path) {
            Ok(()) => {
                Finding::repaired(format!("{} was removed: {}", path.display(), kind.describe()))
            }
            Err(error) => files::refused(&path, &error),
        })
        .collect()
}

/// Makes the rows fit, and examines them.
fn rows(held: DataDirLock, config: &Config, variables: &Variables) -> Vec<Finding> {
    let now = SystemClock.now();
    let (opened, given, source) = match open(held, config, variables) {
        Ok(open) => open,
        Err(finding) => return vec![finding],
    };
    let unlocked = match vault::unlock(opened, given.roots(), now) {
        Ok(unlocked) => unlocked,
        Err(error) => return vec![locked(&error, &source)],
    };
    let mut findings = rows_of(&unlocked);
    unlocked.store.leak_until_exit();
    findings.extend(unlocked.store.close().err().map(|error| not_closed(&error)));
    findings
}

fn rows_of(unlocked: &Unlocked) -> Vec<Finding> {
    let now = SystemClock.now();
    let mut findings: Vec<_> = match vault::repair(unlocked, now) {
        Ok(RepairReport { lines, .. }) => lines.into_iter().map(Finding::repaired).collect(),
        Err(error) => {
            vec![Finding::error(format!("the rows are not repaired: {error}"), SEE)]
        }
    };
    findings.extend(vault::examine_repaired(unlocked, now).findings);
    findings
}
