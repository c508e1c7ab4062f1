//! JSON bodies: strict, and silent about what they say.
//!
//! Owns: turning a body into checked members, with every problem named.
//! Must never: quote the body. serde's own messages do, so none of them leaves
//! this file except those for syntax, which are fixed texts with a position.
//!
//! A body is read twice. The first pass walks all of it, known members and
//! unknown, so that malformed text anywhere is refused, to a depth of 128. The
//! second picks out members as raw slices, so that a value goes from the body
//! into its type (for a secret: into `Plaintext`) and nowhere else.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::response::error::{ApiError, Code, Problem};

/// A top-level object, as raw members.
#[derive(Debug)]
pub(in crate::http) struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Members and the rules that they break.
    problems: Vec<(String, Rule)>,
}

/// Why a member is not taken: its rule, as in "must be a string".
pub(in crate::http) type Rule = Cow<'static, str>;

impl<'a> Members<'a> {
    /// Checks the whole body and takes it apart.
    pub fn parse(body: &'a [u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(ApiError::invalid("A body is required: a JSON object."));
        }
        if body.starts_with(b"\xEF\xBB\xBF") {
            return Err(ApiError::invalid(
                "Malformed JSON at line 1, column 1: the body starts with a byte order mark.",
            ));
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        Everything
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| malformed(&error))?;
        let Object(members) = serde_json::from_slice(body)
            .map_err(|_| ApiError::invalid("The body must be a JSON object."))?;
        let mut seen = HashSet::with_capacity(members.len());
        if !members.iter().all(|(name, _)| seen.insert(name.as_ref())) {
            // Readers differ in which one they take, so neither is taken.
            return Err(ApiError::invalid("A member stands twice in the body."));
        }
        Ok(Self { members, problems: Vec::new() })
    }

    /// Refuses a member that is this one but for its spelling. Unknown members
    /// are ignored, but this one must not be lost that way.
    pub fn refuse_misspelt(&self, name: &'static str) -> Result<(), ApiError> {
        let folded = |text: &str| {
            let letters = text.chars().filter(|c| c.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect::<String>()
        };
        let same = |found: &str| found != name && folded(found) == folded(name);
        if self.members.iter().any(|(found, _)| same(found)) {
            let message = format!("The member is spelled {name}.");
            return Err(ApiError::invalid(message).field(name));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(found, _)| found == name).map(|(_, raw)| *raw)
    }

    /// Takes a member through its rule; notes the problem if it breaks it.
    pub fn optional<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&'a RawValue) -> Result<T, Rule>,
    ) -> Option<T> {
        match rule(self.find(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(name, message);
                None
            }
        }
    }

    /// Likewise, and notes a problem when it is absent.
    pub fn required<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(&'a RawValue) -> Result<T, Rule>,
    ) -> Option<T> {
        if self.find(name).is_none() {
            self.problem(name, "is required");
        }
        self.optional(name, rule)
    }

    /// Takes a list through the rule of its items; `null` is no list. Problems
    /// are noted under their place in it, as in `environmentIds.2`.
    pub fn list<T>(
        &mut self,
        name: &str,
        most: usize,
        rule: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let raw = self.find(name).filter(|raw| raw.get() != "null")?;
        let items: Vec<&RawValue> = match typed(raw, "must be a list") {
            Ok(items) => items,
            Err(message) => {
                self.problem(name, message);
                return None;
            }
        };
        if items.len() > most {
            self.problem(name, format!("must have at most {most} items"));
            return None;
        }
        let mut taken = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match text(item).and_then(|text| rule(&text).map_err(Rule::Borrowed)) {
                Ok(value) => taken.push(value),
                Err(message) => self.problem(&format!("{name}.{index}"), message),
            }
        }
        Some(taken)
    }

    /// Takes a list of objects through the rule of its items, which notes what
    /// breaks it. Problems are noted under their place, as in `secrets.2.key`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        most: usize,
        mut rule: impl FnMut(&mut Members<'a>) -> Option<T>,
    ) -> Vec<T> {
        let Some(raw) = self.find(name) else {
            self.problem(name, "is required");
            return Vec::new();
        };
        let items: Vec<&RawValue> = typed(raw, "").unwrap_or_default();
        if items.is_empty() || items.len() > most {
            self.problem(name, format!("must be a list of 1 to {most} objects"));
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{name}.{index}");
            match Members::parse(item.get().as_bytes()) {
                Ok(mut inner) => {
                    taken.extend(rule(&mut inner));
                    self.adopt(&place, inner);
                }
                Err(_) => self.problem(&place, "must be an object without a member twice"),
            }
        }
        taken
    }

    /// Whether the member is there and is not `null`.
    pub fn has_more_than_null(&self, name: &str) -> bool {
        self.find(name).is_some_and(|raw| raw.get() != "null")
    }

    /// Whether the member is there, whatever it is.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Notes a problem: the rule that the member breaks, as in "is required".
    pub fn problem(&mut self, name: &str, message: impl Into<Rule>) {
        self.problems.push((name.to_owned(), message.into()));
    }

    /// Takes over the problems of an object that is the member `name`.
    pub fn adopt(&mut self, name: &str, inner: Members<'_>) {
        let inner = inner.problems.into_iter();
        self.problems.extend(inner.map(|(field, rule)| (format!("{name}.{field}"), rule)));
    }

    /// Refuses members that PATCH cannot set, whatever they are set to.
    pub fn refuse_read_only(&self, names: &[&str]) -> Result<(), ApiError> {
        let refused: Vec<_> = names
            .iter()
            .filter(|name| self.has(name))
            .map(|name| Problem {
                field: (*name).to_owned(),
                message: format!("Field \"{name}\" is read-only and cannot be set via PATCH."),
            })
            .collect();
        if refused.is_empty() {
            Ok(())
        } else {
            Err(ApiError::problems(Code::ReadonlyField, refused))
        }
    }

    /// Refuses members that are not among these, without quoting them.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), ApiError> {
        if self.members.iter().all(|(name, _)| known.contains(&name.as_ref())) {
            return Ok(());
        }
        // No field: its name is the caller's text, and may be anything.
        Err(ApiError::invalid(format!(
            "The body has an unknown member; known are {}.",
            known.join(", ")
        )))
    }

    /// The parsed body, unless there were problems.
    pub fn finish<T>(self, body: Option<T>) -> Result<T, ApiError> {
        match body {
            Some(body) if self.problems.is_empty() => Ok(body),
            _ => {
                let problem = |(field, rule): (String, Rule)| Problem {
                    message: format!("{field} {rule}"),
                    field,
                };
                let problems = self.problems.into_iter().map(problem).collect();
                Err(ApiError::problems(Code::Validation, problems))
            }
        }
    }
}

