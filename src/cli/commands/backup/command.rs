//! The subcommands of `coffer backup`.

use clap::Subcommand;

use crate::cli::commands::backup::create::{BackupCreateArguments, create};
use crate::cli::commands::backup::restore::{RestoreArguments, restore};
use crate::cli::commands::backup::verify::{BackupVerifyArguments, verify};
use crate::cli::terminal::error::Failure;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BackupCommand {
    /// Create a sealed backup file, of a running or stopped server
    Create(BackupCreateArguments),
    /// Check that a backup and every record in it can be decrypted
    Verify(BackupVerifyArguments),
    /// Restore a backup into a new data directory
    Restore(RestoreArguments),
}

impl BackupCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(arguments) => create(arguments),
            Self::Verify(arguments) => verify(arguments),
            Self::Restore(arguments) => restore(arguments),
        }
    }
}
