//! The root key.

mod change;
mod passphrase;
mod source;
