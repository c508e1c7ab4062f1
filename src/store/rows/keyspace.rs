//! The keys of all tables, which share one tree: the first byte of a key identifies its table.
//!
//! Owns: the layout of keys, and what a table is.
//! Must never: change the first byte or the key layout of a table that has been released.
//! Called by: `tables`, which implements `Table` for each of them.
//!
//! ```text
//! byte  table             rest of the key                              row
//! 'K'   Keys              key id u32                                   KeyRow
//! 'k'   ServiceKeys       (empty)                                      ServiceKeysRow
//! 'r'   Rotation          (empty)                                      RotationRow
//! 'E'   Environments      environment 16                               EnvironmentRow
//! 'e'   EnvironmentNames  folded name                                  EnvironmentId
//! 'N'   Counts            environment 16                               CountsRow
//! 'S'   Secrets           environment 16 | key                         SecretRow
//! 's'   SecretPlaces      secret 16                                    SecretPlace
//! 'D'   Versions          secret 16 | version u32                      VersionRow (the wrapped data key)
//! 'C'   ValueChunks       secret 16 | version u32 | chunk u16          ciphertext
//! 'V'   Vars              environment 16 | key                         VarRow
//! 'v'   VarPlaces         var 16                                       VarPlace
//! 'W'   VarChunks         var 16 | version u32 | chunk u16             UTF-8
//! 'X'   PendingDeletions            environment 16                               ()
//! 'T'   Tokens            token 16                                     TokenRow
//! 't'   TokenHashes       token hash 32                                TokenId
//! 'U'   Users             user 16                                      UserRow
//! 'u'   UserEmails        folded e-mail address                        UserId
//! 'P'   ServiceAccounts   service account 16                           ServiceAccountRow
//! 'p'   ServiceAccountNames   name                                     ServiceAccountId
//! 'Z'   Sessions          session 16                                   SessionRow
//! 'z'   SessionHashes     session token hash 32                        SessionId
//! 'y'   UserSessions      user 16 | session 16                         ()
//! 'L'   LastUses          't', 's' or 'u' | token, session or user 16  Timestamp
//! 'I'   IdempotencyRecords          receipt key 32                               IdempotencyRow
//! 'i'   IdempotencyChunks     receipt key 32 | chunk u16                   an answer's bytes
//! 'J'   IdempotencyTimes      milliseconds i64, sign flipped | receipt key 32   ()
//! 'A'   AuditRows         seq u64                                      StoredAuditRow
//! 'a'   AuditHead         (empty)                                      HeadRow
//! 'b'   AuditStart        (empty)                                      StartRow
//! ```
//!
//! Numbers are big-endian, so that byte order is numeric order. Ids have a fixed width and come
//! before fields of variable width, so no key is a prefix of another table's or owner's key.

use serde::{Serialize, de::DeserializeOwned};

use crate::domain::EnvironmentId;

/// A table: all rows whose keys share a first byte.
pub trait Table {
    /// The key, without the first byte.
    type Key;
    /// The row.
    type Row: Serialize + DeserializeOwned;
    /// The first byte of every key.
    const PREFIX: u8;
    /// The format that rows are written in, stored as their first byte. Rows in another format are
    /// damaged unless `upgrade` reads them.
    const FORMAT: u8 = 1;

    /// Converts a row from an older format; `None` if no such format existed.
    fn upgrade(_format: u8, _body: &[u8]) -> Option<Self::Row> {
        None
    }

    /// Appends the encoded key, without the first byte, to `out`.
    fn encode(key: &Self::Key, out: &mut Vec<u8>);

    /// Decodes a key; `None` for bytes that `encode` cannot have produced.
    fn decode(bytes: &[u8]) -> Option<Self::Key>;

    /// Returns the environment whose revision a write to this key advances.
    fn environment(_key: &Self::Key) -> Option<EnvironmentId> {
        None
    }
}

/// Returns the complete key of a row of `T`, including the first byte.
pub(in crate::store) fn full_key<T: Table>(key: &T::Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(T::PREFIX);
    T::encode(key, &mut out);
    out
}

/// Reads fixed-width fields from the front of a key.
pub(in crate::store) struct KeyReader<'a>(pub &'a [u8]);

impl<'a> KeyReader<'a> {
    pub fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }

    /// Returns `value` if the whole key was read.
    pub fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
