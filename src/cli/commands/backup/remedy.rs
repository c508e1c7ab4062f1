//! What to do about a backup that could not be made, opened or restored.
//!
//! Must never: say that something was restored, or was not, where nothing was to be.

use std::path::Path;

use crate::cli::terminal::error::Failure;
use crate::store::{PointInTimeError, RestoreError};
use crate::vault::UnlockError;
use crate::vault::backup::BackupError;

pub(super) fn io_failure(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| {
        let failure = Failure::failed(format!("{path}: {error}"));
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => failure
                .hint("Make room, or name a file on another disk. What was written is removed."),
            std::io::ErrorKind::AlreadyExists => {
                failure.hint("Choose another name; a backup is never written over.")
            }
            _ => failure.hint("Check the path and its permissions."),
        }
    }
}

/// Says what can be done about it. `restoring` is whether a database was to be
/// made of the backup.
pub(super) fn failure(file: &Path, error: BackupError, restoring: bool) -> Failure {
    let shown = file.display();
    let failed = |error: &BackupError| Failure::failed(format!("{shown}: {error}"));
    let nothing = if restoring { "Nothing was restored from it. " } else { "" };
    match error {
        BackupError::Io(cause) => io_failure(file)(cause),
        error @ (BackupError::OtherRootKey { .. } | BackupError::OtherOrigin) => failed(&error)
            .hint(
                "The root key is not in a backup; give the one that the server had then, by COFFER_ROOT_KEY_FILE.",
            ),
        // Both say what to give.
        error @ (BackupError::NeedsIdentity | BackupError::NoIdentityFits) => failed(&error),
        BackupError::NotABackup => {
            failed(&BackupError::NotABackup).hint("Name the file that `coffer backup create` or the server made.")
        }
        error @ (BackupError::CutOff | BackupError::Damaged { .. }) => {
            failed(&error).hint(format!("{nothing}Take another backup."))
        }
        BackupError::OtherForm => failed(&BackupError::OtherForm),
        BackupError::Unlock(error) => {
            let hint = match &error {
                UnlockError::OtherRootKey { wanted, .. } | UnlockError::UnfinishedChange { wanted, .. } => {
                    format!("{nothing}It was made while the root key changed: give {wanted}, too, by COFFER_PREVIOUS_ROOT_KEY_FILE.")
                }
                _ => format!("{nothing}The database was damaged when it was made; take an older backup."),
            };
            let what = match &error {
                UnlockError::OtherRootKey { wanted, given } | UnlockError::UnfinishedChange { wanted, given } => {
                    format!("the backup needs root key {wanted} beside {given}, which was given")
                }
                error => error.to_string(),
            };
            Failure::failed(format!("{shown}: {what}")).hint(hint)
        }
        BackupError::Load(error) => match error {
            RestoreError::NotEmpty { .. }
            | RestoreError::TooLittleRoom { .. }
            | RestoreError::Unavailable(_) => Failure::failed(error),
            error => Failure::failed(error).hint("Nothing was restored. Check the disk and the directory's permissions, then restore again."),
        },
        // It says so itself.
        error @ BackupError::PointInTime(PointInTimeError::TooManyChanges { .. }) => failed(&error),
        error @ (BackupError::PointInTime(_) | BackupError::Read(_) | BackupError::Vault(_)) => {
            failed(&error).hint(format!("{nothing}Check the disk that the database is on, with: coffer doctor"))
        }
    }
}
