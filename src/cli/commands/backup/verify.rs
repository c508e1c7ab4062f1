//! `coffer backup verify`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::commands::backup::opened::BackupFile;
use crate::cli::commands::backup::report::{Action, print_report};
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::logging;
use crate::cli::terminal::output::OutputFormat;
use crate::config::{self, Variables};

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupVerifyArguments {
    /// Backup file
    file: PathBuf,
    /// age identity file or SSH private key, for a backup that is sealed to a recipient
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory that contains root.key [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON (the default when stdout is not a terminal)
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(arguments: BackupVerifyArguments) -> Result<(), Failure> {
    let BackupVerifyArguments { file, identity, config, data_dir, json } = arguments;
    let format = OutputFormat::choose(json);
    let variables = Variables::of_process()?;
    let mut config = config::load(config.as_deref(), &variables)?;
    if let Some(data_dir) = data_dir {
        config.server.data_dir = data_dir;
    }
    logging::start(config.log_level);
    let backup = BackupFile::find(file, identity.as_deref(), &config, &variables)?;
    let (summary, examined) = backup.verify()?;
    print_report(format, &Action::Verified, backup.path(), &summary, &examined)?;
    let problem = match examined.findings.len() {
        0 => return Ok(()),
        1 => "1 record is damaged or inconsistent".to_owned(),
        count => format!("{count} records are damaged or inconsistent"),
    };
    Err(Failure::failed(problem).hint(
        "The file is complete, but the database was damaged when the backup was made. Compare with an older backup.",
    ))
}
