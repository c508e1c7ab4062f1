//! The rows of secrets, keys and the audit log, and the encoding of every row.
//!
//! ```text
//! row = format u8 | postcard(body)        postcard 1.x wire format, nothing behind it
//! ```
//!
//! Owns: the row types and their byte layout.
//! Must never: guess. A row that does not decode to its last byte is damaged. A change to a row's
//! fields needs a new format number in its table, and an `upgrade` from the old one.
//! Called by: everything that reads or writes rows.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::audit::{Head, Mac, Start};
use crate::domain::{
    Description, DisplayName, EnvironmentId, EnvironmentName, EnvironmentSettings, KeyName,
    RevealMode, SecretId, Timestamp, VarId, Version,
};

use crate::store::rows::keyspace::Table;

/// The largest chunk of a value in one row. sled puts a leaf (up to 16 rows) of more than 128 KiB
/// into files that it never syncs, so rows stay small.
pub const CHUNK_BYTES: usize = 4096;

/// The id of a wrapping key. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u32);

/// A wrapping key as stored: what derives it from the root key, not the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// HKDF salt; the root key alone does not derive this wrapping key.
    pub salt: [u8; 32],
    /// Identifies the root key that it is derived from.
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

/// The wrapped keys that are not data keys of secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceKeysRow {
    /// Authenticates the audit chain.
    pub audit: WrappedKey,
    /// Hashes API tokens.
    pub token: WrappedKey,
}

/// The last rotation: the key that every data key is being rewrapped under, and how far that has
/// come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationRow {
    /// The new wrapping key.
    pub to: KeyId,
    /// When it was made.
    pub started_at: Timestamp,
    /// When every data key had been visited.
    pub finished_at: Option<Timestamp>,
    /// The last version visited; the sweep continues after it.
    pub cursor: Option<(SecretId, Version)>,
    /// Data keys that were rewrapped.
    pub rewrapped: u64,
    /// Data keys that could not be opened and were left unchanged.
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

/// How many secrets and vars an environment holds.
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

/// The environment and key that a secret's row is stored under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SecretPlace {
    pub environment: EnvironmentId,
    pub key: KeyName,
}

/// A version of a secret. Deleting this row destroys the data key and with it the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The data key.
    pub data_key: WrappedKey,
    /// The number of chunks that the ciphertext is stored in.
    pub chunks: u16,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Who stored it.
    pub created_by: String,
}

/// A var without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct VarRow {
    pub id: VarId,
    pub description: Description,
    pub version: Version,
    /// The number of chunks that the value is stored in.
    pub chunks: u16,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The environment and key that a var's row is stored under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct VarPlace {
    pub environment: EnvironmentId,
    pub key: KeyName,
}

/// The stored answer to a request with an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// A keyed hash of the request, to recognize another one that reuses its key.
    pub fingerprint: [u8; 32],
    /// The environment that the answer is about.
    pub environment: Option<EnvironmentId>,
    /// The number of chunks that the answer is stored in; 0 if it is not kept.
    pub chunks: u16,
    /// When the request was carried out.
    pub at: Timestamp,
}

/// A row of the audit log, stored under its number: the rest of an `audit::SealedRow`.
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

    /// Decodes the row; `None` if it is damaged.
    pub fn row(&self) -> Option<crate::audit::Row> {
        postcard::from_bytes(&self.body).ok()
    }

    /// Returns the row's MAC.
    pub fn mac(&self) -> Mac {
        Mac(self.mac)
    }
}

/// The head of the audit log: its last row.
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

/// Where the retained part of the audit log begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRow {
    seq: u64,
    mac: [u8; 32],
    at: Timestamp,
    seal: [u8; 32],
}

impl StartRow {
    /// Creates the marker, to be stored in the change that removes the rows before it.
    pub fn new(start: &Start) -> Self {
        Self { seq: start.seq, mac: start.mac.0, at: start.at, seal: start.seal.0 }
    }

    /// As the chain knows it.
    pub fn start(&self) -> Start {
        Start { seq: self.seq, mac: Mac(self.mac), at: self.at, seal: Mac(self.seal) }
    }
}

/// A chunk of a value or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub Vec<u8>);

/// A row does not decode as its table's row type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged;

/// Encodes a row.
pub fn encode<R: Serialize>(format: u8, row: &R) -> Vec<u8> {
    postcard::to_extend(row, vec![format])
        .expect("postcard can encode every row type, and writing to memory does not fail")
}

/// Decodes a row, which must use all of the bytes.
pub fn decode<T: Table>(bytes: &[u8]) -> Result<T::Row, Damaged> {
    let (format, body) = bytes.split_first().ok_or(Damaged)?;
    if *format == T::FORMAT { decode_body(body) } else { T::upgrade(*format, body).ok_or(Damaged) }
}

/// Decodes what follows the format byte, which must use all of the bytes.
pub fn decode_body<R: DeserializeOwned>(body: &[u8]) -> Result<R, Damaged> {
    match postcard::take_from_bytes(body) {
        Ok((row, [])) => Ok(row),
        _ => Err(Damaged),
    }
}
