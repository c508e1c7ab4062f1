//! Keys and ciphers: everything that turns plaintext into sealed bytes and back.
//!
//! Owns: the cipher, the keyring, key derivation, passphrases, age recipients, randomness.
//! Must never: decide who may see a value; the cipher opens one only for a ticket.
//! Called by: the rest of `vault`. Uses only `error`, `fingerprint`, `plaintext`, `secret_rows` and
//! `policy` (for its tickets) of it.
//!
//! ```text
//! root key                      32 bytes from the operator; never stored in the database
//! ├─ fingerprint                names the root key in messages          root_key
//! ├─ backup key                 seals backup files                      root_key, backup_key
//! └─ wrapping key               one per KeyRow, from its random salt    keyring
//!    ├─ audit key               32 random bytes, wrapped                service_keys
//!    ├─ token key               32 random bytes, wrapped                service_keys
//!    │  ├─ idempotency key      keys the records of replayed requests   shared_keyring
//!    │  └─ database id          4 bytes, public                         unlocked
//!    └─ data key                32 random bytes per version, wrapped    cipher
//! ```
//!
//! All derivation is HKDF-SHA256 (RFC 5869); each file draws its own formulas.

pub(super) mod backup_key;
pub(super) mod cipher;
pub(super) mod kdf;
pub(super) mod keyring;
pub(super) mod passphrase;
pub(super) mod random;
pub(super) mod recipients;
pub(super) mod root_key;
pub(super) mod service_keys;
pub(super) mod shared_keyring;
