//! Values in and out.
//!
//! ```text
//! in    typed twice without being shown, --stdin or --file; never the arguments, which every
//!       process of the machine can read
//! out   exactly the value; on a terminal, followed by a line break
//! ```
//!
//! A line break at the end of a single line is not part of the value: `echo` and editors add it,
//! a password with it would not work, and nobody could see the mistake in a write-only secret. A
//! value of several lines, such as a private key, is taken as it is; so is any value with
//! `--exact`.

use std::io::{IsTerminal, Read, Write, stdin};
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::ApiResponse;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::output::check_written;
use crate::cli::terminal::prompt;
use crate::cli::terminal::sanitize::is_unsafe;

/// The longest value that a server can be configured to accept.
const MAX_VALUE_BYTES: usize = 1 << 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct ValueArguments {
    /// Read the value from stdin
    #[arg(long, conflicts_with = "file")]
    stdin: bool,
    /// Read the value from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keep the line break at the end of a single line
    #[arg(long)]
    exact: bool,
}

impl ValueArguments {
    /// Whether an argument says where to read the value.
    pub fn is_given(&self) -> bool {
        self.stdin || self.file.is_some()
    }

    /// Reads the value from where the arguments say, else from the keyboard.
    pub fn read(&self) -> Result<Zeroizing<String>, Failure> {
        if let Some(path) = &self.file {
            let name = path.display().to_string();
            let unreadable = |error| Failure::failed(format!("cannot read {name}: {error}"));
            let file = std::fs::File::open(path).map_err(unreadable)?;
            return self.read_all(file, &name);
        }
        match (self.stdin, prompt::is_possible()) {
            (true, true) => Err(Failure::wrong("stdin is a terminal, which would show the value")
                .hint("Leave out --stdin to be prompted.")),
            (true, false) => self.read_all(stdin().lock(), "stdin"),
            (false, false) => {
                Err(Failure::wrong("cannot prompt for the value: stdin is not a terminal")
                    .hint("Pass --stdin or --file FILE."))
            }
            (false, true) => check_not_empty(prompt::new_value()?),
        }
    }

    fn read_all(&self, source: impl Read, name: &str) -> Result<Zeroizing<String>, Failure> {
        // Allocated at full length, because a buffer that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_VALUE_BYTES + 2));
        source
            .take(MAX_VALUE_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(Failure::failed(format!("the value in {name} is too long"))
                .hint("A server can be configured to accept up to 1 MiB."));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::failed(format!("the value in {name} is not valid UTF-8"))
                .hint("Encode it, for example with base64, and decode it where it is used.")
        })?;
        let text = if self.exact { text } else { without_single_line_end(text) };
        check_not_empty(Zeroizing::new(text.to_owned()))
    }
}

fn check_not_empty(value: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if value.is_empty() {
        return Err(Failure::failed("the value is empty, nothing was changed")
            .hint("A value has at least one byte. To remove a value, delete its key."));
    }
    Ok(value)
}

fn without_single_line_end(text: &str) -> &str {
    let Some(line) = text.strip_suffix('\n') else { return text };
    if line.contains('\n') { text } else { line.strip_suffix('\r').unwrap_or(line) }
}

/// A response that contains a value.
#[derive(Deserialize)]
struct ValueResponse {
    value: String,
}

/// Prints the value in a response as `print_value` does.
pub(in crate::cli) fn print_response_value(response: &ApiResponse) -> Result<(), Failure> {
    let ValueResponse { value } = response.read()?;
    print_value(&Zeroizing::new(value))
}

/// Prints exactly the value. On a terminal, adds a line break and escapes control characters, so
/// that the author of a value does not control the terminal of its reader.
pub(in crate::cli) fn print_value(value: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if !out.is_terminal() {
        check_written(out.write_all(value.as_bytes()))?;
        return check_written(out.flush());
    }
    let (shown, is_escaped) = escape(value);
    check_written(out.write_all(shown.as_bytes()).and_then(|()| out.write_all(b"\n")))?;
    check_written(out.flush())?;
    if is_escaped {
        let _ = writeln!(
            std::io::stderr(),
            "coffer: control characters are shown as \\u{{…}}; pipe the output to get the exact value"
        );
    }
    Ok(())
}

/// Escapes control characters other than line breaks and tabs; says whether there were any.
fn escape(value: &str) -> (Zeroizing<String>, bool) {
    let is_escaped = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t');
    if !value.contains(is_escaped) {
        return (Zeroizing::new(value.to_owned()), false);
    }
    let mut shown = Zeroizing::new(String::with_capacity(10 * value.len()));
    for c in value.chars() {
        if is_escaped(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    (shown, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_break_of_a_single_line_is_removed() {
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
            assert_eq!(without_single_line_end(given), taken, "{given:?}");
        }
    }

    #[test]
    fn a_value_does_not_control_the_terminal() {
        let shown = |value: &str| escape(value).0.to_string();
        assert_eq!(shown("a\nb\tc é"), "a\nb\tc é");
        assert_eq!(shown("a\u{1b}[2J\u{202e}\r"), "a\\u{1b}[2J\\u{202e}\\u{d}");
    }
}
