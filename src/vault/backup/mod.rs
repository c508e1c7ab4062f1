//! Backups: the whole database as of one moment, in one sealed file.
//!
//! Owns: the file format, sealing and opening it, and what a restore does.
//! Must never: write a file that can be read without the root key or the identity it was sealed to;
//! take a recipient from a request; put a database in place before every byte of it was verified.
//! Called by: `http`, for downloads; `server`, for the schedule; `cli`, for the commands.
//!
//! ```text
//! FILE = sealed(rows)                      under the root key      `seal`
//!      | age(rows)                         to age recipients       `recipients`
//! rows = head | record … | closing         what is inside          `rows`
//! ```
//!
//! A backup contains every row of the database except sessions: the values of secrets as stored
//! ciphertext, wrapped data keys, vars, the audit log. It never contains the root key.
//! docs/decisions/0008-backups.md draws every byte and explains the decisions.

mod create;
mod error;
mod examine;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub(super) mod notes;
mod read;
mod rows;
mod seal;

pub use crate::vault::crypto::recipients::{BadRecipient, Identities, Recipient};
pub use create::{Backup, BackupPieces, back_up_stopped, estimated_bytes};
pub use error::BackupError;
pub use examine::Examined;
pub use notes::{BackupNote, LAST_BACKUP, LAST_DOWNLOAD, NoteError, note_last_backup, read_note};
pub use read::{Opening, Restored, read_backup, reseal, restore, verify, wanted_root_key};
pub use rows::{Summary, WrappingKeyInfo};
