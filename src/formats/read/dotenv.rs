//! Reading `.env` files.
//!
//! ```text
//! file    line*             line ends are LF, CR LF or CR, as in node and python
//! line    blank | # comment | [export] KEY = value [# comment]
//! value   'x'    literal, may span lines
//!         "x"    may span lines; unescapes \n \r \t \" \\
//!         x      to the end of the line or to whitespace followed by #, trimmed
//! ```
//!
//! Refused, because node's dotenv, python-dotenv and a shell read it differently: `${` outside
//! single quotes (references are not resolved); other backslashes in double quotes; two
//! backslashes, or one before the closing quote, in single quotes; backquotes around a value; a `#`
//! inside an unquoted value; text after a closing quote; a duplicate key. `$NAME` and `$2a$…` are
//! literal, as in node's dotenv and python-dotenv.
//!
//! Owns: this grammar.
//! Must never: resolve a reference, or quote the text in a refusal.
//! Called by: `detect`.

use zeroize::Zeroizing;

use crate::formats::read::entries::InputEntries;
use crate::formats::read::position::{BadInput, InputPosition};

/// Reads the entries of a `.env` file.
pub(super) fn read(text: &str) -> Result<InputEntries, BadInput> {
    let unified = text.contains('\r').then(|| unified(text));
    let text = unified.as_ref().map_or(text, |text| text.as_str());
    let mut reader = DotenvReader { text, rest: text, counted: (0, 1) };
    let mut entries = InputEntries::default();
    loop {
        reader.rest = reader.rest.trim_start();
        match reader.rest.chars().next() {
            None => return Ok(entries),
            Some('#') => reader.skip_line(),
            Some(_) => {
                let position = reader.position();
                let key = reader.key()?;
                let value = reader.value()?;
                entries.add(position, key, value)?;
            }
        }
    }
}

/// Replaces CR LF and CR by LF.
fn unified(text: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' {
            chars.next_if_eq(&'\n');
            plain.push('\n');
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The position of the parser in a `.env` file.
struct DotenvReader<'a> {
    text: &'a str,
    rest: &'a str,
    /// The byte up to which lines have been counted, and the number of the line there.
    counted: (usize, usize),
}

impl<'a> DotenvReader<'a> {
    /// Returns the current line. Counts from where the last call stopped: counting from the beginning
    /// each time, a request full of short lines would keep a thread busy for minutes.
    fn position(&mut self) -> InputPosition {
        let read = self.text.len() - self.rest.len();
        let (counted, line) = self.counted;
        let line = line + self.text[counted..read].matches('\n').count();
        self.counted = (read, line);
        InputPosition::Line(line)
    }

    /// Returns the rest of the current line, without its line end.
    fn line(&self) -> &'a str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, below)| below);
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(WHITESPACE);
    }

    fn key(&mut self) -> Result<&'a str, BadInput> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(WHITESPACE)
        {
            self.rest = after;
            self.skip_blanks();
        }
        let line = self.line();
        let Some((key, after)) = line.split_once('=') else {
            return Err(self.position().bad("expected KEY=value"));
        };
        self.rest = &self.rest[line.len() - after.len()..];
        Ok(key.trim_end_matches(WHITESPACE))
    }

    fn value(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let blank_before = self.rest.starts_with(WHITESPACE);
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            Some('`') => {
                return Err(self.position().bad(
                    "backquotes are read differently by different programs; use single or double quotes",
                ));
            }
            _ => return self.plain(blank_before),
        };
        self.skip_blanks();
        if self.line().is_empty() || self.rest.starts_with('#') {
            self.skip_line();
            Ok(value)
        } else {
            Err(self.position().bad("unexpected text after the closing quote"))
        }
    }

    fn single_quoted(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let position = self.position();
        let (inside, after) = self.rest[1..]
            .split_once('\'')
            .ok_or_else(|| position.clone().bad("unclosed single quote"))?;
        if inside.contains(r"\\") || inside.ends_with('\\') {
            return Err(position.bad(
                "two backslashes, or one before the closing quote, are read differently in single quotes by different programs; use double quotes and write each backslash as \\\\",
            ));
        }
        self.rest = after;
        Ok(Zeroizing::new(inside.to_owned()))
    }

    fn double_quoted(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let position = self.position();
        // Allocated at its greatest length, so that it never moves.
        let mut value = Zeroizing::new(String::with_capacity(self.double_quoted_bytes()));
        let inside = &self.rest[1..];
        let mut chars = inside.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &inside[at + 1..];
                    return Ok(value);
                }
                '\\' => {
                    let escaped = chars.next().map(|(_, c)| c);
                    value.push(match escaped {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some(c @ ('"' | '\\')) => c,
                        _ => {
                            self.rest = &inside[at..];
                            return Err(self.position().bad(
                                "in double quotes, a backslash must be followed by n, r, t, \" or \\; use single quotes",
                            ));
                        }
                    });
                }
                '$' if inside[at..].starts_with("${") => {
                    self.rest = &inside[at..];
                    return Err(self.position().bad(REFERENCE));
                }
                c => value.push(c),
            }
        }
        Err(position.bad("unclosed double quote"))
    }

    /// Returns an upper bound on the bytes before the closing quote.
    fn double_quoted_bytes(&self) -> usize {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        });
        end.unwrap_or(self.rest.len())
    }

    fn plain(&mut self, blank_before: bool) -> Result<Zeroizing<String>, BadInput> {
        let line = self.line();
        let mut value = line;
        let mut blank = blank_before;
        for (at, c) in line.char_indices() {
            if c == '#' {
                if !blank {
                    return Err(self
                        .position()
                        .bad("unquoted # in a value; put the value in quotes"));
                }
                value = &line[..at];
                break;
            }
            blank = c.is_whitespace();
        }
        if value.contains("${") {
            return Err(self.position().bad(REFERENCE));
        }
        self.skip_line();
        Ok(Zeroizing::new(value.trim().to_owned()))
    }
}

