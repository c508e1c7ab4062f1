//! How the server is, as far as that costs nothing to know: what a page shows that
//! is looked at all day.
//!
//! Must never: read a row. What takes a walk over the database is `doctor`'s.

use crate::domain::Timestamp;

use crate::vault::Vault;
use crate::vault::backup::{LAST_BACKUP, LAST_DOWNLOAD, Noted, read_note};
use crate::vault::policy::{Administer, Permit};

pub use crate::store::Extent;

/// How it is.
#[derive(Debug)]
pub struct Status {
    /// How much room there is.
    pub extent: Extent,
    /// The last backup that the host itself has made.
    pub last_backup: Option<Noted>,
    /// When the last backup that went out through the API was frozen.
    pub last_download: Option<Timestamp>,
}

impl Vault {
    /// How the server is. Asks the file system, so it may block.
    ///
    /// Leaves no audit row: it is asked again and again, and shows nothing of
    /// what is stored.
    pub fn status(&self, _permit: &Permit<Administer>) -> Status {
        // A note that cannot be read is told by `coffer doctor`, with what to do.
        let note = |name| read_note(self.store.data_dir(), name).ok().flatten();
        Status {
            extent: self.store.extent(),
            last_backup: note(LAST_BACKUP),
            last_download: note(LAST_DOWNLOAD).map(|noted| noted.at),
        }
    }
}
