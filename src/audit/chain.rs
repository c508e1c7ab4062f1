//! The chain: each row carries a MAC over its content and the previous MAC.
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
//! A chain alone does not notice that its last rows are gone, so the head
//! (`m`, `mac(m)`, `seal(m)`) is stored beside it in the same batch. Nor does it
//! allow its first rows to go; when retention drops them, the marker is what the
//! next row hangs on, stored in the same batch as well. The seal on it keeps
//! others from moving the start, and the row `p` that the dropping leaves *in*
//! the chain says which marker is the newest, so that an older one, good seal
//! and all, is found even with the rows behind it put back.
//!
//! Somebody who can write the database but has no key can do none of this
//! without `verify` naming the first broken row:
//!
//! * change, remove, swap, repeat or add a row, or cut the end off;
//! * remove rows at the front, with or without the marker (row 1 is missing, or
//!   the row behind the marker is);
//! * make, edit or take over a marker (its seal does not hold: row 1);
//! * put back an older marker (the row behind it is missing), also with the rows
//!   that were dropped since (they have come back);
//! * put back dropped rows in front of the marker, or instead of it;
//! * use a newer marker on an older log (no row in it speaks of that dropping).
//!
//! One thing is not found: the log put back as a whole, rows, head and marker,
//! as it was at an earlier time. Nothing inside the database can tell that; an
//! export kept elsewhere can, because its last rows are then missing here or
//! have another MAC.

use std::fmt;

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::{Timestamp, encode_hex};

use super::row::{Draft, Row};

/// Length of a MAC in bytes.
const MAC_BYTES: usize = 32;

const ROW_LABEL: &[u8] = b"coffer audit row v1\0";
const HEAD_LABEL: &[u8] = b"coffer audit head v1\0";
const START_LABEL: &[u8] = b"coffer audit start v1\0";

/// One link's MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; MAC_BYTES]);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

impl Mac {
    pub(super) const START: Mac = Mac([0; MAC_BYTES]);

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        encode_hex(&self.0)
    }

    pub(super) fn matches(&self, other: &Mac) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The key of the chain.
#[derive(Clone)]
pub struct AuditKey(hmac::Key);

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}

impl AuditKey {
    /// From 32 secret bytes.
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

/// The end of the chain as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last row's number; 0 when there is none.
    pub seq: u64,
    /// The last row's MAC.
    pub mac: Mac,
    /// The MAC over these two.
    pub seal: Mac,
}

/// The marker where the kept part of the chain begins, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The number of the last row that was dropped.
    pub seq: u64,
    /// Its MAC.
    pub mac: Mac,
    /// When it was dropped.
    pub at: Timestamp,
    /// The MAC over these three.
    pub seal: Mac,
}

/// A row ready to be stored.
#[derive(Debug)]
pub struct SealedRow {
    /// Its number.
    pub seq: u64,
    /// Its MAC.
    pub mac: Mac,
    /// The encoded `Row` that the MAC covers.
    pub body: Vec<u8>,
}

/// Where the chain ends.
#[derive(Debug, Clone, Copy)]
struct Tail {
    seq: u64,
    mac: Mac,
}

/// Appends rows. There is one, in the writer.
#[derive(Debug)]
pub struct Chain {
    key: AuditKey,
    tail: Tail,
}

impl Chain {
    /// Starts a chain: for an empty database only.
    pub fn start(key: AuditKey) -> Self {
        Self { key, tail: Tail { seq: 0, mac: Mac::START } }
    }

    /// Goes on from the stored head. One that is missing, or whose seal does
    /// not hold, is refused: appending would give a forged end a valid seal.
    pub fn resume(key: AuditKey, head: Option<&Head>) -> Result<Self, Broken> {
        let head = head.ok_or(Broken { seq: 0, what: "the head is missing" })?;
        if key.head(head.seq, &head.mac).matches(&head.seal) {
            Ok(Self { key, tail: Tail { seq: head.seq, mac: head.mac } })
        } else {
            Err(Broken { seq: head.seq, what: "the head does not verify" })
        }
    }

    /// Gives the draft the next place.
    pub fn append(&mut self, draft: Draft) -> SealedRow {
        let seq = self.tail.seq + 1;
        let body = postcard::to_stdvec(&Row { seq, draft })
            .expect("a row holds no type that postcard cannot write, and memory does not refuse");
        let mac = self.key.row(&self.tail.mac, &body);
        self.tail = Tail { seq, mac };
        SealedRow { seq, mac, body }
    }

    /// The head to store with what has been appended.
    pub fn head(&self) -> Head {
        let Tail { seq, mac } = self.tail;
        Head { seq, mac, seal: self.key.head(seq, &mac) }
    }
}

/// The first place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The row's number.
    pub seq: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit row {}: {}", self.seq, self.what)
    }
}

impl std::error::Error for Broken {}
