//! The status of the server, as far as it costs nothing to know: what a page shows that stays open
//! all day.
//!
//! Must never: read a row. Checks that walk over the database belong to `doctor`.
//! Called by: `http`.

use crate::domain::Timestamp;
use crate::store::Extent;

use crate::vault::backup::notes::{BackupNote, LAST_BACKUP, LAST_DOWNLOAD, read_note};
use crate::vault::policy::{Administer, Permit};
use crate::vault::service::Vault;

/// The status of the server.
#[derive(Debug)]
pub struct ServerStatus {
    /// How much disk space the database uses, and how much is free.
    pub extent: Extent,
    /// The last backup that the host itself made.
    pub last_backup: Option<BackupNote>,
    /// The moment that the last backup downloaded through the API shows.
    pub last_download: Option<Timestamp>,
}

impl Vault {
    /// Returns the status of the server. Asks the file system, so it may block.
    ///
    /// Leaves no audit row: it is polled, and shows nothing of what is stored.
    pub fn status(&self, _permit: &Permit<Administer>) -> ServerStatus {
        // `coffer doctor` reports a note that cannot be read, and what to do.
        let note = |name| read_note(self.store.data_dir(), name).ok().flatten();
        ServerStatus {
            extent: self.store.extent(),
            last_backup: note(LAST_BACKUP),
            last_download: note(LAST_DOWNLOAD).map(|note| note.at),
        }
    }
}
