//! Entry points for the fuzz targets: backups with valid seals and checksums around any content.
//!
//! Must never: be part of any other build.

use std::collections::BTreeMap;
use std::io::Write;

use crate::domain::Timestamp;
use crate::vault::backup::error::BackupError;
use crate::vault::backup::rows::{self, RowsWriter};
use crate::vault::backup::seal::{SealReader, SealWriter};
use crate::vault::crypto::random::Random;
use crate::vault::crypto::root_key::RootKey;

/// The rows of a backup, by key.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Seals any content as if it were rows.
pub fn seal(content: &[u8], root: &RootKey) -> Result<Vec<u8>, BackupError> {
    let mut seal = SealWriter::begin(Vec::new(), &root.backup_key(), Random)?;
    seal.write_all(content)?;
    Ok(seal.finish()?)
}

/// Writes rows the way a backup does.
pub fn write(rows: &Rows, root: &RootKey) -> Result<Vec<u8>, BackupError> {
    let key = root.backup_key();
    let seal = SealWriter::begin(Vec::new(), &key, Random)?;
    let mut writer = RowsWriter::begin(seal, &key, Random, Timestamp::from_millis(0))?;
    for (key, row) in rows {
        writer.row(key, row)?;
    }
    Ok(writer.finish()?.0.finish()?)
}

/// Reads rows the way a restore does.
pub fn read(file: &[u8], root: &RootKey) -> Result<Rows, BackupError> {
    let (key, mut found) = (root.backup_key(), Rows::new());
    rows::read(SealReader::begin(file, &key)?, Some(&key), |key, row| {
        found.insert(key, row);
        Ok(())
    })?;
    Ok(found)
}
