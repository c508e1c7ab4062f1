//! The rows of a backup, as they are inside the seal.
//!
//! ```text
//! rows     head | record … | closing
//! head     "coffer rows v1\n" 15 | salt 32 | length u32 BE | manifest, JSON
//! record   1 u8 | key length u16 BE | row length u32 BE | key | row
//! closing  0 u8 | length u32 BE | contents, JSON | SHA-256 32 | origin 32
//!
//! SHA-256  over every byte before it
//! origin   HMAC-SHA256(HKDF(backup key, salt, "origin key"), SHA-256)
//! ```
//!
//! Keys are in strictly ascending order, so a state has exactly one encoding. The origin matters
//! for files that are sealed to an age recipient: anyone who knows a recipient can make such a
//! file, but only the root key makes one that can be restored.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;
use crate::store::{AuditHead, Keys, MemoryRows, Table, View, row_kind};

use crate::vault::backup::error::BackupError;
use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;

const MAGIC: &[u8; 15] = b"coffer rows v1\n";
const FORMAT_VERSION: u32 = 1;
// Real rows are chunks of at most 4 KiB, and audit rows. These limits only bound what a reader
// allocates for a malformed file.
const MAX_KEY_BYTES: usize = 4 << 10;
const MAX_ROW_BYTES: usize = 16 << 20;
const MAX_JSON_BYTES: usize = 1 << 20;

const RECORD: u8 = 1;
const CLOSING: u8 = 0;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format_version: u32,
    program: String,
    created_at: String,
    root_key: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BackupContents {
    rows: u64,
    counts: BTreeMap<String, u64>,
    wrapping_keys: Vec<WrappingKeyInfo>,
    audit_head_seq: u64,
}

/// A wrapping key that data keys in a backup may be wrapped under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrappingKeyInfo {
    /// The number of the key.
    pub id: u32,
    /// The fingerprint of the root key that it is derived from.
    pub root_key: String,
}

/// What a backup says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The program that made the backup, with its version.
    pub program: String,
    /// When the backup was made.
    pub created_at: String,
    /// The fingerprint of the root key that the backup was made under.
    pub root_key: String,
    /// The number of all rows.
    pub rows: u64,
    /// The number of rows of each kind.
    pub counts: BTreeMap<String, u64>,
    /// The wrapping keys in the backup: more than one during a rotation.
    pub wrapping_keys: Vec<WrappingKeyInfo>,
    /// The number of the last audit row.
    pub audit_head_seq: u64,
}

impl Summary {
    fn new(manifest: Manifest, contents: BackupContents) -> Self {
        let Manifest { program, created_at, root_key, .. } = manifest;
        let BackupContents { rows, counts, wrapping_keys, audit_head_seq } = contents;
        Self { program, created_at, root_key, rows, counts, wrapping_keys, audit_head_seq }
    }
}

/// Counts rows, and keeps the few that [`BackupContents`] is computed from.
#[derive(Default)]
struct RowCounter {
    contents: BackupContents,
    kept: MemoryRows,
}

impl RowCounter {
    fn count(&mut self, key: &[u8], row: &[u8]) {
        self.contents.rows += 1;
        *self.contents.counts.entry(row_kind(key).to_owned()).or_default() += 1;
        if matches!(key.first(), Some(&Keys::PREFIX | &AuditHead::PREFIX)) {
            self.kept.row(key.to_vec(), row.to_vec());
        }
    }

    /// Computes the contents. A damaged row adds nothing here; the examination reports it.
    fn contents(mut self) -> BackupContents {
        for (id, row) in self.kept.scan::<Keys>(&[], None).flatten() {
            let root_key = Fingerprint(row.root_fingerprint).to_string();
            self.contents.wrapping_keys.push(WrappingKeyInfo { id: id.0, root_key });
        }
        if let Ok(Some(row)) = self.kept.get::<AuditHead>(&()) {
            self.contents.audit_head_seq = row.head().seq;
        }
        self.contents
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("a struct of strings and numbers serializes to JSON")
}

fn length_u32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("every part is shorter than 4 GiB").to_be_bytes()
}

