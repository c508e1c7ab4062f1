//! Notes about the last backups: one line of JSON each, in the data directory.
//!
//! ```text
//! last-backup    {"time":"…","path":"…","bytes":n}   made by the host itself
//! last-download  {"time":"…","bytes":n}              downloaded completely through the API
//! ```
//!
//! Must never: decide anything; they only inform. Both are outside the database, and anyone on the
//! host may have lost or edited them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use crate::domain::Timestamp;
use crate::store::write_private;

use crate::vault::service::Vault;

/// The name of the note about the last backup that the host itself made.
pub const LAST_BACKUP: &str = "last-backup";
/// The name of the note about the last backup downloaded through the API.
pub const LAST_DOWNLOAD: &str = "last-download";

/// A note about a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupNote {
    /// The moment that the backup shows.
    pub at: Timestamp,
    /// The path of the file; `None` if a client downloaded it.
    pub path: Option<PathBuf>,
    /// The size of the file in bytes.
    pub bytes: Option<u64>,
}

/// Why a note could not be used.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file does not contain a note.
    #[error("the note has no valid time")]
    Damaged,
}

/// Writes the note about the last backup that the host itself made.
pub fn note_last_backup(data_dir: &Path, at: Timestamp, path: &Path, bytes: u64) -> io::Result<()> {
    let path = path.to_string_lossy();
    let line = json!({ "time": at.to_string(), "path": path, "bytes": bytes });
    write_private(&data_dir.join(LAST_BACKUP), &line.to_string())
}

/// Reads the note with this name; `None` if there is none.
pub fn read_note(data_dir: &Path, name: &str) -> Result<Option<BackupNote>, NoteError> {
    #[derive(Deserialize)]
    struct NoteLine {
        time: String,
        path: Option<PathBuf>,
        bytes: Option<u64>,
    }

    let text = match fs::read(data_dir.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let NoteLine { time, path, bytes } =
        serde_json::from_slice(&text).map_err(|_| NoteError::Damaged)?;
    let at = Timestamp::parse(&time).ok_or(NoteError::Damaged)?;
    Ok(Some(BackupNote { at, path, bytes }))
}

impl Vault {
    /// Writes the note about the last backup; see [`note_last_backup`].
    pub fn note_last_backup(&self, at: Timestamp, path: &Path, bytes: u64) -> io::Result<()> {
        note_last_backup(self.store.data_dir(), at, path, bytes)
    }

    /// Writes the note about the last download. The server does not know where a client stores a
    /// download, or whether it does, so a download never counts as the last backup.
    pub fn note_last_download(&self, at: Timestamp, bytes: u64) -> io::Result<()> {
        let line = json!({ "time": at.to_string(), "bytes": bytes });
        write_private(&self.store.data_dir().join(LAST_DOWNLOAD), &line.to_string())
    }
}
