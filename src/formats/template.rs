//! Templates: text with places for values.
//!
//! ```text
//! ${KEY}           the value; it must be there
//! ${KEY:-default}  the value, or this text if there is none or an empty one;
//!                  the text has no } and no line break
//! $$               a dollar sign
//! ```
//!
//! One pass: what a value or a default holds is never looked at again, so a value
//! cannot name another one. A dollar sign before anything else is refused: it
//! may be a slip, and a file that says `$PASSWORD` to its reader helps nobody.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::KeyName;
use crate::formats::{Length, Sink};

/// A text with places for values. It comes from the host, and holds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value { key: KeyName, default: Option<String> },
}

/// What is wrong with a template, and on which line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTemplate {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong there.
    pub why: &'static str,
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadTemplate {}

const LONE_DOLLAR: &str =
    "a $ must begin ${KEY} or ${KEY:-default}; write $$ for a dollar sign itself";

impl Template {
    /// Takes a text apart.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('$') {
            parts.text(before);
            let at = text.len() - from.len();
            let bad = |why| BadTemplate { line: 1 + text[..at].matches('\n').count(), why };
            if let Some(after) = from.strip_prefix('$') {
                parts.text("$");
                rest = after;
                continue;
            }
            let inside = from.strip_prefix('{').ok_or_else(|| bad(LONE_DOLLAR))?;
            let closed = inside.split_once('}').filter(|(inner, _)| !inner.contains('\n'));
            let (inner, after) = closed.ok_or_else(|| bad("a ${ is not closed on its line"))?;
            let (key, default) = match inner.split_once(":-") {
                Some((key, default)) => (key, Some(without_escapes(default).map_err(bad)?)),
                None => (inner, None),
            };
            let key = KeyName::parse(key).map_err(|_| {
                bad("what stands in ${…} must be a key: upper-case letters, digits and '_', starting with a letter")
            })?;
            parts.0.push(Part::Value { key, default });
            rest = after;
        }
        parts.text(rest);
        Ok(Self(parts.0))
    }

    /// The keys that it names, each once, in their order; those with a default
    /// are among them.
    pub fn keys(&self) -> Vec<&KeyName> {
        let mut keys = Vec::new();
        for part in &self.0 {
            match part {
                Part::Value { key, .. } if !keys.contains(&key) => keys.push(key),
                _ => {}
            }
        }
        keys
    }

    /// Those of them without which it cannot be rendered.
    pub fn needed(&self) -> impl Iterator<Item = &KeyName> {
        self.0.iter().filter_map(|part| match part {
            Part::Value { key, default: None } => Some(key),
            _ => None,
        })
    }

    /// The text with its values, or the keys that have none, each once.
    pub fn render<'v>(
        &self,
        lookup: impl Fn(&KeyName) -> Option<&'v str>,
    ) -> Result<Zeroizing<String>, Vec<KeyName>> {
        let mut missing: Vec<KeyName> = Vec::new();
        for part in &self.0 {
            match part {
                Part::Value { key, default: None }
                    if lookup(key).is_none() && !missing.contains(key) =>
                {
                    missing.push(key.clone());
                }
                _ => {}
            }
        }
        if !missing.is_empty() {
            return Err(missing);
        }
        let mut length = Length(0);
        self.fill(&lookup, &mut length);
        let mut text = Zeroizing::new(String::with_capacity(length.0));
        self.fill(&lookup, &mut *text);
        Ok(text)
    }

    fn fill<'v>(&self, lookup: &impl Fn(&KeyName) -> Option<&'v str>, out: &mut dyn Sink) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.put(text),
                Part::Value { key, default } => {
                    let value = lookup(key);
                    match (value, default) {
                        (None | Some(""), Some(default)) => out.put(default),
                        (value, _) => out.put(value.unwrap_or_default()),
                    }
                }
            }
        }
    }
}

/// A default, in which `$$` is a dollar sign and nothing is a place.
fn without_escapes(text: &str) -> Result<String, &'static str> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('$') {
        plain.push_str(before);
        plain.push('$');
        rest = from.strip_prefix('$').ok_or("a $ in a default must be written as $$")?;
    }
    plain.push_str(rest);
    Ok(plain)
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(text: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
        let template = Template::parse(text).map_err(|bad| bad.to_string())?;
        let find = |key: &KeyName| pairs.iter().find(|(k, _)| *k == key.as_str()).map(|(_, v)| *v);
        let missing =
            |keys: Vec<KeyName>| keys.iter().map(KeyName::as_str).collect::<Vec<_>>().join(" ");
        template.render(find).map(|text| text.to_string()).map_err(missing)
    }

    #[test]
    fn values_stand_in_their_places() {
        let pairs = [("A", "1"), ("B_2", "${A} $$ $A"), ("E", "")];
        let ok = |text: &str| rendered(text, &pairs).unwrap();
        assert_eq!(ok("x=${A};y=${B_2}\n"), "x=1;y=${A} $$ $A\n");
        assert_eq!(ok("$$ $$$$ $${A} ${A}${A}"), "$ $$ ${A} 11");
        assert_eq!(ok("${A:-d} ${Z:-} ${Z:-a:-b $$x {} ${E:-e} [${E}]"), "1  a:-b $x { e []");
        assert_eq!(ok(""), "");
    }

    #[test]
    fn what_is_missing_is_named_once_and_nothing_is_rendered() {
        assert_eq!(rendered("${X} ${A} ${Y} ${X} ${W:-}", &[("A", "1")]), Err("X Y".to_owned()));
        let template = Template::parse("${X} ${A:-1} ${X}").unwrap();
        let keys: Vec<_> = template.keys().into_iter().map(KeyName::as_str).collect();
        assert_eq!(keys, ["X", "A"]);
    }

    #[test]
    fn what_is_no_place_is_refused_with_its_line() {
        let bad = [
            ("a\n$x", "line 2: a $ must begin"),
            ("$", "line 1: a $ must begin"),
            ("\n\n${A\n}", "line 3: a ${ is not closed"),
            ("${}", "line 1: what stands in"),
            ("${a}", "line 1: what stands in"),
            ("${A-b}", "line 1: what stands in"),
            ("${A:-$B}", "line 1: a $ in a default"),
            ("${A:-${B}}", "line 1: a $ in a default"),
        ];
        for (text, begins) in bad {
            let said = rendered(text, &[]).unwrap_err();
            assert!(said.starts_with(begins), "{text:?}: {said}");
        }
    }

    proptest! {
        /// Any text survives escaping, and any value arrives as it is.
        #[test]
        fn nothing_is_expanded_twice(text in "[$a{}A:-]{0,12}", value in "[$a{}A:-]{0,12}") {
            let template = format!("{}${{A}}", text.replace('$', "$$"));
            let expected = format!("{text}{value}");
            prop_assert_eq!(rendered(&template, &[("A", &value)]), Ok(expected));
        }
    }
}
