//! `coffer completions`: what a shell completes the commands with, made from the
//! same declarations as the commands themselves.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::written;

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsArguments {
    /// The shell; its manual says where the text goes
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl CompletionsArguments {
    pub fn run(self) -> Result<(), Failure> {
        let shell: Shell = self.shell.parse().map_err(Failure::wrong)?;
        let mut command = crate::cli::Arguments::command();
        // Into memory first: its writer would panic on a pipe that was closed.
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "coffer", &mut text);
        written(std::io::Write::write_all(&mut std::io::stdout(), &text))
    }
}
