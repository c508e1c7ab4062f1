//! JSON bodies: parsed strictly, and never quoted.
//!
//! Owns: turning a body into checked members, and naming every problem at once.
//! Must never: quote the body. serde's own messages do, so none of them leaves this file except
//! those for syntax errors, which are fixed texts with a position.
//!
//! A body is read twice. The first pass walks all of it, unknown members included, so that
//! malformed text anywhere is refused, up to a depth of 128. The second picks out members as raw
//! slices, so that a value goes from the body straight into its type (for a secret: into
//! `Plaintext`) and nowhere else.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::response::code::Code;
use crate::http::response::error::{ApiError, Problem};

/// The members of an object, not parsed yet, and the problems found so far.
#[derive(Debug)]
pub(in crate::http) struct BodyMembers<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The members that break a rule, and the rule.
    problems: Vec<(String, Rule)>,
}

/// The rule that a member breaks, as in "must be a string".
pub(in crate::http) type Rule = Cow<'static, str>;

impl<'a> BodyMembers<'a> {
    /// Checks the syntax of the whole body and splits it into members.
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
        SyntaxCheck
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| malformed(&error))?;
        let RawObject(members) = serde_json::from_slice(body)
            .map_err(|_| ApiError::invalid("The body must be a JSON object."))?;
        let mut seen = HashSet::with_capacity(members.len());
        if !members.iter().all(|(name, _)| seen.insert(name.as_ref())) {
            // JSON readers differ in which one they use, so the body is refused.
            return Err(ApiError::invalid("The body has a duplicate member."));
        }
        Ok(Self { members, problems: Vec::new() })
    }

    /// Refuses a member whose name differs from `name` only in case or punctuation. Unknown members
    /// are ignored, but this one must not be lost because of a typo.
    pub fn refuse_misspelled(&self, name: &'static str) -> Result<(), ApiError> {
        let folded = |text: &str| {
            let letters = text.chars().filter(|c| c.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect::<String>()
        };
        let same = |found: &str| found != name && folded(found) == folded(name);
        if self.members.iter().any(|(found, _)| same(found)) {
            let message = format!("The member must be spelled {name}.");
            return Err(ApiError::invalid(message).field(name));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(found, _)| found == name).map(|(_, raw)| *raw)
    }

    /// Parses a member if it is present, and notes a problem if it breaks its rule.
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

    /// Parses a member, and notes a problem if it is absent or breaks its rule.
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

    /// Parses a list of strings; `null` counts as absent. Problems are noted with their index, as
    /// in `environmentIds.2`.
    pub fn list<T>(
        &mut self,
        name: &str,
        max: usize,
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
        if items.len() > max {
            self.problem(name, format!("must have at most {max} items"));
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

    /// Parses a list of objects; `rule` notes the problems of each one. They are noted with their
    /// index, as in `secrets.2.key`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        max: usize,
        mut rule: impl FnMut(&mut BodyMembers<'a>) -> Option<T>,
    ) -> Vec<T> {
        let Some(raw) = self.find(name) else {
            self.problem(name, "is required");
            return Vec::new();
        };
        let items: Vec<&RawValue> = typed(raw, "").unwrap_or_default();
        if items.is_empty() || items.len() > max {
            self.problem(name, format!("must be a list of 1 to {max} objects"));
            return Vec::new();
        }
        let mut taken = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{name}.{index}");
            match BodyMembers::parse(item.get().as_bytes()) {
                Ok(mut inner) => {
                    taken.extend(rule(&mut inner));
                    self.adopt(&place, inner);
                }
                Err(_) => self.problem(&place, "must be an object without duplicate members"),
            }
        }
        taken
    }

    /// Whether the member is present and not `null`.
    pub fn has_more_than_null(&self, name: &str) -> bool {
        self.find(name).is_some_and(|raw| raw.get() != "null")
    }

    /// Whether the member is present, even as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Notes a problem with a member: the rule that it breaks, as in "is required".
    pub fn problem(&mut self, name: &str, message: impl Into<Rule>) {
        self.problems.push((name.to_owned(), message.into()));
    }

    /// Adds the problems of the object in the member `name`.
    pub fn adopt(&mut self, name: &str, inner: BodyMembers<'_>) {
        let inner = inner.problems.into_iter();
        self.problems.extend(inner.map(|(field, rule)| (format!("{name}.{field}"), rule)));
    }

    /// Refuses members that PATCH cannot set, whatever their value is.
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

    /// Refuses members other than `known`, without quoting them.
    pub fn refuse_unknown(&self, known: &[&str]) -> Result<(), ApiError> {
        if self.members.iter().all(|(name, _)| known.contains(&name.as_ref())) {
            return Ok(());
        }
        // Without a field: the name is the caller's text and may be anything, even a secret.
        Err(ApiError::invalid(format!(
            "The body has an unknown member. Known members: {}.",
            known.join(", ")
        )))
    }

    /// Returns the parsed body, or an error that names every problem.
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

/// Parses a value of type `T`; `rule` says what it must be.
pub(in crate::http) fn typed<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    rule: &'static str,
) -> Result<T, Rule> {
    serde_json::from_str(raw.get()).map_err(|_| Rule::Borrowed(rule))
}

/// Parses a string.
pub(in crate::http) fn text(raw: &RawValue) -> Result<Cow<'_, str>, Rule> {
    typed::<BorrowedText<'_>>(raw, "must be a string").map(|text| text.0)
}

