//! What is asked of the person at the keyboard: passwords, and whether they
//! mean it.
//!
//! Must never: show a password, or take one from the arguments, which every
//! process of the machine can read.

use std::io::{BufRead, IsTerminal, Write, stdin};

use zeroize::Zeroizing;

use crate::cli::terminal::error::Failure;

/// Longest line that can be a password: 256 characters of at most four bytes.
const LONGEST_LINE_BYTES: u64 = 1026;

/// A new password: one line of stdin, or typed twice without being shown.
pub(in crate::cli) fn new_password(from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    match (from_stdin, stdin().is_terminal()) {
        (true, true) => Err(Failure::wrong("stdin is a terminal, which would show the password")
            .hint("Leave out --password-stdin to be asked for it.")),
        (true, false) => line_of(stdin().lock()),
        (false, false) => {
            Err(Failure::wrong("nobody can be asked for a password: stdin is no terminal")
                .hint("Give it on stdin, with --password-stdin."))
        }
        (false, true) => twice("password", "--password-stdin"),
    }
}

/// A password that there is already: one line of stdin, or typed without being
/// shown.
pub(in crate::cli) fn password(from_stdin: bool) -> Result<Zeroizing<String>, Failure> {
    match (from_stdin, is_possible()) {
        (false, true) => hidden("Password: ", "password", "--password-stdin"),
        // What is wrong then is the same as with a new one.
        _ => new_password(from_stdin),
    }
}

/// Something new, typed twice without being shown. `option` gives it on stdin.
pub(in crate::cli) fn twice(what: &str, option: &str) -> Result<Zeroizing<String>, Failure> {
    let first = hidden(&format!("New {what}: "), what, option)?;
    let second = hidden("The same again: ", what, option)?;
    if *first == *second {
        Ok(first)
    } else {
        Err(Failure::failed(format!("the two {what}s differ; nothing was changed")))
    }
}

/// One line, typed while it is shown; empty for nothing.
pub(in crate::cli) fn line(prompt: &str) -> Result<String, Failure> {
    let mut err = std::io::stderr();
    let _ =
        write!(err, "{}", crate::cli::terminal::output::clean(prompt)).and_then(|()| err.flush());
    let mut line = String::new();
    stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::failed(format!("cannot read the answer: {error}")))?;
    Ok(line.trim().to_owned())
}

/// Whether there is somebody to ask.
pub(in crate::cli) fn is_possible() -> bool {
    stdin().is_terminal()
}

/// Prompts for a passphrase that opens something; `None` when stdin is not a terminal.
pub(in crate::cli) fn passphrase(prompt: &str) -> Option<std::io::Result<Zeroizing<String>>> {
    is_possible().then(|| typed(prompt))
}

/// One line that is not shown while it is typed.
fn typed(prompt: &str) -> std::io::Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt).map(Zeroizing::new)
}

/// A new passphrase, typed twice without being shown.
pub(in crate::cli) fn new_passphrase() -> Result<Zeroizing<String>, Failure> {
    if !is_possible() {
        return Err(Failure::wrong("nobody can be asked for a passphrase: stdin is no terminal")
            .hint("Name a file that it is in, by COFFER_ROOT_KEY_PASSPHRASE_FILE or --new-passphrase-file."));
    }
    let cannot = |error| Failure::failed(format!("cannot ask for the passphrase: {error}"));
    let first = typed("New passphrase: ").map_err(cannot)?;
    let second = typed("The same again: ").map_err(cannot)?;
    if *first == *second {
        Ok(first)
    } else {
        Err(Failure::failed("the two passphrases differ; nothing was changed"))
    }
}

fn hidden(prompt: &str, what: &str, option: &str) -> Result<Zeroizing<String>, Failure> {
    typed(prompt).map_err(|error| {
        Failure::failed(format!("cannot ask for the {what}: {error}"))
            .hint(format!("Give it on stdin, with {option}."))
    })
}

fn line_of(source: impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // All of it at once: a buffer that grew would leave copies behind.
    let capacity = usize::try_from(LONGEST_LINE_BYTES + 1).expect("1027 fits in any usize");
    let mut line = Zeroizing::new(Vec::with_capacity(capacity));
    source
        .take(LONGEST_LINE_BYTES + 1)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::wrong("the password on stdin is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::wrong("there is no password on stdin"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Goes on only if the person means it, or has said so by `--yes`.
pub(in crate::cli) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(Failure::wrong("nobody can be asked: stdin is no terminal")
            .hint("Say --yes to do it without a question."));
    }
    match line(&format!("{question} [y/N] "))?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("not confirmed; nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_password_and_its_end_is_not() {
        let line = |bytes: &[u8]| line_of(bytes).map(|line| line.to_string()).ok();
        assert_eq!(line(b"one two \r\nthree").as_deref(), Some("one two "));
        assert_eq!(line(b"no end").as_deref(), Some("no end"));
        assert_eq!(line(b"\n"), None);
        assert_eq!(line(b""), None);
        assert_eq!(line(b"\xff\n"), None);
        // Longer ones come through long enough to be refused for it.
        assert_eq!(line(&[b'a'; 5000]).map(|line| line.len()), Some(1027));
    }
}
