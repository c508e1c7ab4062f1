//! Opening a backup: to verify it, to restore it, to seal it to others.
//!
//! Verifying keeps the rows in memory, about as much as the file is long, and never in a temporary
//! file: vars and the audit log are readable once the seal is off, and a process that is killed
//! leaves nothing of its memory on a disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use serde_json::json;

use crate::audit::{Action, Draft};
use crate::domain::{Origin, Principal, Timestamp};
use crate::store::{CommitError, MemoryRows, NotDurable, Options, RestoreWriter, is_backed_up};

use crate::vault::backup::error::BackupError;
use crate::vault::backup::examine::{Examined, examine};
use crate::vault::backup::rows::{self, Summary};
use crate::vault::backup::seal::{self, SealReader};
use crate::vault::crypto::recipients::{self, Identities, Recipient};
use crate::vault::crypto::root_key::{RootKey, RootKeys};
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::keys::unlock::unlock;

/// The keys that open a backup.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The root key, which every backup needs, because the values inside are sealed too.
    pub root: &'a RootKey,
    /// The previous root key, for a backup that was made while the root key was being changed.
    pub previous: Option<&'a RootKey>,
    /// The identities, for a backup that is sealed to recipients.
    pub identities: Option<&'a Identities>,
}

impl<'a> Opening<'a> {
    fn roots(&self) -> RootKeys<'a> {
        RootKeys { current: self.root, previous: self.previous }
    }
}

fn is_age(input: &mut impl BufRead) -> Result<bool, BackupError> {
    Ok(input.fill_buf()?.starts_with(recipients::MAGIC))
}

fn buffered(input: impl Read) -> impl BufRead {
    BufReader::with_capacity(128 << 10, input)
}

/// Reads from the start of a backup which root key it needs.
pub fn wanted_root_key(
    input: impl Read,
    identities: Option<&Identities>,
) -> Result<Fingerprint, BackupError> {
    let mut input = buffered(input);
    if is_age(&mut input)? {
        let identities = identities.ok_or(BackupError::NeedsIdentity)?;
        rows::root_key(recipients::open(input, identities)?)
    } else {
        Ok(seal::Header::read(&mut input)?.root)
    }
}

fn read_rows(
    input: impl Read,
    opening: Opening<'_>,
    take: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), BackupError>,
) -> Result<Summary, BackupError> {
    let mut input = buffered(input);
    let key = opening.root.backup_key();
    if is_age(&mut input)? {
        let identities = opening.identities.ok_or(BackupError::NeedsIdentity)?;
        rows::read(recipients::open(input, identities)?, Some(&key), take)
    } else {
        rows::read(SealReader::begin(input, &key)?, Some(&key), take)
    }
}

/// Opens a backup and every record in it. Findings are not an error: they describe the database
/// that was backed up.
pub fn verify(input: impl Read, opening: Opening<'_>) -> Result<(Summary, Examined), BackupError> {
    let mut rows = MemoryRows::default();
    let summary = read_rows(input, opening, |key, row| {
        rows.row(key, row);
        Ok(())
    })?;
    let examined = examine(&rows, opening.roots())?;
    Ok((summary, examined))
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says about itself.
    pub summary: Summary,
    /// What the examination of its records found.
    pub examined: Examined,
    /// Set if the database is in place, but might not survive a power cut.
    pub unsettled: Option<NotDurable>,
}

/// Restores a backup into a data directory. The directory contains a database if this succeeds, and
/// none otherwise, whatever happens on the way.
pub fn restore(
    input: impl Read,
    opening: Opening<'_>,
    data_dir: &Path,
    options: Options,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let mut writer = RestoreWriter::begin(data_dir, options)?;
    let summary = read_rows(input, opening, |key, row| {
        if is_backed_up(&key) { Ok(writer.row(key, row)?) } else { Ok(()) }
    })?;
    let (opened, target) = writer.finish()?;
    let examined = examine(&opened, opening.roots())?;
    let unlocked = unlock(opened, opening.roots(), now)?;
    let draft = Draft::new(Action::BackupRestore, &Principal::host(), &Origin::host(), now);
    let draft = draft.details(&json!({
        "backupCreatedAt": summary.created_at,
        "headSeq": summary.audit_head_seq,
        "rows": summary.rows,
        "program": summary.program,
    }));
    let marked: Result<(), CommitError<Error>> =
        unlocked.store.record::<Error>(draft).commit_blocking();
    let closed = unlocked.store.close();
    drop(unlocked);
    marked.map_err(Error::from)?;
    closed.map_err(Error::from)?;
    let unsettled = target.install()?;
    Ok(Restored { summary, examined, unsettled })
}

/// Opens a backup that is sealed under the root key, and seals it to recipients. Needs the root
/// key, so only the host can do it. The output is valid only if this succeeds.
pub fn reseal(
    input: impl Read,
    root: &RootKey,
    out: &mut impl Write,
    recipients: &[Recipient],
) -> Result<Summary, BackupError> {
    let key = root.backup_key();
    let seal = recipients::seal(out, recipients)?;
    let mut tee = Tee { input: SealReader::begin(buffered(input), &key)?, out: seal };
    let summary = rows::read(&mut tee, Some(&key), |_, _| Ok(()))?;
    tee.out.finish()?.flush()?;
    Ok(summary)
}

/// A reader that also writes everything that is read from it.
struct Tee<R, W> {
    input: R,
    out: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.out.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Reads any bytes as a backup, for tests: a sealed file up to its header, or the inside of a seal
/// to its end.
pub fn read_backup(bytes: &[u8]) -> Result<Option<Summary>, BackupError> {
    if bytes.starts_with(&seal::MAGIC[..15]) {
        return seal::Header::read(&mut &bytes[..]).map(|_| None);
    }
    rows::read(bytes, None, |_, _| Ok(())).map(Some)
}
