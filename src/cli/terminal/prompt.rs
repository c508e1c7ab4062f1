//! Prompts: passwords, passphrases, values, and confirmations.
//!
//! Must never: show a password while it is typed, or take one from the arguments, which every
//! process of the machine can read.

use std::io::{BufRead, IsTerminal, Write, stdin};

use zeroize::Zeroizing;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::sanitize::clean;

/// The longest line that can be a password: 256 characters of up to four bytes, and a line break.
const MAX_LINE_BYTES: u64 = 1026;

/// Reads a new password: the first line of stdin, or typed twice without being shown.
pub(in crate::cli) fn new_password(from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    match read_from(from_stdin)? {
        Input::Stdin => first_line(stdin().lock()),
        Input::Keyboard => {
            let ask = "New password (at least 12 characters): ";
            type_twice(ask, "password", "--password-stdin")
        }
    }
}

/// Reads an existing password: the first line of stdin, or typed once without being shown.
pub(in crate::cli) fn password(from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    match read_from(from_stdin)? {
        Input::Stdin => first_line(stdin().lock()),
        Input::Keyboard => type_hidden("Password: ", "password", "--password-stdin"),
    }
}

/// Reads a new value, typed twice without being shown.
pub(in crate::cli) fn new_value() -> Result<Zeroizing<String>, Failure> {
    type_twice("New value: ", "value", "--stdin")
}

/// Reads one line that is shown while it is typed. An empty line is an empty text.
pub(in crate::cli) fn line(prompt: &str) -> Result<String, Failure> {
    let mut err = std::io::stderr();
    let _ = write!(err, "{}", clean(prompt)).and_then(|()| err.flush());
    let mut line = String::new();
    stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("cannot read from the terminal: {error}")))?;
    Ok(line.trim().to_owned())
}

/// Whether there is a terminal to prompt on.
pub(in crate::cli) fn is_possible() -> bool {
    stdin().is_terminal()
}

/// Prompts for an existing passphrase; `None` when stdin is not a terminal.
pub(in crate::cli) fn passphrase(prompt: &str) -> Option<std::io::Result<Zeroizing<String>>> {
    is_possible().then(|| prompt_hidden(prompt))
}

/// Reads a new passphrase, typed twice without being shown.
pub(in crate::cli) fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    if !is_possible() {
        return Err(Failure::wrong("cannot prompt for a passphrase: stdin is not a terminal")
            .hint("Pass its file with COFFER_ROOT_KEY_PASSPHRASE_FILE or --new-passphrase-file."));
    }
    let cannot = |error| Failure::failed(format!("cannot prompt for the passphrase: {error}"));
    let first = prompt_hidden("New passphrase: ").map_err(cannot)?;
    let second = prompt_hidden("Confirm passphrase: ").map_err(cannot)?;
    same(first, &second, "passphrases")
}

/// Asks for confirmation, unless `--yes` gave it.
pub(in crate::cli) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_possible() {
        return Err(Failure::wrong("cannot ask for confirmation: stdin is not a terminal")
            .hint("Pass --yes to skip confirmation."));
    }
    match line(&format!("{question} [y/N] "))?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("canceled, nothing was changed")),
    }
}

/// Where a password is read from.
enum Input {
    Stdin,
    Keyboard,
}

fn read_from(stdin_requested: bool) -> Result<Input, Failure> {
    match (stdin_requested, is_possible()) {
        (true, false) => Ok(Input::Stdin),
        (false, true) => Ok(Input::Keyboard),
        (true, true) => Err(Failure::wrong("stdin is a terminal, which would show the password")
            .hint("Leave out --password-stdin to be prompted.")),
        (false, false) => {
            Err(Failure::wrong("cannot prompt for a password: stdin is not a terminal")
                .hint("Pass --password-stdin to read it from stdin."))
        }
    }
}

/// Prompts twice, and fails if the two differ. `option` is the one that reads from stdin instead.
fn type_twice(prompt: &str, what: &str, option: &str) -> Result<Zeroizing<String>, Failure> {
    let first = type_hidden(prompt, what, option)?;
    let second = type_hidden(&format!("Confirm {what}: "), what, option)?;
    same(first, &second, &format!("{what}s"))
}

fn same(first: Zeroizing<String>, second: &str, what: &str) -> Result<Zeroizing<String>, Failure> {
    if *first == second {
        Ok(first)
    } else {
        Err(Failure::failed(format!("the {what} do not match, nothing was changed")))
    }
}

fn type_hidden(prompt: &str, what: &str, option: &str) -> Result<Zeroizing<String>, Failure> {
    prompt_hidden(prompt).map_err(|error| {
        Failure::failed(format!("cannot prompt for the {what}: {error}"))
            .hint(format!("Pass {option} to read it from stdin."))
    })
}

/// Prompts for a line that is not shown while it is typed.
fn prompt_hidden(prompt: &str) -> std::io::Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt).map(Zeroizing::new)
}

fn first_line(source: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // Allocated at full length, because a buffer that grew would leave copies behind.
    let capacity = usize::try_from(MAX_LINE_BYTES + 1).expect("1027 fits in any usize");
    let mut line = Zeroizing::new(Vec::with_capacity(capacity));
    source
        .take(MAX_LINE_BYTES + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::wrong("the password on stdin is not valid UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::wrong("no password on stdin"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        let line = |bytes: &[u8]| first_line(bytes).map(|line| line.to_string()).ok();
        assert_eq!(line(b"one two \r\nthree").as_deref(), Some("one two "));
        assert_eq!(line(b"no end").as_deref(), Some("no end"));
        assert_eq!(line(b"\n"), None);
        assert_eq!(line(b""), None);
        assert_eq!(line(b"\xff\n"), None);
        // Longer lines are cut, but stay too long to be accepted as a password.
        assert_eq!(line(&[b'a'; 5000]).map(|line| line.len()), Some(1027));
    }
}
