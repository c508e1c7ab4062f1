//! `coffer backup restore`.

use std::fs::File;
use std::path::PathBuf;

use clap::Args;

use crate::cli::commands::backup::failure::{failure, io_failure};
use crate::cli::commands::backup::opened::BackupFile;
use crate::cli::commands::backup::report::{Action, print_report};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::OutputFormat;
use crate::cli::terminal::progress::Progress;
use crate::config::{self, Variables};
use crate::domain::{Clock, SystemClock};
use crate::store::{self, Options, RestoreError};
use crate::vault::backup;

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArguments {
    /// Backup file
    file: PathBuf,
    /// Data directory to create; may exist if it is empty except for root.key
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Show what would be restored without writing anything
    #[arg(long)]
    dry_run: bool,
    /// age identity file or SSH private key, for a backup that is sealed to a recipient
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON (the default when stdout is not a terminal)
    #[arg(long)]
    json: bool,
}

pub(super) fn restore(arguments: RestoreArguments) -> Result<(), Failure> {
    let RestoreArguments { file, data_dir, dry_run, identity, config, json } = arguments;
    let format = OutputFormat::choose(json);
    let variables = Variables::of_process()?;
    let mut config = config::load(config.as_deref(), &variables)?;
    config.server.data_dir.clone_from(&data_dir);
    logging::start(config.log_level);
    let length =
        File::open(&file).and_then(|file| file.metadata()).map_err(io_failure(&file))?.len();
    store::check_restorable(&data_dir, length, Options::default()).map_err(
        |error| match error {
            error @ RestoreError::NotEmpty { .. } => Failure::wrong(error),
            error => failure(&file, error.into(), true),
        },
    )?;
    let backup = BackupFile::find(file, identity.as_deref(), &config, &variables)?;
    let mut unsettled = None;
    let (summary, examined) = if dry_run {
        backup.verify()?
    } else {
        let (input, bytes) = backup.open()?;
        let progress = Progress::exact("restore", bytes);
        let restored = backup::restore(
            progress.reading(input),
            backup.keys(),
            &data_dir,
            Options::default(),
            SystemClock.now(),
        );
        let restored = restored.map_err(|error| failure(backup.path(), error, true))?;
        unsettled = restored.unsettled;
        (restored.summary, restored.examined)
    };
    let action = Action::Restored { into: &data_dir, dry_run };
    print_report(format, &action, backup.path(), &summary, &examined)?;
    match unsettled {
        None => Ok(()),
        Some(unsettled) => Err(Failure::failed(format!(
            "the database was restored, but may be lost in a power cut: {unsettled}"
        ))
        .hint("Check the disk. The next start of the server completes the restore, or says why it cannot.")),
    }
}
