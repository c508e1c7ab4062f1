//! Doors for the fuzz targets, in builds for them only: backups whose seals and
//! sums hold, around anything.
//!
//! Must never: be part of any other build.

use std::collections::BTreeMap;
use std::io::Write;

use crate::domain::Timestamp;
use crate::vault::backup::BackupError;
use crate::vault::backup::rows::{self, RowsWriter};
use crate::vault::backup::seal::{SealReader, SealWriter};
use crate::vault::crypto::keyring::RootKey;
use crate::vault::crypto::random::Random;

/// Keys and rows, as a backup has them.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Seals anything, as if it were rows.
pub fn seal(content: &[u8], root: &RootKey) -> Result<Vec<u8>, BackupError> {
    let mut seal = SealWriter::begin(Vec::new(), &root.backup_key(), Random)?;
    seal.write_all(content)?;
    Ok(seal.finish()?)
}

/// Writes rows as a backup does.
pub fn write(rows: &Rows, root: &RootKey) -> Result<Vec<u8>, BackupError> {
    let key = root.backup_key();
    let seal = SealWriter::begin(Vec::new(), &key, Random)?;
    let mut writer = RowsWriter::begin(seal, &key, Random, Timestamp::from_millis(0))?;
    for (key, row) in rows {
        writer.row(key, row)?;
    }
    Ok(writer.finish()?.0.finish()?)
}

/// Reads rows as a restore does.
pub fn read(file: &[u8], root: &RootKey) -> Result<Rows, BackupError> {
    let (key, mut found) = (root.backup_key(), Rows::new());
    rows::read(SealReader::begin(file, &key)?, Some(&key), |key, row| {
        found.insert(key, row);
        Ok(())
    })?;
    Ok(found)
}
