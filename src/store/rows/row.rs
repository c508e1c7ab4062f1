//! The rows, and how they become bytes.
//!
//! ```text
//! row = format u8 | postcard(body)        postcard 1.x wire format, nothing behind it
//! ```
//!
//! A row that does not decode to the last byte is damaged; nothing is guessed.
//! A change of a row's members needs a new format number in its table, and an
//! `upgrade` from the old one.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::audit::{Head, Mac, Start};
use crate::domain::{
    Description, DisplayName, EnvironmentId, EnvironmentName, EnvironmentSettings, KeyName,
    RevealMode, SecretId, Timestamp, VarId, Version,
};

use crate::store::rows::keyspace::Table;

/// Largest piece of a value in one row. sled puts a leaf (up to 16 rows) of
/// more than 128 KiB into files that it never syncs, so rows stay small.
pub const CHUNK_BYTES: usize = 4096;

/// Names a wrapping key for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u32);

/// A wrapping key, as far as it may be on disk: what makes it out of the root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// HKDF salt; without it the root key does not give this wrapping key.
    pub salt: [u8; 32],
    /// Tells which root key it needs.
    pub root_fingerprint: [u8; 8],
    /// When it was made.
    pub created_at: Timestamp,
}

/// A 32-byte key sealed under a wrapping key with AES-256-GCM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The wrapping key.
    pub key: KeyId,
    /// Nonce, random for each wrapping.
    pub nonce: [u8; 12],
    /// Ciphertext.
    pub sealed: [u8; 32],
    /// Tag.
    pub tag: [u8; 16],
}

/// The keys of services that are not secrets' data keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceKeysRow {
    /// Authenticates the audit chain.
    pub audit: WrappedKey,
    /// Hashes API tokens.
    pub token: WrappedKey,
}

/// The last rotation: under which key every data key is being wrapped again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationRow {
    /// The new wrapping key.
    pub to: KeyId,
    /// When it was made.
    pub started_at: Timestamp,
    /// When the last data key had been looked at.
    pub finished_at: Option<Timestamp>,
    /// The version that was looked at last; the sweep goes on behind it.
    pub cursor: Option<(SecretId, Version)>,
    /// Data keys that were wrapped again.
    pub rewrapped: u64,
    /// Data keys that do not open and stay as they are.
    pub unopened: u64,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EnvironmentRow {
    pub name: EnvironmentName,
    pub display_name: DisplayName,
    pub settings: EnvironmentSettings,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How much an environment holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CountsRow {
    pub secrets: u32,
    pub vars: u32,
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SecretRow {
    pub id: SecretId,
    pub description: Description,
    pub mode: RevealMode,
    pub version: Version,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where a secret's row is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SecretPlace {
    pub environment: EnvironmentId,
    pub key: KeyName,
}

/// A version of a secret. Its value can be reached exactly as long as this row
/// exists, because it holds the data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The data key.
    pub data_key: WrappedKey,
    /// In how many pieces the ciphertext is stored.
    pub chunks: u16,
    /// When it was put.
    pub created_at: Timestamp,
    /// Who put it.
    pub created_by: String,
}

/// A var without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct VarRow {
    pub id: VarId,
    pub description: Description,
    pub version: Version,
    /// In how many pieces the value is stored.
    pub chunks: u16,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where a var's row is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct VarPlace {
    pub environment: EnvironmentId,
    pub key: KeyName,
}

/// What a request that wanted to be done once was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// Tells that request from another with the same key; a keyed hash.
    pub fingerprint: [u8; 32],
    /// The environment that the answer tells about.
    pub environment: Option<EnvironmentId>,
    /// In how many pieces the answer is stored; none, when it is not kept.
    pub chunks: u16,
    /// When it was done.
    pub at: Timestamp,
}

/// A row of the audit log: what `audit::SealedRow` has besides its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAuditRow {
    mac: [u8; 32],
    /// The encoded `audit::Row`.
    pub body: Vec<u8>,
}

impl StoredAuditRow {
    pub(in crate::store) fn new(mac: Mac, body: Vec<u8>) -> Self {
        Self { mac: mac.0, body }
    }

    /// What it says; `None` when it is damaged.
    pub fn row(&self) -> Option<crate::audit::Row> {
        postcard::from_bytes(&self.body).ok()
    }

    /// Its MAC.
    pub fn mac(&self) -> Mac {
        Mac(self.mac)
    }
}

/// The end of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRow {
    seq: u64,
    mac: [u8; 32],
    seal: [u8; 32],
}

impl HeadRow {
    pub(in crate::store) fn new(head: &Head) -> Self {
        Self { seq: head.seq, mac: head.mac.0, seal: head.seal.0 }
    }

    /// As the chain knows it.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, mac: Mac(self.mac), seal: Mac(self.seal) }
    }
}

/// Where the kept part of the audit log begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRow {
    seq: u64,
    mac: [u8; 32],
    at: Timestamp,
    seal: [u8; 32],
}

impl StartRow {
    /// The marker, to be stored with the removal of the rows before it.
    pub fn new(start: &Start) -> Self {
        Self { seq: start.seq, mac: start.mac.0, at: start.at, seal: start.seal.0 }
    }

    /// As the chain knows it.
    pub fn start(&self) -> Start {
        Start { seq: self.seq, mac: Mac(self.mac), at: self.at, seal: Mac(self.seal) }
    }
}

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub Vec<u8>);

/// A row that is not what its table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// The row as bytes.
pub fn encode<R: Serialize>(format: u8, row: &R) -> Vec<u8> {
    postcard::to_extend(row, vec![format])
        .expect("rows hold no type that postcard cannot write, and memory does not refuse")
}

/// The row from bytes, all of them.
pub fn decode<T: Table>(bytes: &[u8]) -> Result<T::Row, Damaged> {
    let (format, body) = bytes.split_first().ok_or(Damaged)?;
    if *format == T::FORMAT { decode_body(body) } else { T::upgrade(*format, body).ok_or(Damaged) }
}

/// What stands behind the format byte, all of it.
pub fn decode_body<R: DeserializeOwned>(body: &[u8]) -> Result<R, Damaged> {
    match postcard::take_from_bytes(body) {
        Ok((row, [])) => Ok(row),
        _ => Err(Damaged),
    }
}
