//! Values on their way in and out.
//!
//! ```text
//! in    typed twice without being shown, --stdin, --file; never the arguments,
//!       which every process of the machine can read
//! out   exactly the value; on a terminal with a line break behind it
//! ```
//!
//! A line break at the end of a value that has no other is not part of it:
//! `echo` and editors put it there, and a password with it would not work, which
//! nobody could see once it is write-only. A value of several lines (a private
//! key) is taken as it is, and `--exact` takes any value so.

use std::io::{IsTerminal, Read, Write, stdin};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::Answer;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::written;
use crate::cli::terminal::prompt;

/// The longest value that a server can be configured to take.
const LONGEST_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ValueArguments {
    /// Read the value from stdin, to its end
    #[arg(long, conflicts_with = "file")]
    stdin: bool,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keep a line break at the end of a value of one line
    #[arg(long)]
    exact: bool,
}

impl ValueArguments {
    /// Whether one of them says where the value is.
    pub fn is_given(&self) -> bool {
        self.stdin || self.file.is_some()
    }

    /// The value from where it is said to be, or from the keyboard.
    pub fn read(&self, what: &str) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.file {
            let place = path.display().to_string();
            let unreadable = |error| Failure::failed(format!("cannot read {place}: {error}"));
            let file = std::fs::File::open(path).map_err(unreadable)?;
            return self.all_of(file, &place);
        }
        match (self.stdin, stdin().is_terminal()) {
            (true, true) => Err(Failure::wrong("stdin is a terminal, which would show the value")
                .hint("Leave out --stdin to be asked for it.")),
            (true, false) => self.all_of(stdin().lock(), "stdin"),
            (false, false) => {
                Err(Failure::wrong("nobody can be asked for the value: stdin is no terminal")
                    .hint("Give it on stdin with --stdin, or in a file with --file FILE."))
            }
            (false, true) => not_empty(prompt::twice(what, "--stdin")?),
        }
    }

    fn all_of(&self, source: impl Read, place: &str) -> Result<Zeroizing<String>, Failure> {
        // All of it at once: a buffer that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_BYTES + 2));
        source
            .take(LONGEST_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::failed(format!("cannot read {place}: {error}")))?;
        if bytes.len() > LONGEST_BYTES {
            return Err(Failure::failed(format!("{place} holds more than a value can"))
                .hint("The most that a server can be configured to take is 1 MiB."));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::failed(format!("{place} is not UTF-8, which a value must be"))
                .hint("Encode it, for example with base64, and decode it where it is used.")
        })?;
        let text = if self.exact { text } else { without_lone_line_break(text) };
        not_empty(Zeroizing::new(text.to_owned()))
    }
}

fn not_empty(value: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if value.is_empty() {
        return Err(Failure::failed("the value is empty; nothing was changed")
            .hint("A value has at least one byte. To take it away, delete its key."));
    }
    Ok(value)
}

fn without_lone_line_break(text: &str) -> &str {
    let Some(line) = text.strip_suffix('\n') else { return text };
    if line.contains('\n') { text } else { line.strip_suffix('\r').unwrap_or(line) }
}

/// An answer that holds a value.
#[derive(Deserialize)]
struct Shown {
    value: String,
}

/// Prints the value of an answer, exactly; on a terminal a line break follows.
pub(in crate::cli) fn print_exactly(answer: &Answer) -> Result<(), Failure> {
    let Shown { value } = answer.read()?;
    print_value(&Zeroizing::new(value))
}

/// Likewise, a value.
pub(in crate::cli) fn print_value(value: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if !out.is_terminal() {
        written(out.write_all(value.as_bytes()))?;
        return written(out.flush());
    }
    // Whoever may write a value may not steer the terminal of whoever reads it.
    let (shown, changed) = harmless(value);
    written(out.write_all(shown.as_bytes()).and_then(|()| out.write_all(b"\n")))?;
    written(out.flush())?;
    if changed {
        let _ = writeln!(
            std::io::stderr(),
            "coffer: the value has control characters, which are shown as \\u{{…}}; in a pipe it is as it is"
        );
    }
    Ok(())
}

/// The value with its control characters spelled out, but for line breaks and
/// tabs; and whether there were any.
fn harmless(value: &str) -> (Zeroizing<String>, bool) {
    let steers = |c: char| crate::cli::terminal::output::is_unsafe(c) && !matches!(c, '\n' | '\t');
    if !value.contains(steers) {
        return (Zeroizing::new(value.to_owned()), false);
    }
    let mut shown = Zeroizing::new(String::with_capacity(10 * value.len()));
    for c in value.chars() {
        if steers(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    (shown, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_break_of_a_single_line_is_left_out() {
        for (given, taken) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            (" a \n", " a "),
            ("a\nb\n", "a\nb\n"),
            ("a\nb", "a\nb"),
            ("\n\n", "\n\n"),
            ("\n", ""),
            ("a\r", "a\r"),
        ] {
            assert_eq!(without_lone_line_break(given), taken, "{given:?}");
        }
    }

    #[test]
    fn a_terminal_is_not_steered_by_a_value() {
        let shown = |value: &str| harmless(value).0.to_string();
        assert_eq!(shown("a\nb\tc é"), "a\nb\tc é");
        assert_eq!(shown("a\u{1b}[2J\u{202e}\r"), "a\\u{1b}[2J\\u{202e}\\u{d}");
    }
}
