//! Color, for people only.
//!
//! Used only on a terminal that supports it, and never when `NO_COLOR` is set and not empty
//! (<https://no-color.org>), or `TERM` is `dumb` or missing. Color never carries meaning alone.

use std::io::IsTerminal;

/// Whether text for this stream may be colored.
fn is_on(stream: &impl IsTerminal) -> bool {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    wanted(
        stream.is_terminal(),
        variable("NO_COLOR").is_some(),
        variable("TERM").is_some_and(|term| term != "dumb"),
    )
}

fn wanted(terminal: bool, refused: bool, supported: bool) -> bool {
    terminal && supported && !refused
}

/// Formats the headings of a table on stdout.
pub(in crate::cli) fn heading(line: &str) -> String {
    styled(line, "1", is_on(&std::io::stdout()))
}

/// Formats the word that starts an error on stderr.
pub(in crate::cli) fn alarm(word: &str) -> String {
    styled(word, "1;31", is_on(&std::io::stderr()))
}

/// `code` is from ECMA-48, section 8.3.117: 1 bold, 31 red, 0 reset.
fn styled(text: &str, code: &str, on: bool) -> String {
    if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_needs_a_terminal_that_supports_it_and_a_user_who_wants_it() {
        assert!(wanted(true, false, true));
        assert!(!wanted(false, false, true));
        assert!(!wanted(true, true, true));
        assert!(!wanted(true, false, false));
        assert_eq!(styled("a", "1", false), "a");
        assert_eq!(styled("a", "1", true), "\u{1b}[1ma\u{1b}[0m");
    }
}
