//! `coffer completions`: shell completions, generated from the declarations of the commands.

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::check_written;

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArguments {
    /// Shell; its manual says where completions are installed
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl CompletionsArguments {
    pub fn run(self, mut command: clap::Command) -> Result<(), Failure> {
        let shell: Shell = self.shell.parse().map_err(Failure::wrong)?;
        // Into memory first, because the generator panics on a closed pipe.
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "coffer", &mut text);
        check_written(std::io::stdout().write_all(&text))
    }
}
