//! The status of each delivered file.
//!
//! Owns: the last outcome per file, in memory; every start checks all files again.
//! Must never: hold a value, or the output of a command.
//! Called by: `keep_delivering`, which updates it, and `http`, which shows it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::delivery::file_delivery::{FileDelivery, FileKey};
use crate::delivery::hook::CommandExit;
use crate::domain::{Timestamp, Version, lock};

/// The outcome of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The file was replaced.
    Written,
    /// The file already had this content.
    Unchanged,
    /// Required keys have no value; the old file stays.
    Missing(Vec<String>),
    /// The file could not be written; the old file stays.
    Failed(String),
}

/// The status of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// The time of the last delivery.
    pub at: Timestamp,
    /// The outcome of the last delivery.
    pub outcome: DeliveryOutcome,
    /// The versions in the file by key, from the last delivery that succeeded.
    pub versions: BTreeMap<String, Version>,
    /// How the last command ended, if one ran.
    pub command: Option<CommandExit>,
}

/// The statuses of all files since the start.
#[derive(Debug, Default)]
pub struct DeliveryStatuses(Mutex<BTreeMap<FileKey, (FileDelivery, DeliveryStatus)>>);

impl DeliveryStatuses {
    /// Returns the status of a file, if it has been delivered as it is declared now.
    pub fn of(&self, file: &FileDelivery) -> Option<DeliveryStatus> {
        let statuses = lock(&self.0);
        let (_, status) = statuses.get(&file.key()).filter(|(of, _)| of == file)?;
        Some(status.clone())
    }

    pub(super) fn put(&self, file: &FileDelivery, status: DeliveryStatus) {
        lock(&self.0).insert(file.key(), (file.clone(), status));
    }
}
