//! The chain: each row has a MAC over its content and the previous MAC.
//!
//! ```text
//! mac(n)   = HMAC-SHA256(audit key, "coffer audit row v1\0"   | mac(n-1) 32 | body(n))
//! seal(n)  = HMAC-SHA256(audit key, "coffer audit head v1\0"  | n u64 BE | mac(n) 32)
//! start(n) = HMAC-SHA256(audit key, "coffer audit start v1\0" | n u64 BE | mac(n) 32 | millis i64 BE)
//! mac(0)   = 32 zero bytes
//!
//!   dropped     marker                    kept rows                        head
//! 1 … n         n, mac(n), millis,        n+1 … p … m                      m, mac(m),
//!               start(n)                  p = audit.prune, "lastSeq": n    seal(m)
//! ```
//!
//! A chain alone does not reveal that its last rows are gone, so the head (`m`, `mac(m)`, `seal(m)`)
//! is stored beside it in the same batch. Nor can its first rows be dropped; when retention drops
//! them, the next row continues from the marker, which is stored in the same batch as well. The
//! marker's seal keeps others from moving the start, and the row `p` that the pruning leaves *in* the
//! chain identifies the newest marker, so that an older marker with a valid seal is detected even if
//! the rows after it are restored.
//!
//! Somebody who can write the database but does not have the key can do none of this without
//! `verify` naming the first broken row:
//!
//! * change, remove, swap, repeat or add a row, or truncate the end;
//! * remove rows at the front, with or without the marker (row 1, or the row after the marker, is
//!   missing);
//! * make, edit or copy a marker (its seal does not verify: row 1);
//! * restore an older marker (the row after it is missing), also together with the rows dropped
//!   since then (they are back);
//! * restore dropped rows before the marker, or instead of it;
//! * use a newer marker with an older log (no row in it mentions that pruning).
//!
//! One attack is not detected: restoring the whole log (rows, head and marker) to an earlier state.
//! Nothing inside the database can show that; an export kept elsewhere can, because its last rows are
//! then missing here or have another MAC.
//!
//! Owns: the MACs, the head, the marker, and how a row is appended.
//! Must never: append to a chain whose head does not verify.
//! Called by: `store`'s writer, which appends; `walk`, which verifies.

use std::fmt;

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::audit::row::{Draft, Row};
use crate::domain::{Timestamp, encode_hex};

/// The length of a MAC in bytes.
const MAC_BYTES: usize = 32;

const ROW_LABEL: &[u8] = b"coffer audit row v1\0";
const HEAD_LABEL: &[u8] = b"coffer audit head v1\0";
const START_LABEL: &[u8] = b"coffer audit start v1\0";

/// The MAC of a row, a head or a marker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; MAC_BYTES]);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

impl Mac {
    pub(super) const START: Mac = Mac([0; MAC_BYTES]);

    /// Returns the MAC as 64 hex digits.
    pub fn to_hex(self) -> String {
        encode_hex(&self.0)
    }

    pub(super) fn matches(&self, other: &Mac) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The key for the MACs of the chain.
#[derive(Clone)]
pub struct AuditKey(hmac::Key);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}

impl AuditKey {
    /// Creates the key from 32 secret bytes.
    pub fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice()))
    }

    fn mac(&self, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(context.sign().as_ref());
        Mac(mac)
    }

    pub(super) fn row(&self, previous: &Mac, body: &[u8]) -> Mac {
        self.mac(&[ROW_LABEL, &previous.0, body])
    }

    pub(super) fn head(&self, seq: u64, mac: &Mac) -> Mac {
        self.mac(&[HEAD_LABEL, &seq.to_be_bytes(), &mac.0])
    }

    pub(super) fn start(&self, seq: u64, mac: &Mac, at: Timestamp) -> Mac {
        self.mac(&[START_LABEL, &seq.to_be_bytes(), &mac.0, &at.millis().to_be_bytes()])
    }
}

/// The stored end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the last row; 0 if there is none.
    pub seq: u64,
    /// The MAC of the last row.
    pub mac: Mac,
    /// The MAC over number and MAC.
    pub seal: Mac,
}

/// The stored marker at the start of the rows that retention kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The number of the last dropped row.
    pub seq: u64,
    /// The MAC of that row.
    pub mac: Mac,
    /// When the row was dropped.
    pub at: Timestamp,
    /// The MAC over number, MAC and time.
    pub seal: Mac,
}

/// A row with its MAC, ready to be stored.
#[derive(Debug)]
pub struct SealedRow {
    /// The number of the row.
    pub seq: u64,
    /// The MAC of the row.
    pub mac: Mac,
    /// The encoded [`Row`] that the MAC covers.
    pub body: Vec<u8>,
}

/// The last row of the chain.
#[derive(Debug, Clone, Copy)]
struct Tail {
    seq: u64,
    mac: Mac,
}

/// Appends rows to the log. There is exactly one, in the writer.
#[derive(Debug)]
pub struct Chain {
    key: AuditKey,
    tail: Tail,
}

impl Chain {
    /// Starts a chain; for an empty database only.
    pub fn start(key: AuditKey) -> Self {
        Self { key, tail: Tail { seq: 0, mac: Mac::START } }
    }

    /// Continues from the stored head. Fails if the head is missing or does not verify: appending
    /// would give a forged end a valid seal.
    pub fn resume(key: AuditKey, head: Option<&Head>) -> Result<Self, Broken> {
        let head = head.ok_or(Broken { seq: 0, what: "the head is missing" })?;
        if key.head(head.seq, &head.mac).matches(&head.seal) {
            Ok(Self { key, tail: Tail { seq: head.seq, mac: head.mac } })
        } else {
            Err(Broken { seq: head.seq, what: "the head does not verify" })
        }
    }

    /// Appends a draft as the next row.
    pub fn append(&mut self, draft: Draft) -> SealedRow {
        let seq = self.tail.seq + 1;
        let body = postcard::to_stdvec(&Row { seq, draft })
            .expect("postcard can encode every type in a row");
        let mac = self.key.row(&self.tail.mac, &body);
        self.tail = Tail { seq, mac };
        SealedRow { seq, mac, body }
    }

    /// Returns the head to store together with the appended rows.
    pub fn head(&self) -> Head {
        let Tail { seq, mac } = self.tail;
        Head { seq, mac, seal: self.key.head(seq, &mac) }
    }
}

/// The first row at which the chain does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The number of the row.
    pub seq: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit row {}: {}", self.seq, self.what)
    }
}

impl std::error::Error for Broken {}
