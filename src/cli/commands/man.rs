//! `coffer man`: man pages, generated from the declarations of the commands.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::{check_written, print};

#[derive(Debug, Args)]
pub(in crate::cli) struct ManArguments {
    /// Write one page per command to this existing directory [default: print coffer(1)]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArguments {
    pub fn run(self, command: clap::Command) -> Result<(), Failure> {
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Man::new(command).render(&mut page).map_err(Failure::failed)?;
            return check_written(std::io::stdout().write_all(&page));
        };
        let cannot_write = |error| {
            Failure::failed(format!("cannot write to {}: {error}", directory.display()))
                .hint("Create the directory first, for example ~/.local/share/man/man1.")
        };
        let listing = std::fs::read_dir(&directory).map_err(cannot_write)?;
        drop(listing);
        clap_mangen::generate_to(command, &directory).map_err(cannot_write)?;
        print(&format!("wrote the man pages to {}", directory.display()))
    }
}
