//! `coffer recover`: a way back in for whoever holds the host.
//!
//! Whoever has the root key and the data directory can decrypt everything
//! anyway (see the promise in `lib.rs`), so this gives nothing away; and it
//! leaves a row in the audit log.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::access;
use crate::cli::offline::{CHECK_THE_DISK, Stopped};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::print;
use crate::config::{self, Variables};
use crate::domain::{Clock, SystemClock, Timestamp};
use crate::vault;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecoverCommand {
    /// Make an admin token for everything and print it; the server must be stopped
    AdminToken(AdminTokenArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AdminTokenArguments {
    /// The token stops working after so many days [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=365))]
    expires_in_days: Option<u16>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The stopped server's data directory [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl RecoverCommand {
    pub fn run(self) -> Result<(), Failure> {
        let Self::AdminToken(arguments) = self;
        let variables = Variables::of_process()?;
        let mut config = config::load(arguments.config.as_deref(), &variables)?;
        if let Some(data_dir) = arguments.data_dir {
            config.server.data_dir = data_dir;
        }
        logging::start(config.log_level);
        let stopped = Stopped::open(&config, &variables, "")?;
        let source = stopped.source().clone();
        let now = SystemClock.now();
        let unlocked = vault::unlock(stopped.opened, stopped.given.roots(), now)
            .map_err(|error| Stopped::failure(&source, &error))?;
        let expires_at = arguments
            .expires_in_days
            .map(|days| Timestamp::from_millis(now.millis() + i64::from(days) * DAY_MILLIS));
        let made = access::recover_admin_token(&unlocked, expires_at, now);
        unlocked.store.leak_until_exit();
        let closed = unlocked.store.close();
        let (id, token) = made.map_err(Failure::failed)?;
        closed.map_err(Failure::failed)?;
        let until = expires_at.map_or("until it is revoked".to_owned(), |at| format!("until {at}"));
        let _ = writeln!(
            std::io::stderr(),
            "coffer: {id}, an admin token for everything, named \"recovery\", good {until}; it is shown this once:"
        );
        print(token.expose())?;
        closed.map_err(|error| Failure::failed(error).hint(CHECK_THE_DISK))
    }
}