/// A value of type `T`, or the rule that says what it must be.
pub(in crate::http) fn typed<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    rule: &'static str,
) -> Result<T, Rule> {
    serde_json::from_str(raw.get()).map_err(|_| Rule::Borrowed(rule))
}

/// A string.
pub(in crate::http) fn text(raw: &RawValue) -> Result<Cow<'_, str>, Rule> {
    typed::<Text<'_>>(raw, "must be a string").map(|text| text.0)
}

/// A string that keeps a name's rule.
pub(in crate::http) fn named<T>(
    parse: impl FnOnce(&str) -> Result<T, crate::domain::Violation>,
) -> impl FnOnce(&RawValue) -> Result<T, Rule> {
    |raw| parse(&text(raw)?).map_err(|violation| Rule::Borrowed(violation.0))
}

/// A string that keeps a rule, or `null` for none.
pub(in crate::http) fn nullable<T: Default>(
    parse: impl FnOnce(&str) -> Result<T, crate::domain::Violation>,
) -> impl FnOnce(&RawValue) -> Result<T, Rule> {
    |raw| if raw.get() == "null" { Ok(T::default()) } else { named(parse)(raw) }
}

/// `true` or `false`.
pub(in crate::http) fn boolean(raw: &RawValue) -> Result<bool, Rule> {
    typed(raw, "must be true or false")
}

/// Position and kind. The texts behind these categories are fixed in
/// serde_json; only its data errors quote their input, and a walk that takes
/// everything makes none of those.
fn malformed(error: &serde_json::Error) -> ApiError {
    use serde_json::error::Category;

    let kind = match error.classify() {
        Category::Eof => "it ends too early".to_owned(),
        Category::Syntax => {
            let text = error.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        }
        Category::Data | Category::Io => "it cannot be read".to_owned(),
    };
    ApiError::invalid(format!(
        "Malformed JSON at line {}, column {}: {kind}.",
        error.line(),
        error.column()
    ))
}

struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(V).map(Text)
    }
}

struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name.0, raw));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(V)
    }
}

/// Walks any JSON and keeps nothing of it.
struct Everything;

impl<'de> DeserializeSeed<'de> for Everything {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Everything {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Everything)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Everything)?.is_some() {
            map.next_value_seed(Everything)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(body: &[u8]) -> String {
        match Members::parse(body) {
            Err(error) => error.message,
            Ok(_) => panic!("{:?} is taken", String::from_utf8_lossy(body)),
        }
    }

    #[test]
    fn malformed_bodies_are_named_by_position_and_kind() {
        assert_eq!(
            refusal(b"{\n \"key\": canary}"),
            "Malformed JSON at line 2, column 9: expected value."
        );
        assert_eq!(refusal(b"{\"a\":1"), "Malformed JSON at line 1, column 6: it ends too early.");
        assert!(refusal(b"\xEF\xBB\xBF{}").contains("byte order mark"));
        assert!(refusal(b"[]").contains("must be a JSON object"));
        assert!(refusal(b"\"x\"").contains("must be a JSON object"));
        assert!(refusal(b"{} {}").contains("trailing characters"));
        assert!(refusal(br#"{"unknown":"\ud800"}"#).contains("Malformed"));
        assert!(refusal(b"{\"unknown\":\"\xFF\"}").contains("invalid unicode code point"));
        assert!(refusal(br#"{"a":1,"\u0061":2}"#).contains("twice"));
        let deep = [&b"{\"a\":"[..], &b"[".repeat(100_000), &b"]".repeat(100_000), b"}"].concat();
        assert!(refusal(&deep).contains("recursion limit"));
    }

    proptest! {
        /// Whatever is sent, no refusal holds a piece of it.
        #[test]
        fn no_refusal_quotes_the_body(head in "[\\[{\",:a0\\\\ ]{0,8}", tail in "[\\]}\",:\\\\ ]{0,8}") {
            let body = format!("{head}cAnArY{tail}");
            if let Err(error) = Members::parse(body.as_bytes()) {
                prop_assert!(!error.message.contains("cAnArY"));
            }
        }

        /// What serde_json calls an object is taken, and found member by member.
        #[test]
        fn objects_are_taken(members in prop::collection::btree_map("[a-z]{1,4}", any::<String>(), 0..6)) {
            let body = serde_json::to_vec(&members).unwrap();
            let parsed = Members::parse(&body).unwrap();
            for (name, value) in &members {
                let raw = parsed.find(name).unwrap();
                prop_assert_eq!(text(raw).unwrap(), value.as_str());
            }
        }
    }
}
