//! Backups: the whole database as of one moment, in one sealed file.
//!
//! Owns: the file format, sealing and opening it, what a restore does.
//! Must never: write a file that can be read without the root key or the
//! identity it was sealed to; take a recipient from a request; put a database in
//! place of which not every byte was checked.
//! Called by: `http` (the stream), `cli` (the commands and the schedule).
//!
//! ```text
//! FILE = sealed(rows)                      under the root key      `seal`
//!      | age(rows)                         to age recipients       `recipients`
//! rows = head | record … | closing         what is inside          `rows`
//! ```
//!
//! A backup holds every row of the database but sessions: values of secrets as
//! the ciphertext that they are, wrapped data keys, vars, the audit log. The
//! root key is never in it. docs/decisions/0008-backups.md draws every byte and
//! says what was decided.

mod create;
mod error;
mod examine;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod notes;
mod read;
mod rows;
mod seal;

pub use crate::vault::crypto::recipients::{BadRecipient, Identities, Recipient};
pub use create::{Backup, Pieces, about_bytes, back_up_stopped};
pub use error::BackupError;
pub use examine::Examined;
pub use notes::{LAST_BACKUP, LAST_DOWNLOAD, NoteError, Noted, note_last_backup, read_note};
pub use read::{Opening, Restored, read_backup, reseal, restore, verify, wanted_root_key};
pub use rows::{Summary, WrappingKeyInfo};
