//! Opening the database of a stopped server, in the same way as the server does.
//!
//! Must never: create a database or a key where there is none; create files in a data directory
//! of another user, which the server could then not open.
//! Called by: the commands that work without a running server.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::{logging, prompt};
use crate::config::{self, Config, Variables};
use crate::domain::Finding;
use crate::server::root_key::{self, RootKeyError, RootKeySource, SealedObject};
use crate::store::{OpenError, Opened, Options};
use crate::vault::{self, RootKey, RootKeys, UnlockError};

/// The hint for a database that failed to close after a change.
pub(super) const CHECK_THE_DISK: &str =
    "Check the disk, then start the server, which recovers the database.";

/// Names the data directory of a stopped server.
#[derive(Debug, Args)]
pub(super) struct DataDirArguments {
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory of the stopped server [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDirArguments {
    /// Loads the configuration, with this data directory, and starts logging.
    pub fn load(self) -> Result<(Config, Variables), Failure> {
        let variables = Variables::of_process()?;
        let mut config = config::load(self.config.as_deref(), &variables)?;
        if let Some(data_dir) = self.data_dir {
            config.server.data_dir = data_dir;
        }
        logging::start(config.log_level);
        Ok((config, variables))
    }
}

/// An open database and the root keys that the host has for it.
pub(super) struct StoppedServer {
    pub opened: Opened,
    pub root_keys: HostRootKeys,
    source: RootKeySource,
}

impl StoppedServer {
    /// Opens the database. `alternative` completes the hint "Stop the server first" for commands
    /// that can also ask a running server; otherwise it is empty.
    pub fn open(
        config: &Config,
        variables: &Variables,
        alternative: &str,
    ) -> Result<Self, Failure> {
        let data_dir = &config.server.data_dir;
        if data_dir.exists() {
            check_owner(data_dir).map_err(|finding| {
                let failure = Failure::wrong(finding.what);
                match finding.remedy {
                    Some(remedy) => failure.hint(remedy),
                    None => failure,
                }
            })?;
        }
        let opened = Opened::open_existing(data_dir, Options::default())
            .map_err(|error| not_opened(error, alternative))?;
        let sealed_under = vault::sealed_under(&opened).map_err(Failure::failed)?;
        if sealed_under.is_none() {
            return Err(no_database(data_dir));
        }
        let (root_keys, source) =
            HostRootKeys::find(config, variables, sealed_under).map_err(Failure::wrong)?;
        Ok(Self { opened, root_keys, source })
    }

    /// Closes a database that was only read.
    pub fn close(self) -> Result<(), Failure> {
        self.opened.close().map_err(|error| {
            Failure::failed(format!("cannot close the database: {error}"))
                .hint("Check the disk and the system log.")
        })
    }

    /// Explains why the root key from `source` does not unlock the database.
    pub fn not_unlocked(source: &RootKeySource, error: &UnlockError) -> Failure {
        let failure = Failure::failed(error);
        match error.remedy(&source.to_string()) {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        }
    }

    /// Where the root key came from.
    pub fn source(&self) -> &RootKeySource {
        &self.source
    }
}

/// The root key that the host has, and the previous one while the root key changes.
pub(super) struct HostRootKeys {
    current: RootKey,
    previous: Option<RootKey>,
}

impl HostRootKeys {
    /// Finds the keys in the places where the server looks for them.
    pub fn find(
        config: &Config,
        variables: &Variables,
        sealed_under: Option<vault::Fingerprint>,
    ) -> Result<(Self, RootKeySource), RootKeyError> {
        let sealed = sealed_under.map(SealedObject::database);
        let (current, source) = root_key::resolve(config, variables, sealed, prompt::passphrase)?;
        let previous = root_key::previous(config, variables, prompt::passphrase)?;
        Ok((Self { current, previous }, source))
    }

    /// The keys, for the vault.
    pub fn roots(&self) -> RootKeys<'_> {
        RootKeys { current: &self.current, previous: self.previous.as_ref() }
    }
}

/// Fails unless the database belongs to the user that runs this process. The owner of the data
/// directory itself does not count, because it may be a mount shared with a group.
pub(super) fn check_owner(data_dir: &Path) -> Result<(), Finding> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let log = data_dir.join("db/db");
        let path = if log.exists() { &log } else { data_dir };
        let owner = std::fs::metadata(path).map_err(|error| inaccessible(path, &error))?.uid();
        let user = rustix::process::geteuid().as_raw();
        if owner != user {
            return Err(Finding::error(
                format!(
                    "{} belongs to user {owner}, but this process runs as user {user}: opening the database would create files that the server cannot use",
                    path.display()
                ),
                "Run this command as the server's user.",
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = data_dir;
    Ok(())
}

/// Reports a file that could not be examined or changed.
pub(super) fn inaccessible(path: &Path, error: &io::Error) -> Finding {
    Finding::error(
        format!("{}: {error}", path.display()),
        "Run this command as the server's user, and check the disk.",
    )
}

/// Reports a database that a running server has open.
pub(super) fn in_use(path: &Path) -> String {
    format!("the database in {} is in use by a running server", path.display())
}

fn not_opened(error: OpenError, alternative: &str) -> Failure {
    match error {
        OpenError::None { path } => no_database(&path),
        OpenError::InUse { path } => {
            Failure::failed(in_use(&path)).hint(format!("Stop the server first{alternative}."))
        }
        error => Failure::failed(error),
    }
}

fn no_database(data_dir: &Path) -> Failure {
    Failure::failed(format!("no database in {}", data_dir.display()))
        .hint("Pass the server's data directory with --data-dir.")
}
