//! Text from elsewhere, made safe to print on a terminal.

/// Removes the characters that control a terminal or reverse its reading order.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars().filter(|c| !is_unsafe(*c)).collect()
}

/// Whether a character controls a terminal or reverses its reading order.
pub(in crate::cli) fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
