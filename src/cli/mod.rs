//! The command line: raw arguments, then a resolved configuration, then work.
//!
//! Owns: what a person reads in a terminal; exit codes; signals.
//! Must never: print a secret, except the first token on a terminal.
//! Called by: `main`. One file a command.
//!
//! Exit codes: 0 done; 1 failed; 2 the arguments or the configuration are wrong.

mod announce;
mod first_user;
mod harden;
mod logging;
mod root_key;
pub mod serve;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Variables};

/// A secrets server: write-only secrets over HTTP, sealed and durable.
#[derive(Debug, Parser)]
#[command(
    name = "coffer",
    version,
    about,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what coffer does without a command)
    Serve(ServeArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is stored [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    listen: Option<std::net::SocketAddr>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help and version are answers, not errors; clap knows which is which.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(1));
        }
    };
    let serve = match arguments.command {
        Some(Command::Serve(serve)) => serve,
        None => arguments.serve,
    };
    match run(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "coffer: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(arguments: ServeArguments) -> Result<(), (u8, String)> {
    let wrong = |error: ConfigError| (2, error.to_string());
    harden::harden();
    let variables = Variables::of_process().map_err(wrong)?;
    let mut config = config::load(arguments.config.as_deref(), &variables).map_err(wrong)?;
    arguments.override_in(&mut config);
    logging::start(config.log_level);
    serve::run(config, variables).map_err(|error| (error.exit_code(), error.to_string()))
}

impl ServeArguments {
    fn override_in(self, config: &mut Config) {
        if let Some(data_dir) = self.data_dir {
            config.server.data_dir = data_dir;
        }
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
    }
}

fn listen_address(text: &str) -> Result<std::net::SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and port such as 127.0.0.1:8420")
}
