//! The server process: puts the modules together and runs them.
//!
//! Owns: the order of a start and a stop, the root key's sources, what a start prints, scheduled
//! backups, reloading what the host has declared.
//! Must never: prompt by itself, or print a secret other than a token that was just created.
//! Called by: `cli`, which hands in the configuration and a prompt.

pub(crate) mod announce;
pub mod backups;
pub(crate) mod enrolments;
pub(crate) mod first_user;
pub(crate) mod passphrase;
pub(crate) mod root_key;
pub mod serve;
