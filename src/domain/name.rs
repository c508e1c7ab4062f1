//! Names and texts that people choose: environments, keys, descriptions.
//!
//! Owns: the rule of each type, in its `parse`, and the message about a text that breaks it.
//! Must never: quote the text in a message: it may be a secret in the wrong field.
//! Called by: everything that reads a name from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::id::EnvironmentId;

/// The rule that a text breaks, as the rest of a sentence such as "name …". Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation(pub &'static str);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The name of an environment: `^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$`, unique without regard to ASCII
/// case, and never shaped like an environment id, because a path may contain either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// The longest name, in characters (all ASCII).
    pub const MAX_CHARS: usize = 50;

    /// Parses a text that follows the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !first || !rest || text.len() > Self::MAX_CHARS {
            return Err(Violation(
                "must be 1 to 50 characters: letters, digits, '.', '_' and '-', starting with a letter or digit",
            ));
        }
        // Without this rule, somebody could name an environment after the id of another one and
        // receive the writes meant for that.
        if text.to_ascii_lowercase().starts_with("env_") && text.len() == Self::id_length() {
            return Err(Violation("must not look like an environment id"));
        }
        Ok(Self(text.to_owned()))
    }

    fn id_length() -> usize {
        EnvironmentId::from_bytes([0; 16]).to_string().len()
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which names are compared.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a secret or variable: `^[A-Z][A-Z0-9_]*$`, at most 256 characters. It becomes the
/// name of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyName(String);

impl KeyName {
    /// The longest key, in characters (all ASCII).
    pub const MAX_CHARS: usize = 256;

    /// Parses a text that follows the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_uppercase());
        let rest = bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if first && rest && text.len() <= Self::MAX_CHARS {
            Ok(Self(text.to_owned()))
        } else {
            Err(Violation(
                "must be 1 to 256 characters: uppercase letters, digits and '_', starting with a letter",
            ))
        }
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! optional_texts {
    ($($(#[$doc:meta])* $name:ident $max:literal $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Option<String>);

        impl $name {
            /// The longest text, in Unicode scalar values.
            pub const MAX_CHARS: usize = $max;

            /// Parses the text. An empty text means `None`.
            pub fn parse(text: &str) -> Result<Self, Violation> {
                if text.chars().count() > Self::MAX_CHARS {
                    return Err(Violation($rule));
                }
                Ok(Self((!text.is_empty()).then(|| text.to_owned())))
            }

            /// Returns the text, if any.
            pub fn as_deref(&self) -> Option<&str> {
                self.0.as_deref()
            }
        }
    )*};
}

optional_texts! {
    /// The optional description of a secret, variable or service account.
    Description 1000 "must be at most 1000 characters";
    /// The optional display name of an environment.
    DisplayName 100 "must be at most 100 characters";
    /// The optional display name of a user.
    PersonName 100 "must be at most 100 characters";
}

/// An email address: a non-empty part on both sides of the last `@`, no whitespace, no control
/// characters, and at most 254 bytes (RFC 5321, section 4.5.3.1.3, without the brackets). It is only
/// a name to log in with; nothing is sent to it, so nothing more is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// The longest address, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 254;

    /// Parses a text that follows the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let halves = text.rsplit_once('@');
        let whole = halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if whole && text.len() <= Self::MAX_BYTES && !text.contains(odd) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Violation("must be an email address of at most 254 bytes, without spaces"))
        }
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which addresses are compared.
    pub fn folded(&self) -> String {
        folded_email(&self.0)
    }
}

/// Returns the form in which addresses are compared, for a text that may not be an address: a login
/// attempt is compared in the same way as a stored address.
pub fn folded_email(text: &str) -> String {
    text.to_lowercase()
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! slugs {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The longest name, in characters (all ASCII).
            pub const MAX_CHARS: usize = 64;

            /// Parses a text that follows the rule.
            pub fn parse(text: &str) -> Result<Self, Violation> {
                let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                let mut bytes = text.bytes();
                let first = bytes.next().is_some_and(word);
                let rest = bytes.all(|b| word(b) || matches!(b, b'_' | b'-'));
                if first && rest && text.len() <= Self::MAX_CHARS {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Violation(
                        "must be 1 to 64 characters: lowercase letters, digits, '_' and '-', starting with a letter or digit",
                    ))
                }
            }

            /// Returns the text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

slugs! {
    /// The name of a service account: `^[a-z0-9][a-z0-9_-]{0,63}$`.
    ServiceAccountName;
    /// The name of a workload: `^[a-z0-9][a-z0-9_-]{0,63}$`.
    WorkloadName;
}

/// The name of an API token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenName(String);

impl TokenName {
    /// The longest name, in Unicode scalar values.
    pub const MAX_CHARS: usize = 100;

    /// Parses a text that follows the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        if (1..=Self::MAX_CHARS).contains(&text.chars().count()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Violation("must be 1 to 100 characters"))
        }
    }

    /// Returns the text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names() {
        for good in ["a", "9", "Production", "eu-west.1_b", "env_1", &"x".repeat(50)] {
            assert!(EnvironmentName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a b", "ä", "a/b", "a\n", &"x".repeat(51)] {
            assert!(EnvironmentName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn email_addresses() {
        for good in ["a@b", "Ada.Lovelace+x@example.org", "\"a@b\"@c", "ä@ö.example"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "a", "@b", "a@", "a b@c", "a@b\n", "a@b\u{a0}", &format!("{}@b", "x".repeat(253))]
        {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
        let folded = |text| Email::parse(text).unwrap().folded();
        assert_eq!(folded("Ada@Example.ORG"), folded("aDA@example.org"));
        assert_eq!(folded("Ä@b"), folded("ä@B"));
    }

    #[test]
    fn service_account_and_workload_names() {
        for good in ["a", "9", "deploy-bot_2", "api-2_x", &"x".repeat(64)] {
            assert!(ServiceAccountName::parse(good).is_ok(), "{good}");
            assert!(WorkloadName::parse(good).is_ok(), "{good}");
        }
        for bad in
            ["", "-a", "_a", "A", "a.b", "a b", "a/b", "ä", "a\n", &"x".repeat(65), &"a".repeat(65)]
        {
            assert!(ServiceAccountName::parse(bad).is_err(), "{bad}");
            assert!(WorkloadName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_cannot_pose_as_an_id() {
        let id = EnvironmentId::from_bytes([9; 16]).to_string();
        assert!(EnvironmentName::parse(&id).is_err());
        assert!(EnvironmentName::parse(&id.to_lowercase()).is_err());
    }
}
