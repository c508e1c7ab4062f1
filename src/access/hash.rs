//! Keyed hashes of credentials, and the key that passwords are peppered with.
//!
//! ```text
//! token hash    HMAC-SHA256(token key, "coffer token v1\0" | token)
//! account name  HMAC-SHA256(token key, "coffer login v1\0" | folded e-mail address)
//! pepper        HMAC-SHA256(token key, "coffer pepper v1\0")
//! ```
//!
//! A token has 256 random bits, so nothing slow is needed; the key makes the
//! hashes of a stolen database useless for checking guesses at weaker ones.

use ring::hmac;
use zeroize::Zeroizing;

use crate::vault::Unlocked;

use crate::access::token::Token;

pub(super) struct Hasher(hmac::Key);

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    pub fn new(unlocked: &Unlocked) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, unlocked.token_key.bytes().as_slice()))
    }

    pub fn token(&self, token: &Token) -> [u8; 32] {
        self.mac(b"coffer token v1\0", token.expose().as_bytes())
    }

    /// Tells accounts apart in memory without keeping what was typed.
    pub fn account(&self, folded_email: &str) -> [u8; 32] {
        self.mac(b"coffer login v1\0", folded_email.as_bytes())
    }

    pub fn pepper(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.mac(b"coffer pepper v1\0", b""))
    }

    fn mac(&self, label: &[u8], message: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(label);
        context.update(message);
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}
