//! Printing results: a table for a person, the API's JSON for a program.
//!
//! Must never: pass control characters on to a terminal. Names come from other people and may
//! contain an escape sequence that rewrites the screen or types into the shell.

use std::io::{IsTerminal, Write};

use unicode_width::UnicodeWidthStr;
use zeroize::Zeroizing;

use crate::cli::terminal::error::Failure;
use crate::cli::terminal::sanitize::{clean, is_unsafe};
use crate::cli::terminal::style::heading;

/// The format of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum OutputFormat {
    /// Columns and sentences, for a person at a terminal.
    Table,
    /// JSON on one line, for a program.
    Json,
}

impl OutputFormat {
    /// Chooses a table on a terminal, unless JSON is requested.
    pub fn choose(json: bool) -> Self {
        if json || !std::io::stdout().is_terminal() { Self::Json } else { Self::Table }
    }

    /// Prints a response: its JSON, or the text that `text` makes of it.
    pub fn show(
        self,
        json: &str,
        text: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(json),
            Self::Table => print(&text()?),
        }
    }
}

/// Prints a JSON text on one line. The copy is erased, because the text may hold a value.
pub(in crate::cli) fn print_json(json: &str) -> Result<(), Failure> {
    print(&Zeroizing::new(one_line(json)))
}

/// Prints a text and a line break. A reader that closes the pipe early is not an error.
pub(in crate::cli) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    check_written(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")))?;
    check_written(out.flush())
}

/// Turns the result of a write to stdout into that of a command; a closed pipe is a success.
pub(in crate::cli) fn check_written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Puts JSON on one line without raw control characters. In valid JSON, line breaks and tabs occur
/// only between tokens, and other control characters only inside strings.
pub(in crate::cli) fn one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if is_unsafe(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line
}

/// The cell of a missing value.
pub(in crate::cli) const NO_VALUE: &str = "-";

/// The cell of an optional text.
pub(in crate::cli) fn optional(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| NO_VALUE.to_owned())
}

/// Formats an RFC 3339 time for people: to the second, in UTC.
pub(in crate::cli) fn format_time(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => seconds.replacen('T', " ", 1) + "Z",
        None => text.to_owned(),
    }
}

/// Formats rows below headings, in columns aligned by their width on screen.
pub(in crate::cli) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let plain = aligned(headings, rows);
    match plain.split_once('\n') {
        Some((headings, rows)) => format!("{}\n{rows}", heading(headings)),
        None => heading(&plain),
    }
}

fn aligned<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut cells = vec![headings.map(str::to_owned)];
    cells.extend(rows.into_iter().map(|row| row.map(|cell| clean(&cell))));
    let mut widths = [0; N];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let lines: Vec<_> = cells
        .iter()
        .map(|row| {
            let padded = row.iter().zip(widths).map(|(cell, width)| {
                format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_their_width_on_screen() {
        let rows = [["日本".to_owned(), "1".to_owned()], ["e\u{301}".to_owned(), "2".to_owned()]];
        assert_eq!(aligned(["NAME", "N"], rows), "NAME  N\n日本  1\ne\u{301}     2");
    }

    #[test]
    fn cells_do_not_control_the_terminal() {
        let rows = [["\u{1b}]0;x\u{7}a\u{9b}2Jb\r\n\u{202e}c".to_owned()]];
        assert_eq!(aligned(["A"], rows), "A\n]0;xa2Jbc");
    }

    #[test]
    fn json_on_one_line_has_the_same_meaning() {
        assert_eq!(
            one_line("{\n \"a\": \"\u{9b}\u{7f}é\"\r\n}\n"),
            r#"{  "a": "\u009b\u007fé"  }"#
        );
    }

    #[test]
    fn times_are_cut_to_the_second() {
        assert_eq!(format_time("2026-01-31T01:02:03.456Z"), "2026-01-31 01:02:03Z");
        assert_eq!(format_time("odd"), "odd");
    }
}