/// Writes the rows of a backup.
pub(super) struct RowsWriter<W> {
    out: W,
    hash: digest::Context,
    origin: hmac::Key,
    manifest: Manifest,
    counter: RowCounter,
}

impl<W: Write> RowsWriter<W> {
    /// Starts a file by writing its head.
    pub fn begin(
        out: W,
        key: &BackupKey,
        random: Random,
        now: Timestamp,
    ) -> Result<Self, BackupError> {
        let salt: [u8; 32] = random.bytes().map_err(|_| Error::NoRandomness)?;
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            program: concat!("coffer ", env!("CARGO_PKG_VERSION")).to_owned(),
            created_at: now.to_string(),
            root_key: key.root().to_string(),
        };
        let mut writer = Self {
            out,
            hash: digest::Context::new(&digest::SHA256),
            origin: key.origin_key(&salt),
            manifest,
            counter: RowCounter::default(),
        };
        let manifest = json(&writer.manifest);
        writer.put(&[MAGIC, &salt, &length_u32(&manifest), &manifest])?;
        Ok(writer)
    }

    fn put(&mut self, parts: &[&[u8]]) -> Result<(), BackupError> {
        for part in parts {
            self.hash.update(part);
            self.out.write_all(part)?;
        }
        Ok(())
    }

    pub fn row(&mut self, key: &[u8], row: &[u8]) -> Result<(), BackupError> {
        let key_length = u16::try_from(key.len()).ok().filter(|_| key.len() <= MAX_KEY_BYTES);
        let (Some(key_length), true) = (key_length, row.len() <= MAX_ROW_BYTES) else {
            return Err(BackupError::Damaged { what: "a row of the database is too long" });
        };
        self.counter.count(key, row);
        self.put(&[&[RECORD], &key_length.to_be_bytes(), &length_u32(row), key, row])
    }

    /// Returns the underlying writer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the file by writing its closing.
    pub fn finish(mut self) -> Result<(W, Summary), BackupError> {
        let contents = std::mem::take(&mut self.counter).contents();
        let text = json(&contents);
        self.put(&[&[CLOSING], &length_u32(&text), &text])?;
        let hash = self.hash.finish();
        let origin = hmac::sign(&self.origin, hash.as_ref());
        self.out.write_all(hash.as_ref())?;
        self.out.write_all(origin.as_ref())?;
        Ok((self.out, Summary::new(self.manifest, contents)))
    }
}

struct RowsReader<R> {
    input: R,
    hash: digest::Context,
}

