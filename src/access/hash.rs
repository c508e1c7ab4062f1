//! Keyed hashes of credentials, and the pepper for passwords.
//!
//! ```text
//! token hash    HMAC-SHA256(token key, "coffer token v1\0" | token)
//! account name  HMAC-SHA256(token key, "coffer login v1\0" | folded email address)
//! pepper        HMAC-SHA256(token key, "coffer pepper v1\0")
//! ```
//!
//! A token has 256 random bits, so a fast hash is enough; the key makes the hashes of a stolen
//! database useless for checking guesses at weaker tokens.
//!
//! Owns: the labels that separate the three uses of the key.
//! Must never: keep what it hashes.
//! Called by: everything in `access` that handles a credential.

use ring::hmac;
use zeroize::Zeroizing;

use crate::access::token::Token;
use crate::vault::Unlocked;

/// Computes the keyed hashes.
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

    /// Returns the hash under which a token is stored.
    pub fn token(&self, token: &Token) -> [u8; 32] {
        self.mac(b"coffer token v1\0", token.expose().as_bytes())
    }

    /// Returns a name for an account in memory, without keeping what was typed.
    pub fn account(&self, folded_email: &str) -> [u8; 32] {
        self.mac(b"coffer login v1\0", folded_email.as_bytes())
    }

    /// Returns the pepper for password hashes.
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
