//! Templates: text with placeholders for values.
//!
//! ```text
//! ${KEY}           the value, which must exist
//! ${KEY:-default}  the value, or the default if the value is missing or empty; the default
//!                  contains no } and no line break
//! $$               a dollar sign
//! ```
//!
//! Rendering is one pass: values and defaults are not expanded again, so a value cannot refer to
//! another one. Any other dollar sign is refused: it is probably a mistake, and a file with a
//! literal `$PASSWORD` in it helps nobody.
//!
//! Owns: this grammar.
//! Must never: keep a value, or expand one.
//! Called by: `vault` for deliveries and `server` when it loads them.

use std::fmt;

use zeroize::Zeroizing;

use crate::domain::KeyName;
use crate::formats::write::sink::{ByteCounter, Sink};

/// A parsed template. It comes from the host and contains no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<TemplatePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Value { key: KeyName, default: Option<String> },
}

/// An error in a template, with its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadTemplate {
    /// The line, counted from 1.
    pub line: usize,
    /// The problem.
    pub why: &'static str,
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadTemplate {}

const LONE_DOLLAR: &str =
    "a $ must start ${KEY} or ${KEY:-default}; write $$ for a literal dollar sign";

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = TemplateBuilder::default();
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
            let (inner, after) =
                closed.ok_or_else(|| bad("a ${ must be closed on the same line"))?;
            let (key, default) = match inner.split_once(":-") {
                Some((key, default)) => (key, Some(unescaped(default).map_err(bad)?)),
                None => (inner, None),
            };
            let key = KeyName::parse(key).map_err(|_| {
                bad("the name in ${…} must be a key: uppercase letters, digits and '_', starting with a letter")
            })?;
            parts.0.push(TemplatePart::Value { key, default });
            rest = after;
        }
        parts.text(rest);
        Ok(Self(parts.0))
    }

    /// Returns the keys in the template, each once and in order, including those with a default.
    pub fn keys(&self) -> Vec<&KeyName> {
        let mut keys = Vec::new();
        for part in &self.0 {
            match part {
                TemplatePart::Value { key, .. } if !keys.contains(&key) => keys.push(key),
                _ => {}
            }
        }
        keys
    }

    /// Returns the keys without a default, which must exist for the template to be rendered.
    pub fn needed(&self) -> impl Iterator<Item = &KeyName> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Value { key, default: None } => Some(key),
            _ => None,
        })
    }

    /// Renders the template. Fails with every required key that has no value, each once.
    pub fn render<'v>(
        &self,
        lookup: impl Fn(&KeyName) -> Option<&'v str>,
    ) -> Result<Zeroizing<String>, Vec<KeyName>> {
        let mut missing: Vec<KeyName> = Vec::new();
        for part in &self.0 {
            match part {
                TemplatePart::Value { key, default: None }
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
        let mut length = ByteCounter(0);
        self.fill(&lookup, &mut length);
        let mut text = Zeroizing::new(String::with_capacity(length.0));
        self.fill(&lookup, &mut *text);
        Ok(text)
    }

    fn fill<'v>(&self, lookup: &impl Fn(&KeyName) -> Option<&'v str>, out: &mut dyn Sink) {
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => out.put(text),
                TemplatePart::Value { key, default } => {
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

/// Unescapes a default, in which `$$` is a dollar sign and placeholders are not allowed.
fn unescaped(text: &str) -> Result<String, &'static str> {
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
struct TemplateBuilder(Vec<TemplatePart>);

impl TemplateBuilder {
    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(TemplatePart::Text(before)) => before.push_str(text),
            _ => self.0.push(TemplatePart::Text(text.to_owned())),
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
    fn values_replace_their_placeholders() {
        let pairs = [("A", "1"), ("B_2", "${A} $$ $A"), ("E", "")];
        let ok = |text: &str| rendered(text, &pairs).unwrap();
        assert_eq!(ok("x=${A};y=${B_2}\n"), "x=1;y=${A} $$ $A\n");
        assert_eq!(ok("$$ $$$$ $${A} ${A}${A}"), "$ $$ ${A} 11");
        assert_eq!(ok("${A:-d} ${Z:-} ${Z:-a:-b $$x {} ${E:-e} [${E}]"), "1  a:-b $x { e []");
        assert_eq!(ok(""), "");
    }

    #[test]
    fn each_missing_key_is_named_once_and_nothing_is_rendered() {
        assert_eq!(rendered("${X} ${A} ${Y} ${X} ${W:-}", &[("A", "1")]), Err("X Y".to_owned()));
        let template = Template::parse("${X} ${A:-1} ${X}").unwrap();
        let keys: Vec<_> = template.keys().into_iter().map(KeyName::as_str).collect();
        assert_eq!(keys, ["X", "A"]);
    }

    #[test]
    fn anything_but_a_placeholder_is_refused_with_its_line() {
        let bad = [
            ("a\n$x", "line 2: a $ must start"),
            ("$", "line 1: a $ must start"),
            ("\n\n${A\n}", "line 3: a ${ must be closed"),
            ("${}", "line 1: the name in"),
            ("${a}", "line 1: the name in"),
            ("${A-b}", "line 1: the name in"),
            ("${A:-$B}", "line 1: a $ in a default"),
            ("${A:-${B}}", "line 1: a $ in a default"),
        ];
        for (text, begins) in bad {
            let said = rendered(text, &[]).unwrap_err();
            assert!(said.starts_with(begins), "{text:?}: {said}");
        }
    }

    proptest! {
        /// Any text survives escaping, and any value is inserted literally.
        #[test]
        fn nothing_is_expanded_twice(text in "[$a{}A:-]{0,12}", value in "[$a{}A:-]{0,12}") {
            let template = format!("{}${{A}}", text.replace('$', "$$"));
            let expected = format!("{text}{value}");
            prop_assert_eq!(rendered(&template, &[("A", &value)]), Ok(expected));
        }
    }
}
