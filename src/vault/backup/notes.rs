//! What the last backups have left in the data directory: one line of JSON each,
//! written here and read here.
//!
//! ```text
//! last-backup    {"time":"…","path":"…","bytes":n}   made by the host itself
//! last-download  {"time":"…","bytes":n}              sent to the end through the API
//! ```
//!
//! Must never: be needed for anything but to tell people. Both are beside the
//! database and no part of it, and anybody on the host may have lost or edited them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use crate::domain::Timestamp;
use crate::store::write_private;

use crate::vault::Vault;

/// The file in the data directory that tells of the last backup.
pub const LAST_BACKUP: &str = "last-backup";
/// The one that tells of the last backup that went out through the API.
pub const LAST_DOWNLOAD: &str = "last-download";

/// What a note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// When the backup was frozen.
    pub at: Timestamp,
    /// Where it was put; `None` when a client has taken it away.
    pub path: Option<PathBuf>,
    /// How long it is.
    pub bytes: Option<u64>,
}

/// Why a note says nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("the note does not say when")]
    Damaged,
}

/// Leaves a line of JSON in the data directory: when the last backup that the
/// host itself made was frozen, where it is, how long it is.
pub fn note_last_backup(data_dir: &Path, at: Timestamp, path: &Path, bytes: u64) -> io::Result<()> {
    let path = path.to_string_lossy();
    let line = json!({ "time": at.to_string(), "path": path, "bytes": bytes });
    write_private(&data_dir.join(LAST_BACKUP), &line.to_string())
}

/// What the note with this name says; `None` when there is none.
pub fn read_note(data_dir: &Path, name: &str) -> Result<Option<Noted>, NoteError> {
    #[derive(Deserialize)]
    struct Line {
        time: String,
        path: Option<PathBuf>,
        bytes: Option<u64>,
    }

    let text = match fs::read(data_dir.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Line { time, path, bytes } =
        serde_json::from_slice(&text).map_err(|_| NoteError::Damaged)?;
    let at = Timestamp::parse(&time).ok_or(NoteError::Damaged)?;
    Ok(Some(Noted { at, path, bytes }))
}

impl Vault {
    /// See [`note_last_backup`].
    pub fn note_last_backup(&self, at: Timestamp, path: &Path, bytes: u64) -> io::Result<()> {
        note_last_backup(self.store.data_dir(), at, path, bytes)
    }

    /// Leaves a line of JSON in the data directory: when the last backup that went
    /// out through the API was frozen, and how long it is. Where it is, and
    /// whether it is kept, is not known here, so it is not the last backup.
    pub fn note_last_download(&self, at: Timestamp, bytes: u64) -> io::Result<()> {
        let line = json!({ "time": at.to_string(), "bytes": bytes });
        write_private(&self.store.data_dir().join(LAST_DOWNLOAD), &line.to_string())
    }
}
