//! `coffer recover`: admin access for the owner of the host.
//!
//! Anyone who has the root key and the data directory can decrypt everything anyway (see the
//! promise in `lib.rs`), so this grants nothing new; and it is recorded in the audit log.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::access;
use crate::cli::offline::{CHECK_THE_DISK, DataDirArguments, StoppedServer};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::print;
use crate::domain::{Clock, SystemClock, Timestamp};
use crate::vault;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RecoverCommand {
    /// Create an admin token for all environments and print it (server stopped)
    AdminToken(AdminTokenArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct AdminTokenArguments {
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=365))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    data_dir: DataDirArguments,
}

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl RecoverCommand {
    pub fn run(self) -> Result<(), Failure> {
        let Self::AdminToken(AdminTokenArguments { expires_in_days, data_dir }) = self;
        let (config, variables) = data_dir.load()?;
        let stopped = StoppedServer::open(&config, &variables, "")?;
        let source = stopped.source().clone();
        let now = SystemClock.now();
        let unlocked = vault::unlock(stopped.opened, stopped.root_keys.roots(), now)
            .map_err(|error| StoppedServer::not_unlocked(&source, &error))?;
        let expires_at = expires_in_days
            .map(|days| Timestamp::from_millis(now.millis() + i64::from(days) * DAY_MILLIS));
        let created = access::recover_admin_token(&unlocked, expires_at, now);
        unlocked.store.leak_until_exit();
        let closed = unlocked.store.close();
        let (id, token) = created.map_err(Failure::failed)?;
        // Not printed if the database may have lost it.
        closed.map_err(|error| Failure::failed(error).hint(CHECK_THE_DISK))?;
        let expiry = expires_at.map_or("never expires".to_owned(), |at| format!("expires {at}"));
        let _ = writeln!(
            std::io::stderr(),
            "coffer: created admin token \"recovery\" ({id}, all environments, {expiry}). Save it now, it will not be shown again:"
        );
        print(token.expose())
    }
}
