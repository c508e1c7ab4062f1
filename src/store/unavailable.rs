//! Why the store rejects a request for now.
//!
//! Owns: the reasons. Each is temporary or ends the process.
//! Must never: reveal anything about a row.
//! Called by: the writer and everything that waits for it; `http` answers 503.

/// Why no write, backup, full read or password check is accepted now. Each reason is temporary or
/// ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The writer's queue is full.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The disk is nearly full, and sled does not survive a full disk.
    #[error("the disk has too little free space")]
    DiskNearlyFull,
    /// Only one backup runs at a time.
    #[error("another backup is running")]
    OtherBackup,
    /// Only two requests may read every row at a time.
    #[error("two other requests are reading the whole database or audit log")]
    OtherExaminations,
    /// Checking a password takes memory, so only a few run at a time.
    #[error("too many passwords are being checked")]
    TooManyPasswords,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The part of the database that the change would be written to cannot be read; nothing was
    /// written.
    #[error("the database is damaged where the change would be written")]
    Damaged,
    /// A write or sync failed. No further write is accepted.
    #[error("the database failed and accepts no more writes")]
    Failed,
}
