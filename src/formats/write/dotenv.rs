//! `.env` files, as two readers understand them that do not agree: node's dotenv
//! and python-dotenv.
//!
//! ```text
//! 'single'   both take it as it stands, but python-dotenv reads \\ and \' as one
//!            character; a carriage return becomes a line feed in both
//! "double"   node reads \n and \r as line ends, python-dotenv these and more; a
//!            quote cannot be escaped: node keeps the backslash
//! plain      node ends it at any #, python-dotenv at a blank and #
//! ```
//!
//! python-dotenv replaces `${NAME}` in all three and has no escape for it.
//! Single quotes come first, because a shell reads them in the same way.

use crate::formats::{Sink, Why, no_nul};

pub(in crate::formats) fn pair(key: &str, value: &str, out: &mut dyn Sink) -> Result<(), Why> {
    no_nul(value)?;
    if value.split_once("${").is_some_and(|(_, rest)| rest.contains('}')) {
        return Err("holds ${…}, which python-dotenv would replace and node's dotenv would not");
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
            "mixes quotes, backslashes, # or line breaks in a way that readers of .env files disagree about",
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
    // The separators end a line in JavaScript's regular expressions: node takes
    // off quotes behind them.
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

    fn written(value: &str) -> Result<String, Why> {
        let mut out = String::new();
        pair("K", value, &mut out).map(|()| out)
    }

    #[test]
    fn the_first_form_that_both_readers_agree_on() {
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
