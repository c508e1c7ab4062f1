//! What to do about a backup that could not be created, opened or restored.
//!
//! Must never: say that something was or was not restored, where nothing was to be restored.

use std::io::ErrorKind;
use std::path::Path;

use crate::cli::terminal::error::Failure;
use crate::store::{PointInTimeError, RestoreError};
use crate::vault::UnlockError;
use crate::vault::backup::BackupError;

/// Turns an I/O error on this file into a failure.
pub(super) fn io_failure(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.display().to_string();
    move |error| {
        let failure = Failure::failed(format!("{path}: {error}"));
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure.hint(
                "Free up disk space, or choose a file on another disk. The incomplete file was removed.",
            ),
            ErrorKind::AlreadyExists => {
                failure.hint("Choose another name; backups are never overwritten.")
            }
            _ => failure.hint("Check the path and its permissions."),
        }
    }
}

/// Turns an error with this backup into a failure. `restoring` is whether the backup was to be
/// restored.
pub(super) fn failure(file: &Path, error: BackupError, restoring: bool) -> Failure {
    let shown = file.display();
    let failed = |error: &BackupError| Failure::failed(format!("{shown}: {error}"));
    let nothing = if restoring { "Nothing was restored. " } else { "" };
    match error {
        BackupError::Io(cause) => io_failure(file)(cause),
        error @ (BackupError::OtherRootKey { .. } | BackupError::OtherOrigin) => failed(&error).hint(
            "A backup does not include the root key. Pass the one that the server had at that time with COFFER_ROOT_KEY_FILE.",
        ),
        // These messages say what to pass.
        error @ (BackupError::NeedsIdentity | BackupError::NoIdentityFits) => failed(&error),
        BackupError::NotABackup => failed(&BackupError::NotABackup)
            .hint("Pass a file that `coffer backup create` or the server created."),
        error @ (BackupError::CutOff | BackupError::Damaged { .. }) => {
            failed(&error).hint(format!("{nothing}Use another backup."))
        }
        BackupError::OtherForm => failed(&BackupError::OtherForm),
        BackupError::Unlock(error) => unlock_failure(file, &error, nothing),
        BackupError::Load(error) => match error {
            RestoreError::NotEmpty { .. }
            | RestoreError::TooLittleSpace { .. }
            | RestoreError::Unavailable(_) => Failure::failed(error),
            error => Failure::failed(error).hint(
                "Nothing was restored. Check the disk and the permissions of the directory, then restore again.",
            ),
        },
        // This message says what to do.
        error @ BackupError::PointInTime(PointInTimeError::TooManyChanges { .. }) => failed(&error),
        error @ (BackupError::PointInTime(_) | BackupError::Read(_) | BackupError::Vault(_)) => {
            failed(&error).hint(format!("{nothing}Check the disk of the database: coffer doctor"))
        }
    }
}

fn unlock_failure(file: &Path, error: &UnlockError, nothing: &str) -> Failure {
    let (message, hint) = match error {
        UnlockError::OtherRootKey { wanted, given }
        | UnlockError::UnfinishedChange { wanted, given } => (
            format!("the backup needs root key {wanted} in addition to {given}"),
            format!(
                "{nothing}It was made while the root key was being changed. Pass {wanted} with COFFER_PREVIOUS_ROOT_KEY_FILE."
            ),
        ),
        error => (
            error.to_string(),
            format!(
                "{nothing}The database was damaged when the backup was made. Use an older backup."
            ),
        ),
    };
    Failure::failed(format!("{}: {message}", file.display())).hint(hint)
}
