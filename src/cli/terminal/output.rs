//! How an answer is shown: a table to a person, the API's JSON to a program.
//!
//! Must never: pass a control character on to a terminal. Names come from other
//! people, and one of them could hold an escape sequence that rewrites the
//! screen or types into the shell.

use std::io::{IsTerminal, Write};

use unicode_width::UnicodeWidthStr;
use zeroize::Zeroizing;

use crate::cli::api::Answer;
use crate::cli::terminal::error::Failure;
use crate::cli::terminal::style::heading;

/// Whom a command's answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// A person at a terminal.
    Table,
    /// A program, or a person who asked for it.
    Json,
}

impl Form {
    /// A table on a terminal, unless JSON was asked for.
    pub fn choose(json: bool) -> Self {
        if json || !std::io::stdout().is_terminal() { Self::Json } else { Self::Table }
    }

    /// Shows an answer: as it came, or as `text`, which is only made if needed.
    pub fn show(
        self,
        answer: &Answer,
        text: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match self {
            Self::Json => print_json(answer),
            Self::Table => print(&text()?),
        }
    }
}

/// Prints the API's answer on one line.
pub(in crate::cli) fn print_json(answer: &Answer) -> Result<(), Failure> {
    print(&Zeroizing::new(one_line(answer.text())))
}

/// Prints lines. Whoever closes the pipe early has seen enough.
pub(in crate::cli) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")))?;
    written(out.flush())
}

/// What a write to stdout has come to.
pub(in crate::cli) fn written(result: std::io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// JSON on one line without raw control characters. Line breaks can only stand
/// between its tokens, the other ones only inside its texts.
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

/// The text without what steers a terminal or turns its reading order round.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_unsafe(*c)).collect()
}

/// Whether a character steers a terminal or turns its reading order round.
pub(in crate::cli) fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What is shown for nothing.
pub(in crate::cli) const NOTHING: &str = "-";

/// A cell for a text that need not be there.
pub(in crate::cli) fn or_nothing(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| NOTHING.to_owned())
}

/// A time as people read it: to the second, in UTC.
pub(in crate::cli) fn moment(text: &str) -> String {
    match text.split_once('.') {
        Some((seconds, _)) => seconds.replacen('T', " ", 1) + "Z",
        None => text.to_owned(),
    }
}

/// Rows below headings, aligned by the width they have on screen.
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
    fn columns_are_aligned_by_what_the_screen_shows() {
        let rows = [["日本".to_owned(), "1".to_owned()], ["e\u{301}".to_owned(), "2".to_owned()]];
        assert_eq!(aligned(["NAME", "N"], rows), "NAME  N\n日本  1\ne\u{301}     2");
    }

    #[test]
    fn nothing_in_a_cell_steers_the_terminal() {
        let rows = [["\u{1b}]0;x\u{7}a\u{9b}2Jb\r\n\u{202e}c".to_owned()]];
        assert_eq!(aligned(["A"], rows), "A\n]0;xa2Jbc");
    }

    #[test]
    fn json_stays_the_same_json_on_one_line() {
        assert_eq!(
            one_line("{\n \"a\": \"\u{9b}\u{7f}é\"\r\n}\n"),
            r#"{  "a": "\u009b\u007fé"  }"#
        );
    }

    #[test]
    fn times_are_cut_to_the_second() {
        assert_eq!(moment("2026-01-31T01:02:03.456Z"), "2026-01-31 01:02:03Z");
        assert_eq!(moment("odd"), "odd");
    }
}
