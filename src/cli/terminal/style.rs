//! Colour: for people only.
//!
//! Only on a terminal that has it, and for nobody who has said no: `NO_COLOR`
//! (<https://no-color.org>) that is not empty, or a `TERM` that is `dumb` or
//! missing. What is coloured says the same without it.

use std::io::IsTerminal;

/// Whether text for this stream may be coloured.
fn is_on(stream: &impl IsTerminal) -> bool {
    let said = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    wanted(
        stream.is_terminal(),
        said("NO_COLOR").is_some(),
        said("TERM").is_some_and(|term| term != "dumb"),
    )
}

fn wanted(terminal: bool, refused: bool, able: bool) -> bool {
    terminal && able && !refused
}

/// The headings of a table on stdout.
pub(in crate::cli) fn heading(line: &str) -> String {
    styled(line, "1", is_on(&std::io::stdout()))
}

/// The word that begins an error on stderr.
pub(in crate::cli) fn alarm(word: &str) -> String {
    styled(word, "1;31", is_on(&std::io::stderr()))
}

/// `code` is of ECMA-48, section 8.3.117: 1 bold, 31 red, 0 as before.
fn styled(text: &str, code: &str, on: bool) -> String {
    if on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_that_have_it_and_people_who_want_it() {
        assert!(wanted(true, false, true));
        assert!(!wanted(false, false, true));
        assert!(!wanted(true, true, true));
        assert!(!wanted(true, false, false));
        assert_eq!(styled("a", "1", false), "a");
        assert_eq!(styled("a", "1", true), "\u{1b}[1ma\u{1b}[0m");
    }
}
