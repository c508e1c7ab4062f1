//! `coffer man`: the manual, made from the same declarations as the commands
//! themselves.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{print, written};

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArguments {
    /// Write a page for every command into this directory, which must be there
    /// [default: print coffer(1)]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArguments {
    pub fn run(self) -> Result<(), Failure> {
        let command = crate::cli::Arguments::command();
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).map_err(Failure::failed)?;
            return written(std::io::stdout().write_all(&page));
        };
        let cannot = |error| {
            Failure::failed(format!("cannot write to {}: {error}", directory.display()))
                .hint("Make the directory first: for one user, ~/.local/share/man/man1.")
        };
        let before = std::fs::read_dir(&directory).map_err(cannot)?;
        drop(before);
        clap_mangen::generate_to(command, &directory).map_err(cannot)?;
        print(&format!("wrote the pages to {}", directory.display()))
    }
}