/// Parses a string that follows the rule of a name.
pub(in crate::http) fn named<T>(
    parse: impl FnOnce(&str) -> Result<T, crate::domain::Violation>,
) -> impl FnOnce(&RawValue) -> Result<T, Rule> {
    |raw| parse(&text(raw)?).map_err(|violation| Rule::Borrowed(violation.0))
}

/// Parses a string that follows a rule; `null` yields the default.
pub(in crate::http) fn nullable<T: Default>(
    parse: impl FnOnce(&str) -> Result<T, crate::domain::Violation>,
) -> impl FnOnce(&RawValue) -> Result<T, Rule> {
    |raw| if raw.get() == "null" { Ok(T::default()) } else { named(parse)(raw) }
}

/// Parses `true` or `false`.
pub(in crate::http) fn boolean(raw: &RawValue) -> Result<bool, Rule> {
    typed(raw, "must be true or false")
}

/// Describes a syntax error by position and kind. serde_json's texts for these categories are
/// fixed; only its data errors quote the input, and the syntax check causes none of those.
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

/// A string that borrows from the body unless it has escapes.
struct BorrowedText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BorrowedText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
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
        deserializer.deserialize_str(TextVisitor).map(BorrowedText)
    }
}

/// An object whose members are not parsed.
struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = RawObject<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) =
                    map.next_entry::<BorrowedText<'de>, &'de RawValue>()?
                {
                    members.push((name.0, raw));
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// Accepts any well-formed JSON and keeps nothing of it.
struct SyntaxCheck;

impl<'de> DeserializeSeed<'de> for SyntaxCheck {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SyntaxCheck {
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
        while seq.next_element_seed(SyntaxCheck)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(SyntaxCheck)?.is_some() {
            map.next_value_seed(SyntaxCheck)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(body: &[u8]) -> String {
        match BodyMembers::parse(body) {
            Err(error) => error.message,
            Ok(_) => panic!("{:?} is accepted", String::from_utf8_lossy(body)),
        }
    }

    #[test]
    fn malformed_bodies_are_reported_by_position_and_kind() {
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
        assert!(refusal(br#"{"a":1,"\u0061":2}"#).contains("duplicate member"));
        let deep = [&b"{\"a\":"[..], &b"[".repeat(100_000), &b"]".repeat(100_000), b"}"].concat();
        assert!(refusal(&deep).contains("recursion limit"));
    }

    proptest! {
        /// No refusal quotes any part of the body.
        #[test]
        fn no_refusal_quotes_the_body(head in "[\\[{\",:a0\\\\ ]{0,8}", tail in "[\\]}\",:\\\\ ]{0,8}") {
            let body = format!("{head}cAnArY{tail}");
            if let Err(error) = BodyMembers::parse(body.as_bytes()) {
                prop_assert!(!error.message.contains("cAnArY"));
            }
        }

        /// Every object is accepted, and each of its members is found.
        #[test]
        fn objects_are_accepted(members in prop::collection::btree_map("[a-z]{1,4}", any::<String>(), 0..6)) {
            let body = serde_json::to_vec(&members).unwrap();
            let parsed = BodyMembers::parse(&body).unwrap();
            for (name, value) in &members {
                let raw = parsed.find(name).unwrap();
                prop_assert_eq!(text(raw).unwrap(), value.as_str());
            }
        }
    }
}
