//! Keys and ciphers: everything that turns plaintext into sealed bytes and back.
//!
//! Owns: the cipher, the keyring, key derivation, passphrases, age recipients, randomness.
//! Must never: decide who may see a value; the cipher opens one only for a ticket.
//! Called by: the rest of `vault`.

pub(super) mod backup_key;
pub(super) mod cipher;
pub(super) mod keyring;
pub(super) mod passphrase;
pub(super) mod random;
pub(super) mod recipients;
pub(super) mod service_keys;
