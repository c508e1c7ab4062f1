//! How much room is left, and who may take it.
//!
//! Must never: let a write begin that could fill the disk; sled cannot go on
//! after that.

use std::path::PathBuf;

use crate::store::Unavailable;

/// Watches how much room is left.
#[derive(Debug, Clone)]
pub(in crate::store) struct FreeSpace {
    pub dir: PathBuf,
    pub floor_bytes: u64,
}

/// How much a change may take of what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Share {
    /// What lies above the floor.
    Common,
    /// Down to half of it: for records of what was refused, which anybody with
    /// a credential can bring about.
    Refusals,
    /// Down to a quarter of it: for what makes room or must be recorded.
    Reserve,
}

impl FreeSpace {
    /// How many bytes are left; none, when that cannot be told.
    pub fn left(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.dir);
        stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether a change may be made when so much is left.
    pub fn check(&self, left: u64, share: Share) -> Result<(), Unavailable> {
        let floor = match share {
            Share::Common => self.floor_bytes,
            Share::Refusals => self.floor_bytes / 2,
            Share::Reserve => self.floor_bytes / 4,
        };
        if left >= floor { Ok(()) } else { Err(Unavailable::DiskNearlyFull) }
    }
}
