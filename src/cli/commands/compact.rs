//! `coffer compact`: rewrites the database log of a stopped server with its live rows only.
//!
//! `store` makes this safe against a power cut at any moment.

use clap::Args;
use serde_json::json;

use crate::cli::offline::{CHECK_THE_DISK, DataDirArguments, StoppedServer};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{OutputFormat, print};
use crate::domain::{Clock, SystemClock};
use crate::store::Compacted;
use crate::vault;

#[derive(Debug, Args)]
pub(in crate::cli) struct CompactArguments {
    #[command(flatten)]
    data_dir: DataDirArguments,
    /// Print JSON (the default when stdout is not a terminal)
    #[arg(long)]
    json: bool,
}

impl CompactArguments {
    pub fn run(self) -> Result<(), Failure> {
        let (config, variables) = self.data_dir.load()?;
        let stopped = StoppedServer::open(&config, &variables, "")?;
        let source = stopped.source().clone();
        let not_unlocked = |error| StoppedServer::not_unlocked(&source, &error);
        // Checked first, because the compaction has to be recorded in the audit log.
        vault::verify_audit(&stopped.opened, stopped.root_keys.roots()).map_err(not_unlocked)?;
        let (opened, outcome) = stopped.opened.compact().map_err(Failure::failed)?;
        let compacted = outcome.map_err(|error| {
            Failure::failed(error)
                .hint("The database is unchanged. Free up disk space, or check the file system.")
        })?;
        let now = SystemClock.now();
        let unlocked =
            vault::unlock(opened, stopped.root_keys.roots(), now).map_err(not_unlocked)?;
        let recorded = vault::record_compaction(&unlocked, compacted, now);
        unlocked.store.leak_until_exit();
        let closed = unlocked.store.close();
        recorded.map_err(Failure::failed)?;
        closed.map_err(|error| Failure::failed(error).hint(CHECK_THE_DISK))?;
        let Compacted { rows, live_bytes, before_bytes, after_bytes } = compacted;
        print(&match OutputFormat::choose(self.json) {
            OutputFormat::Json => json!({
                "rows": rows,
                "liveBytes": live_bytes,
                "beforeBytes": before_bytes,
                "afterBytes": after_bytes,
            })
            .to_string(),
            OutputFormat::Table => format!(
                "compacted {rows} rows: {} KiB before, {} KiB after",
                before_bytes.div_ceil(1024),
                after_bytes.div_ceil(1024)
            ),
        })
    }
}
