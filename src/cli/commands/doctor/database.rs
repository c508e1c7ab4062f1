//! Opening and examining the database of a stopped server.

use std::fmt::Display;

use crate::cli::commands::doctor::files;
use crate::cli::offline::{HostRootKeys, check_owner};
use crate::config::{Config, Variables};
use crate::domain::{Clock, Finding, SystemClock};
use crate::server::root_key::RootKeySource;
use crate::store::{DataDirLock, Opened, Options};
use crate::vault::{self, UnlockError};

/// Where the documentation says what to do.
pub(super) const SEE_DOCS: &str =
    "See docs/operations.md, \"Disaster: the database does not open\".";

/// Examines the database, read-only.
pub(super) fn examine(held: DataDirLock, config: &Config, variables: &Variables) -> Vec<Finding> {
    let (opened, root_keys, source) = match open(held, config, variables) {
        Ok(open) => open,
        Err(finding) => return vec![finding],
    };
    let mut findings = match vault::examine_stopped(&opened, root_keys.roots(), SystemClock.now()) {
        Ok(examined) => examined.findings,
        Err(error) => vec![not_unlocked(&error, &source)],
    };
    findings.extend(opened.close().err().map(|error| not_closed(&error)));
    findings
}

/// Opens the database and finds its root keys.
pub(super) fn open(
    held: DataDirLock,
    config: &Config,
    variables: &Variables,
) -> Result<(Opened, HostRootKeys, RootKeySource), Finding> {
    check_owner(&config.server.data_dir)?;
    let broken = |error: &dyn Display| Finding::error(error.to_string(), SEE_DOCS);
    let opened = Opened::open_held(held, Options::default()).map_err(|error| broken(&error))?;
    let sealed_under = vault::sealed_under(&opened).map_err(|error| broken(&error))?;
    if sealed_under.is_none() {
        let what = format!("the database in {} has no keys", config.server.data_dir.display());
        return Err(Finding::error(what, SEE_DOCS));
    }
    let found = HostRootKeys::find(config, variables, sealed_under);
    let (root_keys, source) = found.map_err(|error| {
        Finding::error(error.to_string(), "Provide the root key in the same way as to the server.")
    })?;
    Ok((opened, root_keys, source))
}

/// Reports a database that failed to close.
pub(super) fn not_closed(error: &dyn Display) -> Finding {
    Finding::error(format!("cannot close the database: {error}"), files::CHECK_DISK)
}

/// Reports a database that the root key from `source` does not unlock.
pub(super) fn not_unlocked(error: &UnlockError, source: &RootKeySource) -> Finding {
    let remedy = error.remedy(&source.to_string());
    Finding::error(error.to_string(), remedy.unwrap_or_else(|| SEE_DOCS.to_owned()))
}
