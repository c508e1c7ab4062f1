//! The server process: assembles the other modules and runs them.
//!
//! Owns: the order of a start and a stop, the sources of the root key, what a start prints,
//! scheduled backups, retention, reloading of declared workloads and files, signals.
//! Must never: prompt by itself; print a secret other than a token that was just created.
//! Called by: `cli`, which passes in the configuration and a prompt.

pub(crate) mod announce;
pub mod backups;
pub(crate) mod enrolments;
mod error;
pub(crate) mod first_user;
pub(crate) mod passphrase;
mod pruning;
pub(crate) mod root_key;
pub mod serve;
mod signals;

pub use enrolments::DeclareError;
pub use error::ServeError;
pub use first_user::FirstUserError;
pub use passphrase::{AskPassphrase, PassphraseError};
pub use root_key::{RootKeyError, SealedObject};
pub(crate) use serve::run;
pub use serve::{Prepared, ServeOptions, prepare};
