//! The database of a stopped server, opened as the server would open it.
//!
//! Must never: make a database or a key where there is none.

use std::path::PathBuf;

use crate::cli::commands::doctor::is_ours;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::prompt;
use crate::config::{Config, Variables};
use crate::server::root_key;
use crate::store::{OpenError, Opened, Options};
use crate::vault::{self, RootKey, RootKeys, UnlockError};

/// What to do when closing it has failed.
pub(super) const CHECK_THE_DISK: &str =
    "Check the disk, then start the server; it takes care of the rest.";

/// A database whose keys are at hand.
pub(super) struct Stopped {
    pub opened: Opened,
    pub given: Given,
    source: root_key::Source,
}

impl Stopped {
    /// `or_ask` is what can be done instead while a server runs, if anything.
    pub fn open(config: &Config, variables: &Variables, or_ask: &str) -> Result<Self, Failure> {
        let data_dir = &config.server.data_dir;
        // Files that root makes in there, the server cannot open.
        if data_dir.exists() {
            is_ours(data_dir).map_err(|finding| {
                let failure = Failure::wrong(finding.what);
                match finding.remedy {
                    Some(remedy) => failure.hint(remedy),
                    None => failure,
                }
            })?;
        }
        let opened = Opened::open_existing(data_dir, Options::default())
            .map_err(|error| not_open(error, or_ask))?;
        let sealed_under = vault::sealed_under(&opened).map_err(Failure::failed)?;
        if sealed_under.is_none() {
            return Err(no_database(data_dir.clone()));
        }
        let (given, source) =
            Given::find(config, variables, sealed_under).map_err(Failure::wrong)?;
        Ok(Self { opened, given, source })
    }

    /// Closes it, for those who have only read.
    pub fn close(self) -> Result<(), Failure> {
        self.opened.close().map_err(|error| {
            Failure::failed(format!("the database could not be closed: {error}"))
                .hint("Check the disk, and the system's log about it.")
        })
    }

    /// Where the root key came from, for what does not open with it.
    pub fn failure(source: &root_key::Source, error: &UnlockError) -> Failure {
        let failure = Failure::failed(error);
        match error.remedy(&source.to_string()) {
            Some(remedy) => failure.hint(remedy),
            None => failure,
        }
    }

    pub fn source(&self) -> &root_key::Source {
        &self.source
    }
}

/// The root keys of a database: two of them while the root key changes.
pub(super) struct Given {
    root_key: RootKey,
    previous: Option<RootKey>,
}

impl Given {
    /// From the usual places.
    pub fn find(
        config: &Config,
        variables: &Variables,
        sealed_under: Option<vault::Fingerprint>,
    ) -> Result<(Self, root_key::Source), root_key::RootKeyError> {
        let (root_key, source) = root_key::resolve(
            config,
            variables,
            sealed_under.map(root_key::Sealed::database),
            prompt::passphrase,
        )?;
        let previous = root_key::previous(config, variables, prompt::passphrase)?;
        Ok((Self { root_key, previous }, source))
    }

    /// As the vault takes them.
    pub fn roots(&self) -> RootKeys<'_> {
        RootKeys { current: &self.root_key, previous: self.previous.as_ref() }
    }
}

fn not_open(error: OpenError, or_ask: &str) -> Failure {
    match error {
        OpenError::None { path } => no_database(path),
        OpenError::InUse { path } => Failure::failed(format!(
            "the database in {} is in use by a running server",
            path.display()
        ))
        .hint(format!("Stop the server first{or_ask}.")),
        error => Failure::failed(error),
    }
}

fn no_database(data_dir: PathBuf) -> Failure {
    Failure::failed(format!("there is no database in {}", data_dir.display()))
        .hint("Name the server's data directory with --data-dir.")
}
