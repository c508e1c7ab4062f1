//! `coffer doctor --repair`: repairs, after copying the data directory.

use std::path::Path;

use crate::cli::commands::doctor::database::{self, SEE_DOCS, not_closed, not_unlocked};
use crate::cli::commands::doctor::{files, safety_copy};
use crate::cli::offline::{check_owner, in_use, inaccessible};
use crate::cli::terminal::error::Failure;
use crate::config::{Config, Variables};
use crate::domain::{Clock, Finding, SystemClock};
use crate::store::{DataDirLock, OpenError, RepairReport, leftovers, remove_leftover};
use crate::vault::{self, Unlocked};

/// Copies the data directory, repairs it, and reports the repairs and what is still wrong.
pub(super) fn repair(
    config: &Config,
    variables: &Variables,
    copy_to: Option<&Path>,
) -> Result<Vec<Finding>, Failure> {
    let data_dir = &config.server.data_dir;
    let held = DataDirLock::acquire_existing(data_dir).map_err(|error| match error {
        OpenError::InUse { path } => Failure::wrong(in_use(&path))
            .hint("Stop the server first, so that nothing is written during the repair."),
        error @ OpenError::Restoring { .. } => Failure::wrong(error),
        error => Failure::wrong(error).hint("Pass the server's data directory with --data-dir."),
    })?;
    check_owner(data_dir).map_err(|finding| Failure::wrong(finding.what))?;
    let copy = safety_copy::create(data_dir, copy_to).map_err(|error| {
        Failure::wrong(error).hint(
            "Nothing was repaired. To put the copy elsewhere, pass a writable directory with --copy-to DIR.",
        )
    })?;
    let mut findings = files::settings(config);
    let copied = format!("copied the data directory to {} before the repair", copy.display());
    findings.push(Finding::ok(copied));
    // Reported now, because opening the database below removes these files.
    findings.extend(files::before_opening(data_dir));
    findings.extend(files::repair_modes(data_dir));
    findings.extend(remove_leftovers(data_dir));
    findings.extend(repair_rows(held, config, variables));
    findings.extend(files::examine(config, variables, files::ServerState::Stopped));
    Ok(findings)
}

/// Removes files that are not part of the database.
fn remove_leftovers(data_dir: &Path) -> Vec<Finding> {
    let found = match leftovers(data_dir) {
        Ok(found) => found,
        Err(error) => return vec![inaccessible(data_dir, &error)],
    };
    let removable = found.into_iter().filter(|(kind, _)| kind.is_removable());
    removable
        .map(|(kind, path)| match remove_leftover(&path) {
            Ok(()) => Finding::repaired(format!("removed {}: {}", path.display(), kind.describe())),
            Err(error) => inaccessible(&path, &error),
        })
        .collect()
}

/// Opens the database, repairs its rows and examines them.
fn repair_rows(held: DataDirLock, config: &Config, variables: &Variables) -> Vec<Finding> {
    let now = SystemClock.now();
    let (opened, root_keys, source) = match database::open(held, config, variables) {
        Ok(open) => open,
        Err(finding) => return vec![finding],
    };
    let unlocked = match vault::unlock(opened, root_keys.roots(), now) {
        Ok(unlocked) => unlocked,
        Err(error) => return vec![not_unlocked(&error, &source)],
    };
    let mut findings = repair_unlocked(&unlocked);
    unlocked.store.leak_until_exit();
    findings.extend(unlocked.store.close().err().map(|error| not_closed(&error)));
    findings
}

fn repair_unlocked(unlocked: &Unlocked) -> Vec<Finding> {
    let now = SystemClock.now();
    let mut findings: Vec<_> = match vault::repair(unlocked, now) {
        Ok(RepairReport { lines, .. }) => lines.into_iter().map(Finding::repaired).collect(),
        Err(error) => vec![Finding::error(format!("cannot repair the rows: {error}"), SEE_DOCS)],
    };
    findings.extend(vault::examine_repaired(unlocked, now).findings);
    findings
}
