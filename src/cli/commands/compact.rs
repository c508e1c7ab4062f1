//! `coffer compact`: writes the log of a stopped server's database anew, with
//! what is live. See `store::compact` for how that survives a power cut.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::offline::{CHECK_THE_DISK, Stopped};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::{Form, print};
use crate::config::{self, Variables};
use crate::domain::{Clock, SystemClock};
use crate::store::Compacted;
use crate::vault;

#[derive(Debug, Args)]
pub(in crate::cli) struct CompactArguments {
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The stopped server's data directory [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON, as when stdout is no terminal
    #[arg(long)]
    json: bool,
}

impl CompactArguments {
    pub fn run(self) -> Result<(), Failure> {
        let variables = Variables::of_process()?;
        let mut config = config::load(self.config.as_deref(), &variables)?;
        if let Some(data_dir) = self.data_dir {
            config.server.data_dir = data_dir;
        }
        logging::start(config.log_level);
        let stopped = Stopped::open(&config, &variables, "")?;
        let source = stopped.source().clone();
        let locked = |error| Stopped::failure(&source, &error);
        // Before anything is done: it is to be in the audit log.
        vault::verify_audit(&stopped.opened, stopped.given.roots()).map_err(locked)?;
        let (opened, outcome) = stopped.opened.compact().map_err(Failure::failed)?;
        let compacted = outcome.map_err(|error| {
            Failure::failed(error)
                .hint("The database is as it was. Make room, or see what the file system says.")
        })?;
        let now = SystemClock.now();
        let unlocked = vault::unlock(opened, stopped.given.roots(), now).map_err(locked)?;
        let recorded = vault::record_compaction(&unlocked, compacted, now);
        unlocked.store.leak_until_exit();
        let closed = unlocked.store.close();
        recorded.map_err(Failure::failed)?;
        closed.map_err(|error| Failure::failed(error).hint(CHECK_THE_DISK))?;
        let Compacted { rows, live_bytes, before_bytes, after_bytes } = compacted;
        print(&match Form::choose(self.json) {
            Form::Json => json!({
                "rows": rows,
                "liveBytes": live_bytes,
                "beforeBytes": before_bytes,
                "afterBytes": after_bytes,
            })
            .to_string(),
            Form::Table => format!(
                "compacted: {rows} rows; the log had {} KiB and has {} KiB",
                before_bytes.div_ceil(1024),
                after_bytes.div_ceil(1024)
            ),
        })
    }
}
