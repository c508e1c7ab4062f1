//! The root key: its sources, its passphrase, and changing it.

mod change;
mod passphrase;
mod source;
