//! API tokens.
//!
//! ```text
//! cof_ | 43 characters of base64url (RFC 4648, section 5, no padding) = 256 random bits
//! ```
//!
//! A token that the operator makes up for the first start may be longer; it
//! needs at least 32 characters `[A-Za-z0-9_-]` behind the prefix.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::domain::{Role, Scope, Timestamp};
use crate::store::TokenRow;
use crate::vault::{self, Random};

const PREFIX: &str = "cof_";
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
    /// Checks the form.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let tail = text.strip_prefix(PREFIX).ok_or(BadToken)?;
        let fits = (FEWEST_CHARACTERS..=MOST_CHARACTERS).contains(&tail.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if fits && tail.bytes().all(plain) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(BadToken)
        }
    }

    /// A new one.
    pub fn generate(random: Random) -> Result<Self, vault::Error> {
        let bytes = random.secret::<32>()?;
        let tail = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}", *tail))))
    }

    /// The text, to be shown once or written to a file.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What its owner calls it.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its scope.
    pub scope: Scope,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
}

impl NewToken {
    pub(super) fn into_row(self, token: &Token, hash: [u8; 32], now: Timestamp) -> TokenRow {
        TokenRow {
            name: self.name,
            prefix: token.expose()[..SHOWN_CHARACTERS].to_owned(),
            hash,
            role: self.role,
            scope: self.scope,
            expires_at: self.expires_at,
            created_at: now,
        }
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
    }
}
