//! Writing `.env` files that node's dotenv and python-dotenv, which differ, both read alike.
//!
//! ```text
//! 'single'   literal in both, except that python-dotenv unescapes \\ and \', and both turn a
//!            carriage return into a line feed
//! "double"   node unescapes \n and \r, python-dotenv these and more; a quote cannot be escaped,
//!            because node keeps the backslash
//! plain      node ends it at any #, python-dotenv at whitespace followed by #
//! ```
//!
//! python-dotenv expands `${NAME}` in all three and has no escape for it. Single quotes are tried
//! first, because a shell reads them the same way.
//!
//! Owns: which of the three forms a value gets.
//! Must never: write a form on which the two readers disagree.
//! Called by: `document`.

use crate::formats::write::sink::Sink;
use crate::formats::write::unsupported::{Reason, refuse_nul};

/// Writes one pair in the first form that both readers agree on.
pub(super) fn pair(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Reason> {
    refuse_nul(value)?;
    if value.split_once("${").is_some_and(|(_, rest)| rest.contains('}')) {
        return Err("contains ${…}, which python-dotenv expands and node's dotenv does not");
    }
    out.put(key);
    out.put("=");
    if fits_single_quotes(value) {
        out.put("'");
        out.put(value);
        out.put("'");
    } else if fits_double_quotes(value) {
        out.put("\"");
        value.chars().for_each(|c| if c == '\r' { out.put("\\r") } else { out.put_char(c) });
        out.put("\"");
    } else if fits_plain(value) {
        out.put(value);
    } else {
        return Err(
            "mixes quotes, backslashes, # or line breaks in a way that .env readers interpret differently",
        );
    }
    out.put("\n");
    Ok(())
}

fn fits_single_quotes(value: &str) -> bool {
    !value.contains(['\'', '\r']) && !value.contains(r"\\") && !value.ends_with('\\')
}

fn fits_double_quotes(value: &str) -> bool {
    !value.contains(['"', '\\']) && !value.contains("${")
}

fn fits_plain(value: &str) -> bool {
    // JavaScript's regular expressions end a line at U+2028 and U+2029, and node strips quotes
    // after them.
    let bad = ['#', '\r', '\n', '\u{2028}', '\u{2029}'];
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_graphic());
    let quoted = value.starts_with(['\'', '"', '`']);
    end(value.chars().next())
        && end(value.chars().next_back())
        && !quoted
        && !value.contains(bad)
        && !value.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> Result<String, Reason> {
        let mut out = String::new();
        pair("K", value, &mut out).map(|()| out)
    }

    #[test]
    fn a_value_gets_the_first_form_that_both_readers_agree_on() {
        let forms = [
            ("", "K=''\n"),
            ("$2a$10$N9qo`x`#", "K='$2a$10$N9qo`x`#'\n"),
            ("a\nb \\d", "K='a\nb \\d'\n"),
            ("it's\r\n#", "K=\"it's\\r\n#\"\n"),
            ("it's \"so\" \\", "K=it's \"so\" \\\n"),
            (r"a\\b", "K=a\\\\b\n"),
            ("${", "K='${'\n"),
        ];
        for (value, form) in forms {
            assert_eq!(written(value).as_deref(), Ok(form), "{value:?}");
        }
        for bad in ["${A}", "'\"#", "'\"\n", "'\\\n", "\r\\", "'\"", "'${", "`'\""] {
            assert!(written(bad).is_err(), "{bad:?}");
        }
    }
}
