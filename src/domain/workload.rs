//! What the host's configuration says about who gets values: names and
//! patterns of keys.

use std::fmt;

use super::{KeyName, Violation};

/// The name of a workload: `^[a-z0-9][a-z0-9_-]{0,63}$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadName(String);

impl WorkloadName {
    /// Longest name, in characters (all of them ASCII).
    pub const MAX_CHARS: usize = 64;

    /// Checks the rule.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let first = text.bytes().next().is_some_and(plain);
        let rest = text.bytes().all(|b| plain(b) || matches!(b, b'_' | b'-'));
        if !first || !rest || text.len() > Self::MAX_CHARS {
            return Err(Violation(
                "must be 1 to 64 characters: lower-case letters, digits, '_' and '-', starting with a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which keys: a key in which `*` stands for any characters, also for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern(String);

impl KeyPattern {
    /// Checks the rule: 1 to 256 characters `A-Z`, `0-9`, `_`, `*`, the first one no
    /// digit or `_`. Anything else could match no key.
    pub fn parse(text: &str) -> Result<Self, Violation> {
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_uppercase() || b == b'*');
        let rest = text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'*'));
        if !first || !rest || text.len() > KeyName::MAX_CHARS {
            return Err(Violation(
                "must be a key such as \"STRIPE_KEY\" or a pattern such as \"DATABASE_*\"",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern that takes every key.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a key is meant. Takes time in proportion to the product of both
    /// lengths at most: there is one place to come back to, the last `*`.
    pub fn matches(&self, key: &KeyName) -> bool {
        let (pattern, key) = (self.0.as_bytes(), key.as_str().as_bytes());
        let (mut p, mut k) = (0, 0);
        let mut last: Option<(usize, usize)> = None;
        while k < key.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                last = Some((p, k));
                p += 1;
            } else if p < pattern.len() && pattern[p] == key[k] {
                (p, k) = (p + 1, k + 1);
            } else if let Some((star, taken)) = last {
                last = Some((star, taken + 1));
                (p, k) = (star + 1, taken + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|b| *b == b'*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, key: &str) -> bool {
        KeyPattern::parse(pattern).unwrap().matches(&KeyName::parse(key).unwrap())
    }

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, key, fits) in [
            ("*", "A", true),
            ("DATABASE_*", "DATABASE_URL", true),
            ("DATABASE_*", "DATABASE_", true),
            ("DATABASE_*", "DATABASE", false),
            ("*_KEY", "STRIPE_KEY", true),
            ("*_KEY", "STRIPE_KEY_ID", false),
            ("A*B*C", "AXBYBZC", true),
            ("A*B*C", "AXC", false),
            ("A**", "A", true),
            ("STRIPE_KEY", "STRIPE_KEY", true),
            ("STRIPE_KEY", "STRIPE_KEYS", false),
        ] {
            assert_eq!(matches(pattern, key), fits, "{pattern} {key}");
        }
    }

    #[test]
    fn what_could_match_no_key_is_no_pattern() {
        for bad in ["", "a", "1A", "_A", "A-B", "A B", "A?", "Ä", &"A".repeat(257)] {
            assert!(KeyPattern::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "A", "-a", "a b", "a/b", &"a".repeat(65)] {
            assert!(WorkloadName::parse(bad).is_err(), "{bad}");
        }
        assert!(WorkloadName::parse("api-2_x").is_ok());
    }

    proptest! {
        /// Against the plain definition.
        #[test]
        fn patterns_match_as_defined(pattern in "[A*][AB*]{0,7}", key in "[AB]{1,9}") {
            fn plain(pattern: &[u8], key: &[u8]) -> bool {
                match pattern.split_first() {
                    None => key.is_empty(),
                    Some((b'*', rest)) => (0..=key.len()).any(|n| plain(rest, &key[n..])),
                    Some((c, rest)) => key.first() == Some(c) && plain(rest, &key[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &key), plain(pattern.as_bytes(), key.as_bytes()));
        }
    }
}
