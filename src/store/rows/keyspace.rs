//! How tables share one tree: the first byte of a key says which table.
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
//! Numbers are big endian, so byte order is number order. Ids have fixed width
//! and come before anything of variable width, so no key is a prefix of
//! another table's or another owner's.

use serde::{Serialize, de::DeserializeOwned};

use crate::domain::EnvironmentId;

/// A family of rows under one prefix byte.
pub trait Table {
    /// What finds a row.
    type Key;
    /// The row.
    type Row: Serialize + DeserializeOwned;
    /// The first byte of every key.
    const PREFIX: u8;
    /// The first byte of every row: the format it is written in. A row with
    /// another one is not read, unless `upgrade` knows it.
    const FORMAT: u8 = 1;

    /// A row in an older format, as it is now; `None` for one that never was.
    fn upgrade(_format: u8, _body: &[u8]) -> Option<Self::Row> {
        None
    }

    /// Writes the key behind the prefix byte.
    fn encode(key: &Self::Key, out: &mut Vec<u8>);

    /// Reads it back; `None` for bytes that `encode` cannot have written.
    fn decode(bytes: &[u8]) -> Option<Self::Key>;

    /// The environment whose revision a write under this key advances.
    fn environment(_key: &Self::Key) -> Option<EnvironmentId> {
        None
    }
}

/// The whole key of a row of `T`.
pub(in crate::store) fn full_key<T: Table>(key: &T::Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(T::PREFIX);
    T::encode(key, &mut out);
    out
}

/// Splits fixed-width pieces off the front of a key.
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

    /// `value`, provided that nothing is left over.
    pub fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}
