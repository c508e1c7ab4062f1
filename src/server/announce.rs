//! What a start prints.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::access::{NewTokenFile, Token};
use crate::domain::{Email, EnvironmentName, reachable};

use crate::server::root_key::Source;

/// What the first start made.
pub(crate) struct FirstStartMade {
    pub token: Token,
    /// `None` when the operator gave the token.
    pub token_file: Option<NewTokenFile>,
    pub root_key: Source,
    pub data_dir: PathBuf,
    pub environments: Vec<EnvironmentName>,
    /// The first user's, if the operator gave one.
    pub email: Option<Email>,
}

/// The line that says "ready". Scripts wait for it, so it is flushed at once.
pub(crate) fn listening(address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    // A closed stdout is no reason to stop serving.
    let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
}

/// Tells a person who has just started coffer for the first time what there is
/// now, and gives them a command that works as it stands.
pub(crate) fn first_start(made: &FirstStartMade, address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let text = first_start_text(made, address, out.is_terminal());
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn first_start_text(made: &FirstStartMade, address: SocketAddr, to_terminal: bool) -> String {
    let address = reachable(address);
    let mut lines = vec![String::new(), "coffer has made a new database.".to_owned()];
    lines.push(format!("  data          {}", absolute(&made.data_dir).display()));
    lines.push(match &made.root_key {
        Source::Generated(path) => format!(
            "  root key      {} (back it up; without it nothing can be read)",
            absolute(path).display()
        ),
        source => format!("  root key      from {source}"),
    });
    let (place, quoted) = match &made.token_file {
        Some(file) => (
            absolute(file.path()).display().to_string(),
            format!("$(cat {})", shell_quote(file.path())),
        ),
        None => ("from COFFER_BOOTSTRAP_TOKEN".to_owned(), "$COFFER_BOOTSTRAP_TOKEN".to_owned()),
    };
    lines.push(format!("  admin token   {place}"));
    if to_terminal {
        lines.push(format!("                {}", made.token.expose()));
    }
    if let Some(email) = &made.email {
        lines.push(format!("  admin user    {email}"));
    }
    let names: Vec<_> = made.environments.iter().map(EnvironmentName::as_str).collect();
    if !names.is_empty() {
        lines.push(format!("  environments  {}", names.join(", ")));
    }
    let first_visit = if made.email.is_none() { " (begin there with that token)" } else { "" };
    lines.push(format!("  console       http://{address}/{first_visit}"));
    lines.push(format!("  API           http://{address}/api/docs"));
    if let Some(name) = names.first() {
        lines.push(String::new());
        lines.push("Store a first secret that nobody can read back:".to_owned());
        lines.push(String::new());
        lines.push(format!("  curl -sS http://{address}/api/environments/{name}/secrets \\"));
        lines.push(format!("    -H \"Authorization: Bearer {quoted}\" \\"));
        lines.push("    -H 'Content-Type: application/json' \\".to_owned());
        lines.push("    -d '{\"key\":\"FIRST_SECRET\",\"value\":\"correct horse battery staple\",\"neverReveal\":true}'".to_owned());
    }
    lines.push(String::new());
    lines.push(String::new());
    lines.join("\n")
}

/// The path as it stands wherever one is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A path inside `$(…)` inside double quotes, safe to paste.
fn shell_quote(path: &Path) -> String {
    let text = absolute(path).display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,@".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> FirstStartMade {
        let token =
            Token::parse(&format!("cof_{}", "x".repeat(43))).unwrap_or_else(|_| panic!("form"));
        FirstStartMade {
            token,
            token_file: None,
            root_key: Source::Variable("COFFER_ROOT_KEY"),
            data_dir: "./data".into(),
            environments: vec![EnvironmentName::parse("development").unwrap()],
            email: None,
        }
    }

    #[test]
    fn only_a_terminal_gets_the_token() {
        let address = ([127, 0, 0, 1], 1).into();
        assert!(!first_start_text(&made(), address, false).contains("xxxx"));
        assert!(first_start_text(&made(), address, true).contains("xxxx"));
    }

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(shell_quote(Path::new("/a/b-c")), "/a/b-c");
        assert_eq!(shell_quote(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
