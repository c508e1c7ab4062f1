//! The command line: raw arguments, then a resolved configuration, then work.
//!
//! Owns: what a person reads in a terminal; exit codes; signals.
//! Must never: print a secret, except a token that has just been made, to
//! whoever made it, and a value to whoever asked to see it; take a password, a
//! token or a secret's value from the arguments.
//! Called by: `main`. One file a command.
//!
//! `serve` is the server. The other commands are clients of a running one by
//! its API (`api`), or work on the data directory of a stopped one (`offline`).
//!
//! Exit codes: 0 done; 1 failed, refused, not found, or the audit log is broken;
//! 2 the arguments or the configuration are wrong. Those of `doctor` are its own.

mod api;
mod arguments;
mod commands;
mod harden;
mod offline;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Variables};

use terminal::error::Failure;

/// A secrets server: write-only secrets over HTTP, sealed and durable.
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
    /// Run the server (what coffer does without a command)
    Serve(ServeArguments),
    /// Run a command with a workload's values as its environment variables
    Run(commands::run::RunArguments),
    /// Begin a session at a server, and keep it for the commands to come
    Login(commands::login::LoginArguments),
    /// End the session
    Logout(commands::login::LogoutArguments),
    /// Who the commands act as, where, and whose token that is
    Whoami(commands::login::WhoamiArguments),
    /// Secrets: set, generate, list, reveal, versions, activate, latch, rm
    #[command(subcommand)]
    Secret(commands::secret::SecretCommand),
    /// Vars, which are no secrets: set, get, list, rm
    #[command(subcommand)]
    Var(commands::var::VarCommand),
    /// Copy secrets into another environment, inside the server
    Copy(commands::copy::CopyArguments),
    /// Environments: create, list, delete
    #[command(subcommand)]
    Env(commands::env::EnvCommand),
    /// Write an environment's secrets and vars in another program's format
    Export(commands::export::ExportArguments),
    /// Read secrets or vars from a file, all of them or none
    Import(commands::import::ImportArguments),
    /// Users: create, list, passwd, disable, enable
    #[command(subcommand)]
    User(commands::user::UserCommand),
    /// Service accounts, for machines: create, list, delete
    #[command(subcommand)]
    ServiceAccount(commands::service_account::ServiceAccountCommand),
    /// API tokens: create, list, revoke
    #[command(subcommand)]
    Token(commands::token::TokenCommand),
    /// The audit log: verify, export
    #[command(subcommand)]
    Audit(commands::audit::AuditCommand),
    /// Keys: generate, protect, status, rotate, retire
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    /// Backups: create, verify, restore
    #[command(subcommand)]
    Backup(commands::backup::BackupCommand),
    /// Look for everything that may be wrong with a server, and say what to do
    Doctor(commands::doctor::DoctorArguments),
    /// Write a stopped server's database anew, without what is no longer live
    Compact(commands::compact::CompactArguments),
    /// A way back in, on the host of a stopped server
    #[command(subcommand)]
    Recover(commands::recover::RecoverCommand),
    /// What a shell completes these commands with
    Completions(commands::completions::CompletionsArguments),
    /// The manual
    Man(commands::man::ManArguments),
}

/// What `coffer --help` says below everything else.
const HELP_ABOUT_SERVERS: &str = "\
The commands besides serve, compact, recover, key generate, key protect, backup
verify, backup restore, completions and man ask a running server: --url or
COFFER_URL, else that of the last login, else the one of this host's configuration.
Their token is COFFER_TOKEN, else the login's, else the first token in the data
directory of this host's server.

Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration. Those of doctor:
0 all is well; 1 there are warnings; 2 something is broken.";

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
        // clap would show the words that it does not know, and one may be a value.
        Err(message)
            if message.kind() == ErrorKind::UnknownArgument
                && commands::secret::is_put(std::env::args_os()) =>
        {
            return commands::secret::not_understood().report();
        }
        Err(message) => {
            // Help and version are answers, not errors; clap knows which is which.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(1));
        }
    };
    // Passwords and tokens pass through the client's memory, too.
    let before = harden::harden();
    let outcome = match arguments.command {
        None => serve(arguments.serve),
        Some(Command::Serve(arguments)) => serve(arguments),
        Some(Command::Run(command)) => match command.run(&before) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
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
        // Its exit code says how bad it is, and is no failure of its own.
        Some(Command::Doctor(command)) => match command.run() {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Some(Command::Compact(command)) => command.run(),
        Some(Command::Recover(command)) => command.run(),
        Some(Command::Completions(command)) => command.run(),
        Some(Command::Man(command)) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
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
    terminal::logging::start(config.log_level);
    let ask = crate::cli::terminal::prompt::passphrase;
    crate::server::serve::run(config, variables, Box::new(load), ask).map_err(|error| {
        match error.exit_code() {
            2 => Failure::wrong(error),
            _ => Failure::failed(error),
        }
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

fn listen_address(text: &str) -> Result<std::net::SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and port such as 127.0.0.1:8420")
}
