//! `coffer run`: runs a program with a workload's values as environment variables.
//!
//! Owns: the identity, the offline cache, the program's environment.
//! Must never: put a value into the arguments or a file, or print one; pass its own credentials to
//! the program; interfere with signals or the exit code.
//!
//! Without `--watch` the program replaces this process (execve), and so keeps its process id, its
//! signals and its exit code.

mod cache;
mod command;
mod start_error;
#[cfg(unix)]
mod supervise;

pub(in crate::cli) use command::RunArguments;
