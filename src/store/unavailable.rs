//! Why the store does not take something just now.
//!
//! Owns: the reasons, all of which pass or end the process.
//! Must never: say anything about a row.
//! Called by: the writer and everything that waits for it; `http` makes 503 of it.

/// Why no write, backup, examination or password is taken just now. All of these pass, or
/// end the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// More changes are queued than the writer can take.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The disk is nearly full; sled must never meet a full one.
    #[error("the disk has too little free space")]
    DiskNearlyFull,
    /// There is one backup at a time.
    #[error("another backup is under way")]
    OtherBackup,
    /// There are two at a time of what reads every row.
    #[error("two others read all of the database or the audit log just now")]
    OtherExaminations,
    /// Each password costs memory to check.
    #[error("too many passwords are being checked")]
    TooManyPasswords,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// What the change would be written into cannot be read; nothing was written.
    #[error("the database is damaged where the change would be written")]
    Damaged,
    /// A write or sync failed.
    #[error("the database failed; nothing is written any more")]
    Failed,
}
