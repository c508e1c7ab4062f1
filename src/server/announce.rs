//! What a start prints on stdout.
//!
//! Must never: print a token to anything but a terminal.
//! Called by: `serve`.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::access::{NewTokenFile, Token};
use crate::domain::{Email, EnvironmentName, reachable};
use crate::server::root_key::RootKeySource;

/// What the first start created.
pub(super) struct FirstStartSummary {
    pub token: Token,
    /// `None` if the operator provided the token.
    pub token_file: Option<NewTokenFile>,
    pub root_key: RootKeySource,
    pub data_dir: PathBuf,
    pub environments: Vec<EnvironmentName>,
    /// The email address of the first user, if the operator provided one.
    pub email: Option<Email>,
}

/// Says that the server accepts requests. Flushed at once, because scripts wait for this line.
pub(super) fn listening(address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    // The server keeps running even if stdout is closed.
    let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
}

/// Says after a first start what was created, with a first command that works when pasted.
pub(super) fn first_start(first: &FirstStartSummary, address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    let text = first_start_text(first, address, out.is_terminal());
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn first_start_text(first: &FirstStartSummary, address: SocketAddr, to_terminal: bool) -> String {
    let address = reachable(address);
    let mut lines = vec![String::new(), "Created a new database.".to_owned()];
    lines.push(format!("  data          {}", absolute(&first.data_dir).display()));
    lines.push(match &first.root_key {
        RootKeySource::Generated(path) => format!(
            "  root key      {} (back it up: without it the data cannot be decrypted)",
            absolute(path).display()
        ),
        source => format!("  root key      from {source}"),
    });
    let (token, quoted) = match &first.token_file {
        Some(file) => (
            absolute(file.path()).display().to_string(),
            format!("$(cat {})", shell_quote(file.path())),
        ),
        None => ("from COFFER_BOOTSTRAP_TOKEN".to_owned(), "$COFFER_BOOTSTRAP_TOKEN".to_owned()),
    };
    lines.push(format!("  admin token   {token}"));
    if to_terminal {
        lines.push(format!("                {}", first.token.expose()));
    }
    if let Some(email) = &first.email {
        lines.push(format!("  admin user    {email}"));
    }
    let names: Vec<_> = first.environments.iter().map(EnvironmentName::as_str).collect();
    if !names.is_empty() {
        lines.push(format!("  environments  {}", names.join(", ")));
    }
    let sign_up = if first.email.is_none() {
        " (create the first admin account with this token)"
    } else {
        ""
    };
    lines.push(format!("  console       http://{address}/{sign_up}"));
    lines.push(format!("  API           http://{address}/api/docs"));
    if let Some(name) = names.first() {
        lines.push(String::new());
        lines.push("Store a first secret, which nobody can read back:".to_owned());
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

/// The path, valid from any directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Quotes a path for use in a shell command inside `$(…)`.
fn shell_quote(path: &Path) -> String {
    let text = absolute(path).display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,@".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> FirstStartSummary {
        let token =
            Token::parse(&format!("cof_{}", "x".repeat(43))).unwrap_or_else(|_| panic!("form"));
        FirstStartSummary {
            token,
            token_file: None,
            root_key: RootKeySource::Variable("COFFER_ROOT_KEY"),
            data_dir: "./data".into(),
            environments: vec![EnvironmentName::parse("development").unwrap()],
            email: None,
        }
    }

    #[test]
    fn the_token_is_printed_only_on_a_terminal() {
        let address = ([127, 0, 0, 1], 1).into();
        assert!(!first_start_text(&first(), address, false).contains("xxxx"));
        assert!(first_start_text(&first(), address, true).contains("xxxx"));
    }

    #[test]
    fn unusual_paths_are_quoted() {
        assert_eq!(shell_quote(Path::new("/a/b-c")), "/a/b-c");
        assert_eq!(shell_quote(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
