//! Making a backup.
//!
//! First the audit row becomes durable, then the database is frozen, then its rows are written out
//! as fast as the reader takes them. So a backup contains the row about itself.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::audit::{Action, Draft, RefusalCode};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{CommitError, DiskBudget, PointInTime, Store, Tx, Unavailable, is_backed_up};

use crate::vault::backup::error::BackupError;
use crate::vault::backup::notes::{LAST_BACKUP, LAST_DOWNLOAD, read_note};
use crate::vault::backup::rows::{RowsWriter, Summary};
use crate::vault::backup::seal::SealWriter;
use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::crypto::recipients::{self, Recipient};
use crate::vault::error::Error;
use crate::vault::policy::{Administer, Permit};
use crate::vault::service::Vault;
use crate::vault::unlocked::Unlocked;

/// The database as of one moment, ready to be written out.
#[derive(Debug)]
pub struct Backup {
    view: PointInTime,
    key: Arc<BackupKey>,
    at: Timestamp,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Backup {
    /// Returns the moment that the backup shows.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Writes the whole backup, sealed to these recipients, or under the root key if there are
    /// none. Blocks.
    pub fn write_to(
        self,
        out: &mut impl Write,
        recipients: &[Recipient],
    ) -> Result<Summary, BackupError> {
        if recipients.is_empty() {
            let seal = SealWriter::begin(out, &self.key, Random)?;
            let (seal, summary) = self.rows_into(seal)?;
            seal.finish()?.flush()?;
            return Ok(summary);
        }
        let (seal, summary) = self.rows_into(recipients::seal(out, recipients)?)?;
        seal.finish()?.flush()?;
        Ok(summary)
    }

    fn rows_into<W: Write>(mut self, out: W) -> Result<(W, Summary), BackupError> {
        let mut rows = RowsWriter::begin(out, &self.key, Random, self.at)?;
        while write_step(&mut self.view, &mut rows)? {}
        rows.finish()
    }

    /// Seals the backup under the root key, in pieces that the caller takes at its own pace.
    pub fn pieces(self) -> Result<BackupPieces, BackupError> {
        let seal = SealWriter::begin(Vec::new(), &self.key, Random)?;
        let rows = RowsWriter::begin(seal, &self.key, Random, self.at)?;
        Ok(BackupPieces { rows: Some(rows), backup: self })
    }
}

/// Writes the next rows. Returns `false` if there are none left.
fn write_step<W: Write>(
    frozen: &mut PointInTime,
    rows: &mut RowsWriter<W>,
) -> Result<bool, BackupError> {
    let step = frozen.step()?;
    for (key, row) in &step {
        if is_backed_up(key) {
            rows.row(key, row)?;
        }
    }
    Ok(!step.is_empty())
}

/// A backup that is read in pieces.
#[allow(missing_debug_implementations)]
pub struct BackupPieces {
    rows: Option<RowsWriter<SealWriter<Vec<u8>>>>,
    backup: Backup,
}

impl BackupPieces {
    /// Returns the next bytes of the file; `None` at its end. Blocks on the disk.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        loop {
            let Some(mut rows) = self.rows.take() else { return Ok(None) };
            if !write_step(&mut self.backup.view, &mut rows)? {
                let (seal, _) = rows.finish()?;
                return Ok(Some(seal.finish()?));
            }
            let piece = std::mem::take(rows.get_mut().get_mut());
            self.rows = Some(rows);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

impl Vault {
    /// Freezes the database for a download through the API. Downloads are always sealed under the
    /// root key, which no caller of the API has.
    pub async fn create_backup(&self, permit: &Permit<Administer>) -> Result<Backup, Error> {
        let turn = self.backup_turn()?;
        let draft = permit.draft(Action::BackupCreate, self.now());
        let draft = draft.details(&json!({ "to": "api", "sealing": "root key" }));
        self.change(permit, move |_: &mut Tx<'_>| Ok(((), draft))).from_reserve().commit().await?;
        self.freeze(turn).await
    }

    /// Freezes the database for a scheduled backup into this file.
    pub async fn create_own_backup(
        &self,
        file: &str,
        recipients: &[Recipient],
    ) -> Result<Backup, Error> {
        let turn = self.backup_turn()?;
        self.record_host(Action::BackupCreate, &host_details(file, recipients)).await?;
        self.freeze(turn).await
    }

    /// Claims the one backup that may run at a time.
    fn backup_turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let backups: Arc<Semaphore> = Arc::clone(&self.backups);
        Ok(backups.try_acquire_owned().map_err(|_| Unavailable::OtherBackup)?)
    }

    async fn freeze(&self, turn: OwnedSemaphorePermit) -> Result<Backup, Error> {
        let at = self.now();
        let view = self.store.point_in_time().await?;
        Ok(Backup { view, key: Arc::clone(&self.backup_key), at, _turn: Some(turn) })
    }

    /// Records that a scheduled backup failed.
    pub async fn record_no_backup(&self, file: &str, problem: &str) -> Result<(), Error> {
        let details = json!({ "to": file, "problem": problem });
        let host = (&Principal::host(), &Origin::host());
        let draft = Draft::new(Action::BackupCreate, host.0, host.1, self.now());
        let draft = draft.details(&details).refused(RefusalCode::Internal);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }

    /// Estimates the size of a backup; see [`estimated_bytes`]. `None` while another backup runs,
    /// because a request for one would be refused.
    pub fn estimated_backup_bytes(&self, _permit: &Permit<Administer>) -> Option<u64> {
        if self.backups.available_permits() == 0 { None } else { estimated_bytes(&self.store) }
    }

    /// Returns the bytes of all keys and rows, which is about the size of a backup. Reads every
    /// row.
    pub fn live_bytes(&self) -> Result<u64, Error> {
        Ok(self.store.usage()?.live_bytes)
    }

    /// Returns the free space for a file outside the database.
    pub fn room(&self, path: &Path) -> DiskBudget {
        self.store.room(path)
    }
}

/// Counting for longer than this is not worth it: the count is for a progress bar.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// Estimates the size of a backup, if that is quick: from the rows, or else from the last backup.
/// Blocks on the disk.
pub fn estimated_bytes(store: &Store) -> Option<u64> {
    store.live_bytes_within(COUNTED_WITHIN).or_else(|| {
        let note = |name| read_note(store.data_dir(), name).ok().flatten();
        let notes = [LAST_BACKUP, LAST_DOWNLOAD].into_iter().filter_map(note);
        notes.max_by_key(|note| note.at)?.bytes
    })
}

fn host_details(file: &str, recipients: &[Recipient]) -> serde_json::Value {
    let sealing = if recipients.is_empty() { "root key" } else { "recipients" };
    json!({ "to": file, "sealing": sealing, "recipients": recipients.len() })
}

/// Freezes a database that no server has open.
pub fn back_up_stopped(
    unlocked: &Unlocked,
    file: &str,
    recipients: &[Recipient],
    now: Timestamp,
) -> Result<Backup, Error> {
    let draft = Draft::new(Action::BackupCreate, &Principal::host(), &Origin::host(), now);
    let draft = draft.details(&host_details(file, recipients));
    let written: Result<(), CommitError<Error>> =
        unlocked.store.record::<Error>(draft).from_reserve().commit_blocking();
    written.map_err(Error::from)?;
    let view = unlocked.store.point_in_time_blocking()?;
    Ok(Backup { view, key: Arc::clone(&unlocked.backup_key), at: now, _turn: None })
}
