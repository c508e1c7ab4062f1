//! Reading: which format a text is in, and the entries that it holds.
//!
//! Refuses what different readers of the format take differently. A refusal
//! names a line, a key or a position, and never anything of a value.

pub(super) mod dotenv;
pub(super) mod json;
pub(super) mod yaml;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::domain::{KeyName, Violation};

/// A form that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `.env` files.
    Dotenv,
    /// One JSON object of texts, numbers and booleans.
    Json,
    /// One YAML mapping of the same.
    Yaml,
    /// A Kubernetes Secret, in YAML or JSON.
    K8sSecret,
    /// `doppler secrets --json`, `doppler secrets download --format json`.
    Doppler,
    /// Infisical's JSON: a list of secrets.
    Infisical,
    /// `vault kv get -format=json`, of version 1 or 2 of the engine.
    Vault,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 7] = [
        Self::Dotenv,
        Self::Json,
        Self::Yaml,
        Self::K8sSecret,
        Self::Doppler,
        Self::Infisical,
        Self::Vault,
    ];

    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::K8sSecret => "k8s-secret",
            Self::Doppler => "doppler",
            Self::Infisical => "infisical",
            Self::Vault => "vault",
        }
    }

    /// Which form a text has, if its beginning tells.
    pub fn detect(text: &str) -> Option<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().chars().next()? {
            '{' => json::detect(text),
            '[' => Some(Self::Infisical),
            _ => {
                let lines = text.lines().map(str::trim);
                let first =
                    lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#'))?;
                let yaml_line = |line: &str| {
                    line == "---" || line.starts_with("%YAML") || {
                        let (key, rest) = line.split_once(':').unwrap_or((" ", ""));
                        let key = key.trim_matches(['"', '\'']);
                        !key.contains([' ', '=', '"'])
                            && (rest.is_empty() || rest.starts_with([' ', '\t']))
                    }
                };
                if yaml_line(first) {
                    let kind = |line: &str| line.trim_end() == "kind: Secret";
                    Some(if text.lines().any(kind) { Self::K8sSecret } else { Self::Yaml })
                } else {
                    first.contains('=').then_some(Self::Dotenv)
                }
            }
        }
    }

    /// The entries of a text in this form, in its order.
    pub fn read(self, text: &str) -> Result<Entries, BadInput> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_json = text.trim_start().starts_with('{');
        match self {
            Self::Dotenv => dotenv::read(text),
            Self::Yaml => yaml::mapping(text),
            Self::K8sSecret if !is_json => yaml::k8s_secret(text),
            json => json::read(json, text),
        }
    }
}

impl FromStr for Source {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found
            .ok_or(Violation("must be dotenv, json, yaml, k8s-secret, doppler, infisical or vault"))
    }
}

/// A key with its value. The value is erased when it is dropped.
#[allow(missing_debug_implementations)]
pub struct Entry {
    /// The key.
    pub key: KeyName,
    /// The value, which may be empty.
    pub value: Zeroizing<String>,
}

/// What a text holds: every key once.
#[allow(missing_debug_implementations)]
#[derive(Default)]
pub struct Entries {
    list: Vec<Entry>,
    keys: HashSet<KeyName>,
}

impl Entries {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        place: Place,
        key: &str,
        value: Zeroizing<String>,
    ) -> Result<(), BadInput> {
        let key = KeyName::parse(key).map_err(|violation| {
            // The text itself stays unsaid: it may be a value in the wrong place.
            place.clone().bad(format!("the key {}", violation.0))
        })?;
        if !self.keys.insert(key.clone()) {
            return Err(place.bad("the key stands twice"));
        }
        self.list.push(Entry { key, value });
        Ok(())
    }

    /// The list.
    pub fn into_list(self) -> Vec<Entry> {
        self.list
    }
}

/// Where in a text something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nowhere in particular.
    Whole,
    /// On this line, from 1 on.
    Line(usize),
    /// In the member of this number, from 1 on.
    Member(usize),
    /// At this key.
    Key(KeyName),
}

impl Place {
    /// By name, if it is one; a text that is none may be anything.
    pub(super) fn member(index: usize, name: &str) -> Self {
        KeyName::parse(name).map_or(Self::Member(index + 1), Self::Key)
    }

    pub(super) fn bad(self, why: impl Into<Cow<'static, str>>) -> BadInput {
        BadInput { place: self, why: why.into() }
    }
}

/// Why a text was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInput {
    /// Where.
    pub place: Place,
    /// Why, without anything of a value.
    pub why: Cow<'static, str>,
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Whole => f.write_str(&self.why),
            Place::Line(line) => write!(f, "line {line}: {}", self.why),
            Place::Member(number) => write!(f, "member {number}: {}", self.why),
            Place::Key(key) => write!(f, "{key}: {}", self.why),
        }
    }
}

impl std::error::Error for BadInput {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever stands in a file, reading it ends, and no refusal has a piece of it.
        #[test]
        fn no_refusal_quotes_the_text(
            head in "[\\[{\",:a=#&*!|>~'`$\n\\\\ -]{0,10}",
            tail in "[\\]}\",:=#'`$\n\\\\ -]{0,10}",
        ) {
            let text = format!("{head}cAnArY{tail}");
            let _ = Source::detect(&text);
            for source in Source::ALL {
                if let Err(bad) = source.read(&text) {
                    prop_assert!(!bad.to_string().contains("cAnArY"), "{}", bad);
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            for source in Source::ALL {
                let _ = source.read(&text);
            }
        }
    }

    #[test]
    fn the_beginning_tells_the_form() {
        let forms = [
            ("# c\n\nexport A=1", Some(Source::Dotenv)),
            ("A=b: c", Some(Source::Dotenv)),
            ("\u{feff}A = 'x'", Some(Source::Dotenv)),
            ("---\nA: 1", Some(Source::Yaml)),
            ("# c\n\"A\": x=y", Some(Source::Yaml)),
            ("A:\n  long", Some(Source::Yaml)),
            ("apiVersion: v1\nkind: Secret\n", Some(Source::K8sSecret)),
            (r#"{"apiVersion":"v1","kind":"Secret","data":{}}"#, Some(Source::K8sSecret)),
            (r#" {"A":"x"}"#, Some(Source::Json)),
            (r#"{"A":{"computed":"x","raw":"x"}}"#, Some(Source::Doppler)),
            ("[]", Some(Source::Infisical)),
            (r#"{"secrets":[]}"#, Some(Source::Infisical)),
            (r#"{"request_id":"r","data":{"A":"x"}}"#, Some(Source::Vault)),
            ("", None),
            ("what is this", None),
            ("{", None),
        ];
        for (text, form) in forms {
            assert_eq!(Source::detect(text), form, "{text}");
        }
    }
}
