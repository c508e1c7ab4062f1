//! The commands: one file, or folder, each.
//!
//! Owns: the arguments of each command and what it prints.
//! Must never: take a password, a token or a secret's value from the arguments.
//! Called by: `cli`.

pub(super) mod audit;
pub(super) mod backup;
pub(super) mod compact;
pub(super) mod completions;
pub(super) mod copy;
pub(super) mod doctor;
pub(super) mod env;
pub(super) mod export;
pub(super) mod import;
pub(super) mod key;
pub(super) mod login;
pub(super) mod man;
pub(super) mod recover;
pub(super) mod run;
pub(super) mod secret;
pub(super) mod service_account;
pub(super) mod token;
pub(super) mod user;
pub(super) mod var;
