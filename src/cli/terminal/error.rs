//! Why a command failed: what it prints on stderr, and the exit code.
//!
//! Must never: hold a secret; pass control characters on to the terminal.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::cli::terminal::sanitize::clean;
use crate::cli::terminal::style;
use crate::config::ConfigError;

/// What failed, on the first line, and what to do about it, on the lines below.
#[derive(Debug)]
pub(in crate::cli) struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    /// The command could not be carried out: exit code 1.
    pub fn failed(message: impl Display) -> Self {
        Self::with_code(1, message)
    }

    /// The arguments or the configuration are wrong: exit code 2.
    pub fn wrong(message: impl Display) -> Self {
        Self::with_code(2, message)
    }

    pub fn with_code(code: u8, message: impl Display) -> Self {
        Self { code, lines: vec![message.to_string()] }
    }

    /// Adds a line that says what to do.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.lines.push(hint.to_string());
        self
    }

    /// What failed, without the hints.
    pub fn message(&self) -> &str {
        self.lines.first().expect("a failure has a message")
    }

    /// All hints, on one line.
    pub fn remedy(&self) -> String {
        self.lines[1..].join(" ")
    }

    /// Prints the failure on stderr and returns the exit code.
    pub fn report(&self) -> ExitCode {
        let lines: Vec<_> = self.lines.iter().map(|line| clean(line)).collect();
        let name = style::alarm("coffer:");
        // Nothing is left to do when stderr is closed.
        let _ = writeln!(std::io::stderr(), "{name} {}", lines.join("\n"));
        ExitCode::from(self.code)
    }

    #[cfg(test)]
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join("\n"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::wrong(error)
    }
}