impl<R: Read> RowsReader<R> {
    fn new(input: R) -> Self {
        Self { input, hash: digest::Context::new(&digest::SHA256) }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn json<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, BackupError> {
        let length = u32::from_be_bytes(self.fixed()?) as usize;
        if length > MAX_JSON_BYTES {
            return Err(BackupError::Damaged { what: "a length is out of range" });
        }
        let text = self.bytes(length)?;
        serde_json::from_slice(&text).map_err(|_| BackupError::Damaged {
            what: "its description of itself is not valid JSON",
        })
    }

    /// Reads the salt and the manifest.
    fn head(&mut self) -> Result<([u8; 32], Manifest), BackupError> {
        let magic: [u8; 15] = self.fixed()?;
        if &magic != MAGIC {
            let ours = magic.starts_with(b"coffer rows v");
            return Err(if ours { BackupError::OtherForm } else { BackupError::NotABackup });
        }
        let salt = self.fixed()?;
        let manifest: Manifest = self.json()?;
        if manifest.format_version != FORMAT_VERSION {
            return Err(BackupError::OtherForm);
        }
        Ok((salt, manifest))
    }
}

/// Reads the fingerprint of the root key that the rows were written under.
pub(super) fn root_key(input: impl Read) -> Result<Fingerprint, BackupError> {
    let (_, manifest) = RowsReader::new(input).head()?;
    Fingerprint::parse(&manifest.root_key)
        .ok_or(BackupError::Damaged { what: "it does not name a root key" })
}

/// Reads all rows and passes each to `take`. The rows are valid only if this succeeds: the
/// checksum, and with a key also the origin, are verified last.
pub(super) fn read(
    input: impl Read,
    key: Option<&BackupKey>,
    mut take: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), BackupError>,
) -> Result<Summary, BackupError> {
    let mut reader = RowsReader::new(input);
    let (salt, manifest) = reader.head()?;
    let mut counter = RowCounter::default();
    let mut last: Option<Vec<u8>> = None;
    loop {
        match reader.fixed()? {
            [RECORD] => {}
            [CLOSING] => break,
            _ => return Err(BackupError::Damaged { what: "it has data between its rows" }),
        }
        let key_length = usize::from(u16::from_be_bytes(reader.fixed()?));
        let row_length = u32::from_be_bytes(reader.fixed()?) as usize;
        if key_length > MAX_KEY_BYTES || row_length > MAX_ROW_BYTES {
            return Err(BackupError::Damaged { what: "a length is out of range" });
        }
        let (key, row) = (reader.bytes(key_length)?, reader.bytes(row_length)?);
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(BackupError::Damaged { what: "its rows are out of order" });
        }
        counter.count(&key, &row);
        last = Some(key.clone());
        take(key, row)?;
    }
    let contents: BackupContents = reader.json()?;
    let hash = reader.hash.clone().finish();
    let (sum, origin): ([u8; 32], [u8; 32]) = (reader.fixed()?, reader.fixed()?);
    if reader.input.read(&mut [0])? != 0 {
        return Err(BackupError::Damaged { what: "it has data after its end" });
    }
    if sum != hash.as_ref() {
        return Err(BackupError::Damaged { what: "its checksum does not match" });
    }
    if let Some(key) = key {
        hmac::verify(&key.origin_key(&salt), &sum, &origin)
            .map_err(|_| BackupError::OtherOrigin)?;
    }
    let counted = counter.contents();
    if (counted.rows, &counted.counts) != (contents.rows, &contents.counts) {
        return Err(BackupError::Damaged { what: "its row counts do not match" });
    }
    Ok(Summary::new(manifest, counted))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;

    use super::*;
    use crate::vault::crypto::root_key::RootKey;

    fn key(byte: u8) -> BackupKey {
        let text = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
        RootKey::parse(&text).unwrap().backup_key()
    }

    fn write(rows: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
        let now = Timestamp::from_millis(0);
        let mut writer = RowsWriter::begin(Vec::new(), &key(7), Random, now).unwrap();
        rows.iter().for_each(|(key, row)| writer.row(key, row).unwrap());
        writer.finish().unwrap().0
    }

    proptest! {
        /// Rows that were written are read back; a changed or truncated file is refused.
        #[test]
        fn rows_are_read_completely_or_not_at_all(
            rows in prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..40), 0..20),
            at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let bytes = write(&rows);
            let mut seen = BTreeMap::new();
            let summary = read(&bytes[..], Some(&key(7)), |key, row| { seen.insert(key, row); Ok(()) });
            prop_assert_eq!(summary.unwrap().rows, rows.len() as u64);
            prop_assert_eq!(&seen, &rows);
            let at = at.index(bytes.len());
            prop_assert!(read(&bytes[..at], None, |_, _| Ok(())).is_err());
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            prop_assert!(read(&changed[..], Some(&key(7)), |_, _| Ok(())).is_err());
            prop_assert!(matches!(
                read(&bytes[..], Some(&key(8)), |_, _| Ok(())),
                Err(BackupError::OtherOrigin)
            ));
        }

        /// No input makes the reader panic.
        #[test]
        fn the_reader_handles_any_input(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes[..], None, |_, _| Ok(()));
            let head = [&MAGIC[..], &[0; 32], &[0, 0, 0, 2], b"{}", &bytes].concat();
            let _ = read(&head[..], None, |_, _| Ok(()));
        }
    }
}
