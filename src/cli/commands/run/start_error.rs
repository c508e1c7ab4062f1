//! Why the program could not be started.

use std::io::{Error, ErrorKind};
use std::process::Command;

use crate::cli::terminal::error::Failure;

/// Exits as a shell does (POSIX, XCU 2.8.2): with 127 if the program does not exist, with 126 if
/// it cannot be executed.
pub(super) fn not_started(command: &Command, error: &Error) -> Failure {
    let program = command.get_program().display();
    let code = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
    Failure::with_code(code, format!("cannot run {program}: {error}"))
        .hint("Check the program after -- and its path.")
}
