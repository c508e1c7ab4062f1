//! Patterns that select the keys a workload or a file receives.
//!
//! Owns: the syntax of a pattern and how it matches.
//! Must never: take more than quadratic time, whatever the pattern.
//! Called by: `config`, which parses patterns, and `vault`, which applies them.

use crate::domain::name::{KeyName, Violation};

/// A key in which `*` matches any characters, including none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern(String);

impl KeyPattern {
    /// Parses a pattern: 1 to 256 of the characters `A-Z`, `0-9`, `_` and `*`, not starting with a
    /// digit or `_`. Anything else could not match a key.
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

    /// Returns the pattern that matches every key.
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reports whether the pattern matches a key. Takes at most time proportional to the product of
    /// both lengths, because backtracking only ever returns to the last `*`.
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
    fn a_star_matches_any_characters() {
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
    fn a_pattern_that_cannot_match_a_key_is_refused() {
        for bad in ["", "a", "1A", "_A", "A-B", "A B", "A?", "Ä", &"A".repeat(257)] {
            assert!(KeyPattern::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Compares the matcher with the definition.
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
