//! The command line: parses the arguments, resolves the configuration, runs one command.
//!
//! Owns: what a person reads in a terminal, and exit codes.
//! Must never: print a secret, except a new token to its creator and a value to the person who
//! asked for it; take a password, a token or a secret's value from the arguments.
//! Called by: `main`.
//!
//! `serve` is the server. The other commands are clients of a running server (`api`), or work on
//! the data directory of a stopped one (`offline`).
//!
//! Exit codes: 0 success; 1 failure, including a broken audit log; 2 wrong arguments or
//! configuration. `doctor` has its own.

mod api;
mod arguments;
mod commands;
mod harden;
mod offline;
mod terminal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, Config, Variables};
use crate::server;

use harden::OriginalLimits;
use terminal::error::Failure;
use terminal::{logging, prompt};

/// A self-hosted secrets server with write-only secrets.
#[derive(Debug, Parser)]
#[command(
    name = "coffer",
    version,
    about,
    after_help = HELP_ABOUT_SERVERS,
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
    /// Run the server (the default command)
    Serve(ServeArguments),
    /// Run a program with a workload's values as environment variables
    Run(commands::run::RunArguments),
    /// Log in to a server
    Login(commands::login::LoginArguments),
    /// Log out of a server
    Logout(commands::login::LogoutArguments),
    /// Show the current user and server
    Whoami(commands::login::WhoamiArguments),
    /// Manage secrets
    #[command(subcommand)]
    Secret(commands::secret::SecretCommand),
    /// Manage variables (non-secret values)
    #[command(subcommand)]
    Var(commands::var::VarCommand),
    /// Copy secrets to another environment
    Copy(commands::copy::CopyArguments),
    /// Manage environments
    #[command(subcommand)]
    Env(commands::env::EnvCommand),
    /// Export secrets and variables in a file format
    Export(commands::export::ExportArguments),
    /// Import secrets or variables from a file
    Import(commands::import::ImportArguments),
    /// Manage users
    #[command(subcommand)]
    User(commands::user::UserCommand),
    /// Manage service accounts
    #[command(subcommand)]
    ServiceAccount(commands::service_account::ServiceAccountCommand),
    /// Manage API tokens
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// Verify and export the audit log
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Manage root keys and wrapping keys
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Create, verify and restore backups
    #[command(subcommand)]
    Backup(commands::backup::BackupCommand),
    /// Check the server and suggest fixes
    Doctor(commands::doctor::DoctorArguments),
    /// Compact the database (server stopped)
    Compact(commands::compact::CompactArguments),
    /// Recover admin access (server stopped)
    #[command(subcommand)]
    Recover(commands::recover::RecoverCommand),
    /// Generate shell completions
    Completions(commands::completions::CompletionsArguments),
    /// Generate man pages
    Man(commands::man::ManArguments),
}

/// The text at the end of `coffer --help`.
const HELP_ABOUT_SERVERS: &str = "\
Most commands talk to a running server: the one given by --url or COFFER_URL, else
the last login, else the server on this host. They authenticate with COFFER_TOKEN,
else the login, else the bootstrap token in the data directory of this host.

These commands need no running server: serve, compact, recover, key generate,
key protect, backup verify, backup restore, completions, man.

Exit codes: 0 success; 1 failure; 2 wrong arguments or configuration.
For doctor: 0 healthy; 1 warnings; 2 errors.";

#[derive(Debug, Args)]
struct ServeArguments {
    /// Configuration file [default: ./config.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Listen address; port 0 picks a free port [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    listen: Option<SocketAddr>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // clap would print the unknown argument, which may be a value.
        Err(error)
            if error.kind() == ErrorKind::UnknownArgument
                && commands::secret::takes_value(std::env::args_os()) =>
        {
            return commands::secret::unknown_argument().report();
        }
        Err(error) => {
            // Help and version end up here too; clap knows their stream and exit code.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    // For clients as well: passwords and tokens are in their memory.
    let limits = harden::harden();
    match run(arguments, &limits) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments, limits: &OriginalLimits) -> Result<ExitCode, Failure> {
    match arguments.command {
        None => serve(arguments.serve),
        Some(Command::Serve(arguments)) => serve(arguments),
        // These two have exit codes of their own.
        Some(Command::Run(command)) => return command.run(limits),
        Some(Command::Doctor(command)) => return command.run(),
        Some(Command::Login(command)) => command.run(),
        Some(Command::Logout(command)) => command.run(),
        Some(Command::Whoami(command)) => command.run(),
        Some(Command::Secret(command)) => command.run(),
        Some(Command::Var(command)) => command.run(),
        Some(Command::Copy(command)) => command.run(),
        Some(Command::Env(command)) => command.run(),
        Some(Command::Export(command)) => command.run(),
        Some(Command::Import(command)) => command.run(),
        Some(Command::User(command)) => command.run(),
        Some(Command::ServiceAccount(command)) => command.run(),
        Some(Command::Token(command)) => command.run(),
        Some(Command::Audit(command)) => command.run(),
        Some(Command::Key(command)) => command.run(),
        Some(Command::Backup(command)) => command.run(),
        Some(Command::Compact(command)) => command.run(),
        Some(Command::Recover(command)) => command.run(),
        Some(Command::Completions(command)) => command.run(Arguments::command()),
        Some(Command::Man(command)) => command.run(Arguments::command()),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn serve(arguments: ServeArguments) -> Result<(), Failure> {
    let variables = Variables::of_process()?;
    let load = {
        let variables = variables.clone();
        move || {
            let mut config = config::load(arguments.config.as_deref(), &variables)?;
            arguments.override_in(&mut config);
            Ok(config)
        }
    };
    let config = load()?;
    logging::start(config.log_level);
    server::run(config, variables, Box::new(load), prompt::passphrase).map_err(|error| match error
        .exit_code()
    {
        2 => Failure::wrong(error),
        _ => Failure::failed(error),
    })
}

impl ServeArguments {
    fn override_in(&self, config: &mut Config) {
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and port such as 127.0.0.1:8420")
}
