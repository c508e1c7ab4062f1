//! The text of a token.
//!
//! ```text
//! cof_ | 43 characters of base64url (RFC 4648, section 5, no padding) = 256 random bits: an API token
//! cos_ | the same: the token of a session
//! ```
//!
//! A token that the operator chooses for the first start has 32 to 252 characters `[A-Za-z0-9_-]`
//! after `cof_`.
//!
//! Owns: both forms.
//! Must never: be stored, logged or formatted.
//! Called by: `authenticate`, and everything that creates a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::vault::{self, Random};

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Api,
    Session,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "cof_",
            Self::Session => "cos_",
        }
    }
}

const MIN_CHARACTERS: usize = 32;
const MAX_CHARACTERS: usize = 252;
/// The number of characters that a token's record shows.
const PREFIX_CHARACTERS: usize = 8;

/// A token. Zeroized on drop; implements neither Debug nor Display.
#[allow(missing_debug_implementations)]
pub struct Token(Zeroizing<String>);

/// The refusal of a text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"cof_\" and 32 to 252 more characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct BadToken;

impl Token {
    /// Parses an API token.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        Self::parse_as(TokenKind::Api, text)
    }

    /// Parses a token of either kind.
    pub(super) fn parse_any(text: &str) -> Result<(TokenKind, Self), BadToken> {
        let kinds = [TokenKind::Api, TokenKind::Session];
        let kind = kinds.into_iter().find(|kind| text.starts_with(kind.prefix()));
        let kind = kind.ok_or(BadToken)?;
        Ok((kind, Self::parse_as(kind, text)?))
    }

    fn parse_as(kind: TokenKind, text: &str) -> Result<Self, BadToken> {
        let tail = text.strip_prefix(kind.prefix()).ok_or(BadToken)?;
        let fits = (MIN_CHARACTERS..=MAX_CHARACTERS).contains(&tail.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if fits && tail.bytes().all(plain) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(BadToken)
        }
    }

    /// Generates an API token.
    pub fn generate(random: Random) -> Result<Self, vault::Error> {
        Self::generate_as(TokenKind::Api, random)
    }

    pub(super) fn generate_as(kind: TokenKind, random: Random) -> Result<Self, vault::Error> {
        let bytes = random.secret::<32>()?;
        let tail = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Zeroizing::new(format!("{}{}", kind.prefix(), *tail))))
    }

    /// Returns the part that a record shows, to recognize the token by.
    pub(super) fn prefix(&self) -> String {
        self.0[..PREFIX_CHARACTERS].to_owned()
    }

    /// Returns the text, to be shown once or written to a file.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let token = Token::generate(Random).unwrap_or_else(|_| panic!("randomness"));
        assert_eq!(token.expose().len(), 47);
        assert!(Token::parse(token.expose()).is_ok());
        assert!(Token::parse(&format!("cof_{}", "a".repeat(31))).is_err());
        assert!(Token::parse(&format!("cof_{}", "a".repeat(32))).is_ok());
        assert!(Token::parse(&format!("cof_{}!", "a".repeat(32))).is_err());
        assert!(Token::parse(&format!("xyz_{}", "a".repeat(43))).is_err());
        assert!(Token::parse(&format!("cos_{}", "a".repeat(43))).is_err());
        let kind = |text: &str| Token::parse_any(text).ok().map(|(kind, _)| kind);
        assert_eq!(kind(&format!("cos_{}", "a".repeat(43))), Some(TokenKind::Session));
        assert_eq!(kind(token.expose()), Some(TokenKind::Api));
    }
}