const WHITESPACE: [char; 2] = [' ', '\t'];

const REFERENCE: &str = "references such as ${NAME} are not resolved; write out the value, or put it in single quotes to keep it literal";

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Vec<(String, String)>, String> {
        let pair = |entry: crate::formats::read::InputEntry| {
            (entry.key.to_string(), entry.value.to_string())
        };
        let read = read(text).map_err(|bad| bad.to_string())?;
        Ok(read.into_list().into_iter().map(pair).collect())
    }

    fn value(text: &str) -> String {
        match entries(text).as_deref() {
            Ok([(key, value)]) if key == "K" => value.clone(),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn accepted_forms() {
        let forms = [
            ("K=a b", "a b"),
            ("  export \t K = a b  # c", "a b"),
            ("# c\n\nK='a # \"b\" $x ${y} \\n'# c\n", "a # \"b\" $x ${y} \\n"),
            ("K='a\nb'", "a\nb"),
            ("K=\"a\\n\\r\\t\\\"\\\\ 'x' $2a$10\n#\"\r\n", "a\n\r\t\"\\ 'x' $2a$10\n#"),
            ("K=", ""),
            ("K= # c", ""),
            ("K=''", ""),
            ("K=$2a$10$N9qo", "$2a$10$N9qo"),
            ("K=a=b\\nc'd\"e", "a=b\\nc'd\"e"),
        ];
        for (text, expected) in forms {
            assert_eq!(value(text), expected, "{text:?}");
        }
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let both = entries("A=\r\nB=1\rC='\r\n'");
        assert_eq!(both, Ok(vec![pair("A", ""), pair("B", "1"), pair("C", "\n")]));
    }

    /// The time is linear in the number of lines, not quadratic.
    #[test]
    fn many_short_lines_are_read_at_once() {
        let text: String = (0..300_000).map(|n| format!("K{n}=\n")).collect();
        assert_eq!(read(&text).map(|read| read.into_list().len()).ok(), Some(300_000));
        let said = read(&format!("{text}K0=")).err().map(|bad| bad.to_string());
        assert_eq!(said.as_deref(), Some("line 300001: duplicate key"));
    }

    #[test]
    fn ambiguous_text_is_refused_with_its_line_and_not_quoted() {
        let bad = [
            ("A=1\n\nCANARY", "line 3: expected KEY=value"),
            ("canary=1", "line 1: the key must be"),
            ("canary: 1", "line 1: expected KEY=value"),
            ("A=1\nA=CANARY", "line 2: duplicate key"),
            ("A='1\n2'\nB='CANARY", "line 3: unclosed single"),
            ("A=\"CANARY", "line 1: unclosed double"),
            ("A='canary'x", "line 1: unexpected text after"),
            ("A='it'\\''s canary'", "line 1: unexpected text after"),
            ("A='it''s canary'", "line 1: unexpected text after"),
            ("A=`canary`", "line 1: backquotes"),
            ("A=canary#1", "line 1: unquoted #"),
            ("A=#canary", "line 1: unquoted #"),
            ("A=${CANARY}", "line 1: references such as"),
            ("A=\"\n\n${CANARY}\"", "line 3: references such as"),
            ("A=\"canary\\$\"", "line 1: in double quotes, a backslash"),
            ("A='canary\\\\'", "line 1: two backslashes"),
        ];
        for (text, begins) in bad {
            let said = entries(text).unwrap_err();
            assert!(said.starts_with(begins), "{text:?}: {said}");
            assert!(!said.to_lowercase().contains("canary"), "{said}");
        }
    }
}
