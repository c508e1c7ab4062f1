//! The text of a credential.
//!
//! ```text
//! cof_ | 43 characters of base64url (RFC 4648, section 5, no padding) = 256 random bits: an API token
//! cos_ | likewise: the token of a session
//! ```
//!
//! A token that the operator makes up for the first start may be longer; it
//! needs at least 32 characters `[A-Za-z0-9_-]` behind `cof_`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::vault::{self, Random};

/// What a token is for.
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

const FEWEST_CHARACTERS: usize = 32;
const MOST_CHARACTERS: usize = 252;
/// How much of a token its record shows.
const SHOWN_CHARACTERS: usize = 8;

/// A token. Erased when dropped; it has neither Debug nor Display.
#[allow(missing_debug_implementations)]
pub struct Token(Zeroizing<String>);

/// A text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"cof_\" and 32 to 252 more characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct BadToken;

impl Token {
    /// Checks the form of an API token.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        Self::parse_as(TokenKind::Api, text)
    }

    /// A token of either kind, and which it is.
    pub(super) fn parse_any(text: &str) -> Result<(TokenKind, Self), BadToken> {
        let kinds = [TokenKind::Api, TokenKind::Session];
        let kind = kinds.into_iter().find(|kind| text.starts_with(kind.prefix()));
        let kind = kind.ok_or(BadToken)?;
        Ok((kind, Self::parse_as(kind, text)?))
    }

    fn parse_as(kind: TokenKind, text: &str) -> Result<Self, BadToken> {
        let tail = text.strip_prefix(kind.prefix()).ok_or(BadToken)?;
        let fits = (FEWEST_CHARACTERS..=MOST_CHARACTERS).contains(&tail.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if fits && tail.bytes().all(plain) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(BadToken)
        }
    }

    /// A new API token.
    pub fn generate(random: Random) -> Result<Self, vault::Error> {
        Self::generate_as(TokenKind::Api, random)
    }

    pub(super) fn generate_as(kind: TokenKind, random: Random) -> Result<Self, vault::Error> {
        let bytes = random.secret::<32>()?;
        let tail = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Zeroizing::new(format!("{}{}", kind.prefix(), *tail))))
    }

    /// What a record shows of it.
    pub(super) fn shown(&self) -> String {
        self.0[..SHOWN_CHARACTERS].to_owned()
    }

    /// The text, to be shown once or written to a file.
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
