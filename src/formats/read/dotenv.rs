//! Reading `.env` files.
//!
//! ```text
//! file    line*             line ends are LF, CR LF or CR, as node and python have it
//! line    blank | # comment | [export] KEY = value [# comment]
//! value   'x'    as it stands, over several lines if need be
//!         "x"    likewise, with \n \r \t \" \\
//!         x      to the end of the line or to a blank and #, without blanks at its ends
//! ```
//!
//! Refused, because node's dotenv, python-dotenv and a shell take it differently:
//! `${` outside single quotes (nothing is resolved here); another backslash in
//! double quotes; in single quotes two backslashes, or one before the closing
//! quote; backquotes around a value; a `#` inside an unquoted value; text behind
//! a closing quote; a key that stands twice. `$NAME` and `$2a$…` stand for
//! themselves, as node's dotenv and python-dotenv take them.

use zeroize::Zeroizing;

use crate::formats::read::{BadInput, Entries, Place};

pub(in crate::formats) fn read(text: &str) -> Result<Entries, BadInput> {
    let unified = text.contains('\r').then(|| unified(text));
    let text = unified.as_ref().map_or(text, |text| text.as_str());
    let mut reader = Reader { text, rest: text, counted: (0, 1) };
    let mut entries = Entries::default();
    loop {
        reader.rest = reader.rest.trim_start();
        match reader.rest.chars().next() {
            None => return Ok(entries),
            Some('#') => reader.skip_line(),
            Some(_) => {
                let place = reader.place();
                let key = reader.key()?;
                let value = reader.value()?;
                entries.add(place, key, value)?;
            }
        }
    }
}

/// The text with one kind of line end.
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

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    /// Up to which byte lines were counted, and the number of the one that is there.
    counted: (usize, usize),
}

impl<'a> Reader<'a> {
    /// Counts on from where it was asked last: from the beginning each time, a request
    /// full of short lines would keep a thread busy for minutes.
    fn place(&mut self) -> Place {
        let read = self.text.len() - self.rest.len();
        let (counted, line) = self.counted;
        let line = line + self.text[counted..read].matches('\n').count();
        self.counted = (read, line);
        Place::Line(line)
    }

    /// The rest of the line, without its end.
    fn line(&self) -> &'a str {
        self.rest.split('\n').next().unwrap_or_default()
    }

    fn skip_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, below)| below);
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(BLANKS);
    }

    fn key(&mut self) -> Result<&'a str, BadInput> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(BLANKS)
        {
            self.rest = after;
            self.skip_blanks();
        }
        let line = self.line();
        let Some((key, after)) = line.split_once('=') else {
            return Err(self.place().bad("is no KEY=value"));
        };
        self.rest = &self.rest[line.len() - after.len()..];
        Ok(key.trim_end_matches(BLANKS))
    }

    fn value(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let blank_before = self.rest.starts_with(BLANKS);
        self.skip_blanks();
        let value = match self.rest.chars().next() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            Some('`') => {
                return Err(self.place().bad(
                    "backquotes mean different things to different readers; use single or double quotes",
                ));
            }
            _ => return self.plain(blank_before),
        };
        self.skip_blanks();
        if self.line().is_empty() || self.rest.starts_with('#') {
            self.skip_line();
            Ok(value)
        } else {
            Err(self.place().bad("something stands behind the closing quote"))
        }
    }

    fn single_quoted(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let place = self.place();
        let (inside, after) = self.rest[1..]
            .split_once('\'')
            .ok_or_else(|| place.clone().bad("a single quote is not closed"))?;
        if inside.contains(r"\\") || inside.ends_with('\\') {
            return Err(place.bad(
                "in single quotes, two backslashes, or one before a quote, mean different things to different readers",
            ));
        }
        self.rest = after;
        Ok(Zeroizing::new(inside.to_owned()))
    }

    fn double_quoted(&mut self) -> Result<Zeroizing<String>, BadInput> {
        let place = self.place();
        // As long as it can become, so that it never moves.
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
                            return Err(self.place().bad(
                                "a backslash before anything but n, r, t, \" and \\ means different things to different readers; use single quotes",
                            ));
                        }
                    });
                }
                '$' if inside[at..].starts_with("${") => {
                    self.rest = &inside[at..];
                    return Err(self.place().bad(REFERENCE));
                }
                c => value.push(c),
            }
        }
        Err(place.bad("a double quote is not closed"))
    }

    /// At most so many bytes stand until the closing quote.
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
                    return Err(self.place().bad(
                        "a # in a value without quotes means different things to different readers",
                    ));
                }
                value = &line[..at];
                break;
            }
            blank = c.is_whitespace();
        }
        if value.contains("${") {
            return Err(self.place().bad(REFERENCE));
        }
        self.skip_line();
        Ok(Zeroizing::new(value.trim().to_owned()))
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

const REFERENCE: &str = "${ begins a reference, and nothing is resolved here; write the value out, or put it in single quotes";

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<Vec<(String, String)>, String> {
        let pair =
            |entry: crate::formats::read::Entry| (entry.key.to_string(), entry.value.to_string());
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
    fn what_is_taken() {
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

    /// In a moment, and not in a time that grows with the square of their number.
    #[test]
    fn many_short_lines_are_read_at_once() {
        let text: String = (0..300_000).map(|n| format!("K{n}=\n")).collect();
        assert_eq!(read(&text).map(|read| read.into_list().len()).ok(), Some(300_000));
        let said = read(&format!("{text}K0=")).err().map(|bad| bad.to_string());
        assert_eq!(said.as_deref(), Some("line 300001: the key stands twice"));
    }

    #[test]
    fn what_is_ambiguous_is_refused_with_its_line_and_nothing_of_it() {
        let bad = [
            ("A=1\n\nCANARY", "line 3: is no KEY=value"),
            ("canary=1", "line 1: the key must be"),
            ("canary: 1", "line 1: is no KEY=value"),
            ("A=1\nA=CANARY", "line 2: the key stands twice"),
            ("A='1\n2'\nB='CANARY", "line 3: a single quote"),
            ("A=\"CANARY", "line 1: a double quote"),
            ("A='canary'x", "line 1: something stands behind"),
            ("A='it'\\''s canary'", "line 1: something stands behind"),
            ("A='it''s canary'", "line 1: something stands behind"),
            ("A=`canary`", "line 1: backquotes"),
            ("A=canary#1", "line 1: a # in a value"),
            ("A=#canary", "line 1: a # in a value"),
            ("A=${CANARY}", "line 1: ${ begins a reference"),
            ("A=\"\n\n${CANARY}\"", "line 3: ${ begins a reference"),
            ("A=\"canary\\$\"", "line 1: a backslash"),
            ("A='canary\\\\'", "line 1: in single quotes"),
        ];
        for (text, begins) in bad {
            let said = entries(text).unwrap_err();
            assert!(said.starts_with(begins), "{text:?}: {said}");
            assert!(!said.to_lowercase().contains("canary"), "{said}");
        }
    }
}
