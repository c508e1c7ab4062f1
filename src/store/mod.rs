//! The database, and the only module that uses sled.
//!
//! Owns: the data directory, the keyspace, the rows, the single writer.
//! Must never: see a secret in plaintext (rows hold ciphertext), decide who may do what, or
//! acknowledge a write before it would survive a power cut.
//! Called by: `vault` and `access`, through typed tables; `server` and `cli` open it.
//!
//! All tables share one sled tree and are distinguished by the first byte of the key
//! (`rows::keyspace`), because a batch on one tree is atomic, while a transaction across several
//! trees may run twice. `sled` makes up for what sled 0.34 lacks; only `writer` changes anything.

mod advice;
mod check;
mod database;
mod directory;
mod disk_budget;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod opened;
mod point_in_time;
mod private_file;
mod readable_ranges;

mod repair;
mod restore;
mod revisions;
mod rows;
mod sled;
mod unavailable;
mod writer;

pub use check::check;
pub use database::Store;
pub use directory::make_directory;
pub use disk_budget::DiskBudget;
pub use opened::Opened;
pub use point_in_time::{PointInTime, PointInTimeError, RawRow};
pub use private_file::{PrivateFile, write_new_private, write_private};
pub use readable_ranges::unreadable_tables;
pub use repair::{RepairDepth, RepairReport, repair};
pub use restore::{
    MemoryRows, NotDurable, RestoreError, RestoreTarget, RestoreWriter, check_restorable,
    is_backed_up, row_kind,
};
pub use rows::account_row::{PasswordRow, ServiceAccountRow, SessionRow, TokenRow, Used, UserRow};
pub use rows::keyspace::Table;
pub use rows::row::{
    Bytes, CHUNK_BYTES, CountsRow, EnvironmentRow, HeadRow, IdempotencyRow, KeyId, KeyRow,
    RotationRow, SecretPlace, SecretRow, ServiceKeysRow, StartRow, StoredAuditRow, VarPlace,
    VarRow, VersionRow, WrappedKey,
};
pub use rows::tables::{
    AuditHead, AuditRows, AuditStart, Counts, EnvironmentNames, Environments, IdempotencyChunks,
    IdempotencyRecords, IdempotencyTimes, Keys, LastUses, PendingDeletions, Rotation, SecretPlaces,
    Secrets, ServiceAccountNames, ServiceAccounts, ServiceKeys, SessionHashes, Sessions,
    TokenHashes, Tokens, UserEmails, UserSessions, Users, ValueChunks, VarChunks, VarPlaces, Vars,
    Versions,
};
pub use rows::view::{ReadError, View};
pub use sled::compact::{CompactError, Compacted, Extent, Usage};
pub use sled::disk::{DataDirLock, IN_USE, Options};
pub use sled::leftovers::{Leftover, leftovers, remove_leftover};
pub use sled::open_error::OpenError;
pub use sled::restoring_mark::RESTORING;
pub use unavailable::Unavailable;
pub use writer::change::Change;
pub use writer::decision::{Decision, IntoDecision, Unaudited};
pub use writer::transaction::{CommitError, Tx};
