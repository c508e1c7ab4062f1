//! The chain: each row carries a MAC over its content and the previous MAC.
//!
//! ```text
//! mac(n)  = HMAC-SHA256(audit key, "coffer audit row v1\0"  | mac(n-1) | body(n))
//! seal(n) = HMAC-SHA256(audit key, "coffer audit head v1\0" | n as u64 BE | mac(n))
//! mac(0)  = 32 zero bytes
//! ```
//!
//! A chain alone does not notice that its last rows are gone, so the head
//! (`n`, `mac(n)`, `seal(n)`) is stored beside it in the same batch. Somebody
//! who can write the database but has no key can change, drop or reorder no row
//! without `verify` naming the first broken one, with one exception: the log put
//! back as a whole, rows and head, as it was at an earlier time. Nothing inside
//! the database can tell that; an export kept elsewhere can.

use std::fmt;

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::row::{Draft, Row};

/// Length of a MAC in bytes.
const MAC_BYTES: usize = 32;

const ROW_LABEL: &[u8] = b"coffer audit row v1\0";
const HEAD_LABEL: &[u8] = b"coffer audit head v1\0";

/// One link's MAC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; MAC_BYTES]);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

impl Mac {
    const START: Mac = Mac([0; MAC_BYTES]);

    fn matches(&self, other: &Mac) -> bool {
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

    fn row(&self, previous: &Mac, body: &[u8]) -> Mac {
        self.mac(&[ROW_LABEL, &previous.0, body])
    }

    fn head(&self, seq: u64, mac: &Mac) -> Mac {
        self.mac(&[HEAD_LABEL, &seq.to_be_bytes(), &mac.0])
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

/// Walks the whole chain. `rows` come in stored order: the number under which
/// the row is stored, its MAC, its body. Returns how many rows hold.
pub fn verify<E: From<Broken>>(
    key: &AuditKey,
    head: Option<&Head>,
    rows: impl Iterator<Item = Result<(u64, Mac, Vec<u8>), E>>,
) -> Result<u64, E> {
    let broken = |seq, what| E::from(Broken { seq, what });
    let mut tail = Tail { seq: 0, mac: Mac::START };
    for row in rows {
        let (stored_seq, mac, body) = row?;
        let seq = tail.seq + 1;
        if stored_seq != seq {
            return Err(broken(seq, "the row is missing"));
        }
        if !key.row(&tail.mac, &body).matches(&mac) {
            return Err(broken(seq, "the row was changed, or does not belong here"));
        }
        match postcard::from_bytes::<Row>(&body) {
            Ok(row) if row.seq == seq => tail = Tail { seq, mac },
            _ => return Err(broken(seq, "the row does not carry its own number")),
        }
    }
    let Some(head) = head else { return Err(broken(tail.seq, "the head is missing")) };
    if !key.head(head.seq, &head.mac).matches(&head.seal) {
        return Err(broken(head.seq, "the head does not verify"));
    }
    if head.seq != tail.seq || !head.mac.matches(&tail.mac) {
        return Err(broken(tail.seq + 1, "rows at the end are missing"));
    }
    Ok(tail.seq)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Action;
    use crate::domain::{Origin, Principal, Timestamp};

    fn key() -> AuditKey {
        AuditKey::new(&Zeroizing::new([3; 32]))
    }

    fn draft(n: i64) -> Draft {
        Draft::new(
            Action::ServerStart,
            &Principal::host(),
            &Origin::host(),
            Timestamp::from_millis(n),
        )
    }

    type Stored = (u64, Mac, Vec<u8>);

    fn chain_of(n: i64) -> (Vec<Stored>, Head) {
        let mut chain = Chain::start(key());
        let rows = (0..n)
            .map(|i| chain.append(draft(i)))
            .map(|row| (row.seq, row.mac, row.body))
            .collect();
        (rows, chain.head())
    }

    fn check(rows: Vec<Stored>, head: &Head) -> Result<u64, Broken> {
        verify(&key(), Some(head), rows.into_iter().map(Ok))
    }

    #[test]
    fn an_untouched_chain_holds() {
        let (rows, head) = chain_of(5);
        assert_eq!(check(rows, &head), Ok(5));
        assert_eq!(check(Vec::new(), &chain_of(0).1), Ok(0));
    }

    #[test]
    fn edits_deletions_and_swaps_are_found_at_the_first_row() {
        let (rows, head) = chain_of(6);
        for index in 0..rows.len() {
            let seq = rows[index].0;
            let mut edited = rows.clone();
            *edited[index].2.last_mut().unwrap() ^= 1;
            assert_eq!(check(edited, &head).unwrap_err().seq, seq);

            let mut shorter = rows.clone();
            shorter.remove(index);
            assert_eq!(check(shorter, &head).unwrap_err().seq, seq);

            if index + 1 < rows.len() {
                let mut swapped = rows.clone();
                let (a, b) = (swapped[index].clone(), swapped[index + 1].clone());
                swapped[index] = (a.0, b.1, b.2);
                swapped[index + 1] = (b.0, a.1, a.2);
                assert_eq!(check(swapped, &head).unwrap_err().seq, seq);
            }
        }
    }

    #[test]
    fn a_log_that_is_gone_with_its_head_is_found() {
        assert!(verify::<Broken>(&key(), None, std::iter::empty()).is_err());
    }

    #[test]
    fn a_shortened_chain_with_a_made_up_head_is_found() {
        let (mut rows, head) = chain_of(6);
        rows.pop();
        let forged = Head { seq: 5, mac: rows[4].1, seal: head.seal };
        assert!(check(rows, &forged).is_err());
        assert!(Chain::resume(key(), Some(&forged)).is_err());
    }
}
