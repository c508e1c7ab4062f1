//! Why a command did not do what it was asked.
//!
//! Owns: what goes to stderr then, and the exit code.
//! Must never: hold a secret; let text from elsewhere steer the terminal.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crate::cli::terminal::output::clean;

/// What failed, on the first line; what to do about it, on those below.
#[derive(Debug)]
pub(in crate::cli) struct Failure {
    code: u8,
    lines: Vec<String>,
    about_credential: bool,
    passing: Passing,
}

/// Whether what failed may pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Passing {
    /// It stays as it is until somebody does something.
    No,
    /// The server is there and busy.
    Busy,
    /// The server was not reached, or is gone.
    Unreached,
}

impl Failure {
    /// It could not be done: exit code 1.
    pub fn failed(message: impl Display) -> Self {
        Self::with_code(1, message)
    }

    /// The arguments or the configuration are wrong: exit code 2.
    pub fn wrong(message: impl Display) -> Self {
        Self::with_code(2, message)
    }

    /// Likewise, with an exit code of its own.
    pub fn with_code(code: u8, message: impl Display) -> Self {
        let lines = vec![message.to_string()];
        Self { code, lines, about_credential: false, passing: Passing::No }
    }

    /// One more line.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.lines.push(hint.to_string());
        self
    }

    /// The same in other words.
    pub fn reworded(mut self, reword: impl Fn(&str) -> String) -> Self {
        self.lines.iter_mut().for_each(|line| *line = reword(line));
        self
    }

    /// Notes that the server did not take the credential.
    pub fn about_the_credential(self) -> Self {
        Self { about_credential: true, ..self }
    }

    /// Whether it did not.
    pub fn is_about_the_credential(&self) -> bool {
        self.about_credential
    }

    /// It may pass by itself.
    pub fn passing(mut self, passing: Passing) -> Self {
        self.passing = passing;
        self
    }

    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> Passing {
        self.passing
    }

    /// Tells the person and the parent process.
    pub fn report(&self) -> ExitCode {
        let lines: Vec<_> = self.lines.iter().map(|line| clean(line)).collect();
        // Nothing is left to do when stderr is closed.
        let name = crate::cli::terminal::style::alarm("coffer:");
        let _ = writeln!(std::io::stderr(), "{name} {}", lines.join("\n"));
        ExitCode::from(self.code)
    }

    /// What failed, and what to do about it.
    pub fn parts(&self) -> (String, String) {
        let (what, remedy) = self.lines.split_first().expect("a failure begins with a line");
        (what.clone(), remedy.join(" "))
    }

    #[cfg(test)]
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join("\n"))
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::wrong(error)
    }
}
