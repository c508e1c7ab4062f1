//! Making a backup.
//!
//! First the audit row, durable; then a point-in-time view is taken; then its rows go
//! out as fast as they are taken. So the row that tells of a backup is in it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::audit::{Action, Draft, RefusalCode};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{CommitError, DiskBudget, PointInTime, Store, Tx, is_backed_up};

use crate::vault::backup::notes::{LAST_BACKUP, LAST_DOWNLOAD, read_note};
use crate::vault::backup::rows::{RowsWriter, Summary};
use crate::vault::backup::seal::SealWriter;
use crate::vault::backup::{BackupError, Recipient};
use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::crypto::recipients;
use crate::vault::error::Error;
use crate::vault::keys::unlock::Unlocked;
use crate::vault::policy::{Administer, Permit};
use crate::vault::{Unavailable, Vault};

/// The database as of one moment, about to be written out.
#[derive(Debug)]
pub struct Backup {
    view: PointInTime,
    key: Arc<BackupKey>,
    at: Timestamp,
    _place: Option<OwnedSemaphorePermit>,
}

impl Backup {
    /// When the view was taken.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Writes it out whole: to these recipients, or under the root key when
    /// there are none. Blocks.
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
        while put_step(&mut self.view, &mut rows)? {}
        rows.finish()
    }

    /// It under the root key, piece by piece, for who takes it when they can.
    pub fn pieces(self) -> Result<Pieces, BackupError> {
        let seal = SealWriter::begin(Vec::new(), &self.key, Random)?;
        let rows = RowsWriter::begin(seal, &self.key, Random, self.at)?;
        Ok(Pieces { rows: Some(rows), backup: self })
    }
}

/// Writes the rows of one step; `false` when there are no more.
fn put_step<W: Write>(
    view: &mut PointInTime,
    rows: &mut RowsWriter<W>,
) -> Result<bool, BackupError> {
    let step = view.step()?;
    for (key, row) in &step {
        if is_backed_up(key) {
            rows.row(key, row)?;
        }
    }
    Ok(!step.is_empty())
}

/// A backup that is taken piece by piece.
#[allow(missing_debug_implementations)]
pub struct Pieces {
    rows: Option<RowsWriter<SealWriter<Vec<u8>>>>,
    backup: Backup,
}

impl Pieces {
    /// The next bytes of the file; `None` behind its end. Blocks on the disk.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        loop {
            let Some(mut rows) = self.rows.take() else { return Ok(None) };
            if !put_step(&mut self.backup.view, &mut rows)? {
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
    /// Freezes the database for a backup that goes out through the API. It is
    /// always sealed under the root key, which no caller of the API has.
    pub async fn create_backup(&self, permit: &Permit<Administer>) -> Result<Backup, Error> {
        let place = self.place()?;
        let draft = permit.draft(Action::BackupCreate, self.now());
        let draft = draft.details(&json!({ "to": "api", "sealing": "root key" }));
        self.change(permit, move |_: &mut Tx<'_>| Ok(((), draft))).from_reserve().commit().await?;
        self.freeze(place).await
    }

    /// Freezes the database for a backup that the server makes by itself, into
    /// this file.
    pub async fn create_own_backup(
        &self,
        file: &str,
        recipients: &[Recipient],
    ) -> Result<Backup, Error> {
        let place = self.place()?;
        self.record_host(Action::BackupCreate, &own_details(file, recipients)).await?;
        self.freeze(place).await
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let backups: Arc<Semaphore> = Arc::clone(&self.backups);
        Ok(backups.try_acquire_owned().map_err(|_| Unavailable::OtherBackup)?)
    }

    async fn freeze(&self, place: OwnedSemaphorePermit) -> Result<Backup, Error> {
        let at = self.now();
        let view = self.store.point_in_time().await?;
        Ok(Backup { view, key: Arc::clone(&self.backup_key), at, _place: Some(place) })
    }

    /// Records that a backup which the server began by itself did not come about.
    pub async fn record_no_backup(&self, file: &str, problem: &str) -> Result<(), Error> {
        let details = json!({ "to": file, "problem": problem });
        let host = (&Principal::host(), &Origin::host());
        let draft = Draft::new(Action::BackupCreate, host.0, host.1, self.now());
        let draft = draft.details(&details).refused(RefusalCode::Internal);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }

    /// See [`about_bytes`]; nothing while another backup goes on, for then there will
    /// be none.
    pub fn about_backup_bytes(&self, _permit: &Permit<Administer>) -> Option<u64> {
        if self.backups.available_permits() == 0 { None } else { about_bytes(&self.store) }
    }

    /// About how long a backup is. Reads every row.
    pub fn live_bytes(&self) -> Result<u64, Error> {
        Ok(self.store.usage()?.live_bytes)
    }

    /// The room for a file outside the database.
    pub fn room(&self, path: &Path) -> DiskBudget {
        self.store.room(path)
    }
}

/// Counting for longer than this is not worth the wait for a bar.
const COUNTED_WITHIN: Duration = Duration::from_millis(500);

/// About how long a backup of this will be, if that is to be had soon: by its rows, or
/// else by the last backup. Blocks on the disk.
pub fn about_bytes(store: &Store) -> Option<u64> {
    store.live_bytes_within(COUNTED_WITHIN).or_else(|| {
        let noted = |name| read_note(store.data_dir(), name).ok().flatten();
        let notes = [LAST_BACKUP, LAST_DOWNLOAD].into_iter().filter_map(noted);
        notes.max_by_key(|note| note.at)?.bytes
    })
}

fn own_details(file: &str, recipients: &[Recipient]) -> serde_json::Value {
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
    let draft = draft.details(&own_details(file, recipients));
    let written: Result<(), CommitError<Error>> =
        unlocked.store.record::<Error>(draft).from_reserve().commit_blocking();
    written.map_err(Error::from)?;
    let view = unlocked.store.point_in_time_blocking()?;
    Ok(Backup { view, key: Arc::clone(&unlocked.backup_key), at: now, _place: None })
}
