//! The operator's commands, run as a person or a script would run them.

use std::net::SocketAddr;

use serde_json::Value;
use tempfile::TempDir;

use super::process::{Ended, Launch, Server};
use super::terminal::Terminal;

/// A well-formed token that no server has issued.
pub const TOKEN: &str = "cof_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Runs commands against one server, in an empty directory.
pub struct Cli {
    dir: TempDir,
    url: String,
    token: String,
}

impl Cli {
    /// Runs commands with [`TOKEN`].
    pub fn on(address: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, url: format!("http://{address}"), token: TOKEN.to_owned() }
    }

    /// Runs commands with the first admin's token.
    pub fn of(server: &Server) -> Self {
        Self { token: server.token(), ..Self::on(server.address) }
    }

    pub fn launch<const N: usize>(&self, words: [&str; N]) -> Launch {
        let launch = Launch::bare(self.dir.path()).arguments(words);
        launch.variable("COFFER_URL", &self.url).variable("COFFER_TOKEN", &self.token)
    }

    /// Runs a command with an empty stdin.
    pub fn run<const N: usize>(&self, words: [&str; N]) -> Ended {
        self.launch(words).run("")
    }

    /// Runs a command in a terminal.
    pub fn in_terminal<const N: usize>(&self, words: [&str; N]) -> Terminal {
        self.launch(words).in_terminal()
    }

    /// Runs a command in a terminal and expects no prompt.
    #[track_caller]
    pub fn screen<const N: usize>(&self, words: [&str; N]) -> String {
        let (text, code) = self.in_terminal(words).ends();
        assert_eq!(code, Some(0), "{text}");
        text
    }
}

impl Ended {
    /// Runs a command that must succeed and returns the JSON on its one line of output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:#?}");
        assert_eq!(self.stdout.matches('\n').count(), 1, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Fails unless the command exited with this code and printed all of these words, on stderr
    /// only.
    #[track_caller]
    pub fn refuses<const N: usize>(&self, code: i32, words: [&str; N]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
    }
}
