//! The tables that `keyspace` describes, one type each.
//!
//! Owns: each table's first byte, key type and row type, and the list of all tables.
//! Must never: hold logic about what rows mean.
//! Called by: everything that reads or writes rows.

use crate::domain::{
    EnvironmentId, KeyName, SecretId, ServiceAccountId, SessionId, Timestamp, TokenId, UserId,
    VarId, Version,
};

use crate::store::rows::account_row::{
    self, ServiceAccountRow, SessionRow, TokenRow, Used, UserRow,
};
use crate::store::rows::keyspace::{KeyReader, Table};
use crate::store::rows::row::{
    Bytes, CountsRow, EnvironmentRow, HeadRow, IdempotencyRow, KeyId, KeyRow, RotationRow,
    SecretPlace, SecretRow, ServiceKeysRow, StartRow, StoredAuditRow, VarPlace, VarRow, VersionRow,
};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident $prefix:literal { $key:ty => $row:ty,
        encode($k:ident, $out:ident) $encode:block, decode($p:ident) $decode:block
        $(, environment($e:ident) $environment:block)?
        $(, format $format:literal upgrade $upgrade:path)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub enum $name {}

            impl Table for $name {
                type Key = $key;
                type Row = $row;
                const PREFIX: u8 = $prefix;

                fn encode($k: &$key, $out: &mut Vec<u8>) $encode

                fn decode(bytes: &[u8]) -> Option<$key> {
                    #[allow(unused_mut)]
                    let mut $p = KeyReader(bytes);
                    $decode
                }

                $(fn environment($e: &$key) -> Option<EnvironmentId> {
                    Some($environment)
                })?

                $(
                    const FORMAT: u8 = $format;

                    fn upgrade(format: u8, body: &[u8]) -> Option<$row> {
                        $upgrade(format, body)
                    }
                )?
            }
        )*

        /// The first byte of every table's keys.
        pub(in crate::store) const PREFIXES: &[u8] = &[$($prefix),*];

        /// Decodes and encodes a key and a row of the table with the given first byte.
        #[cfg(fuzzing)]
        pub(in crate::store) fn round_trip(prefix: u8, key: &[u8], row: &[u8]) {
            match prefix {
                $($prefix => round_trip_of::<$name>(key, row),)*
                _ => {}
            }
        }
    };
}

tables! {
    /// Wrapping keys, by id.
    Keys b'K' {
        KeyId => KeyRow,
        encode(k, out) { out.extend(k.0.to_be_bytes()) },
        decode(p) { let id = KeyId(u32::from_be_bytes(p.fixed()?)); p.end(id) }
    }
    /// The audit and token keys, wrapped. One row.
    ServiceKeys b'k' {
        () => ServiceKeysRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
    /// The last rotation of the wrapping key, and its progress. One row after the first rotation.
    Rotation b'r' {
        () => RotationRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
    /// Environments.
    Environments b'E' {
        EnvironmentId => EnvironmentRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) },
        environment(k) { *k }
    }
    /// Maps an environment's folded name to its id.
    EnvironmentNames b'e' {
        String => EnvironmentId,
        encode(k, out) { out.extend(k.as_bytes()) },
        decode(p) { p.text().map(str::to_owned) }
    }
    /// How many secrets and vars each environment holds.
    Counts b'N' {
        EnvironmentId => CountsRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Secrets without their values, in list order.
    Secrets b'S' {
        (EnvironmentId, KeyName) => SecretRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.as_str().as_bytes()) },
        decode(p) {
            let id = EnvironmentId::from_bytes(p.fixed()?);
            Some((id, KeyName::parse(p.text()?).ok()?))
        },
        environment(k) { k.0 }
    }
    /// Maps a secret's id to the environment and key of its row.
    SecretPlaces b's' {
        SecretId => SecretPlace,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = SecretId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Versions of secrets: the wrapped data key of each, and who stored it.
    Versions b'D' {
        (SecretId, Version) => VersionRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.get().to_be_bytes()) },
        decode(p) {
            let id = SecretId::from_bytes(p.fixed()?);
            let version = Version::new(u32::from_be_bytes(p.fixed()?))?;
            p.end((id, version))
        }
    }
    /// The ciphertext of a version, in chunks.
    ValueChunks b'C' {
        (SecretId, Version, u16) => Bytes,
        encode(k, out) {
            out.extend(k.0.to_bytes());
            out.extend(k.1.get().to_be_bytes());
            out.extend(k.2.to_be_bytes());
        },
        decode(p) {
            let id = SecretId::from_bytes(p.fixed()?);
            let version = Version::new(u32::from_be_bytes(p.fixed()?))?;
            let chunk = u16::from_be_bytes(p.fixed()?);
            p.end((id, version, chunk))
        }
    }
    /// Vars without their values, in list order.
    Vars b'V' {
        (EnvironmentId, KeyName) => VarRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.as_str().as_bytes()) },
        decode(p) {
            let id = EnvironmentId::from_bytes(p.fixed()?);
            Some((id, KeyName::parse(p.text()?).ok()?))
        },
        environment(k) { k.0 }
    }
    /// Maps a var's id to the environment and key of its row.
    VarPlaces b'v' {
        VarId => VarPlace,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = VarId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// The value of a var, in chunks. The key contains the version so that a reader never mixes
    /// chunks of two values.
    VarChunks b'W' {
        (VarId, Version, u16) => Bytes,
        encode(k, out) {
            out.extend(k.0.to_bytes());
            out.extend(k.1.get().to_be_bytes());
            out.extend(k.2.to_be_bytes());
        },
        decode(p) {
            let id = VarId::from_bytes(p.fixed()?);
            let version = Version::new(u32::from_be_bytes(p.fixed()?))?;
            let chunk = u16::from_be_bytes(p.fixed()?);
            p.end((id, version, chunk))
        }
    }
    /// Deleted environments whose contents are still being removed.
    PendingDeletions b'X' {
        EnvironmentId => (),
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// API tokens, without the tokens themselves.
    Tokens b'T' {
        TokenId => TokenRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = TokenId::from_bytes(p.fixed()?); p.end(id) },
        format 2 upgrade account_row::upgrade_token
    }
    /// Maps a token's hash to its id.
    TokenHashes b't' {
        [u8; 32] => TokenId,
        encode(k, out) { out.extend(k) },
        decode(p) { let hash = p.fixed()?; p.end(hash) }
    }
    /// Users.
    Users b'U' {
        UserId => UserRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = UserId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Maps a user's folded e-mail address to their id.
    UserEmails b'u' {
        String => UserId,
        encode(k, out) { out.extend(k.as_bytes()) },
        decode(p) { p.text().map(str::to_owned) }
    }
    /// Service accounts.
    ServiceAccounts b'P' {
        ServiceAccountId => ServiceAccountRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = ServiceAccountId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Maps a service account's name to its id.
    ServiceAccountNames b'p' {
        String => ServiceAccountId,
        encode(k, out) { out.extend(k.as_bytes()) },
        decode(p) { p.text().map(str::to_owned) }
    }
    /// Sessions without their tokens, oldest first.
    Sessions b'Z' {
        SessionId => SessionRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = SessionId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Maps the hash of a session's token to the session's id.
    SessionHashes b'z' {
        [u8; 32] => SessionId,
        encode(k, out) { out.extend(k) },
        decode(p) { let hash = p.fixed()?; p.end(hash) }
    }
    /// The sessions of each user, oldest first.
    UserSessions b'y' {
        (UserId, SessionId) => (),
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.to_bytes()) },
        decode(p) {
            let user = UserId::from_bytes(p.fixed()?);
            let session = SessionId::from_bytes(p.fixed()?);
            p.end((user, session))
        }
    }
    /// When a token, session or user was last active, to the minute.
    LastUses b'L' {
        Used => Timestamp,
        encode(k, out) {
            let (tag, id) = match k {
                Used::Token(id) => (b't', id.to_bytes()),
                Used::Session(id) => (b's', id.to_bytes()),
                Used::User(id) => (b'u', id.to_bytes()),
            };
            out.push(tag);
            out.extend(id);
        },
        decode(p) {
            let [tag] = p.fixed()?;
            let id = p.fixed()?;
            let used = match tag {
                b't' => Used::Token(TokenId::from_bytes(id)),
                b's' => Used::Session(SessionId::from_bytes(id)),
                b'u' => Used::User(UserId::from_bytes(id)),
                _ => return None,
            };
            p.end(used)
        }
    }
    /// The answers to requests with an `Idempotency-Key`.
    IdempotencyRecords b'I' {
        [u8; 32] => IdempotencyRow,
        encode(k, out) { out.extend(k) },
        decode(p) { let key = p.fixed()?; p.end(key) }
    }
    /// The bodies of those answers, in chunks.
    IdempotencyChunks b'i' {
        ([u8; 32], u16) => Bytes,
        encode(k, out) { out.extend(k.0); out.extend(k.1.to_be_bytes()) },
        decode(p) {
            let key = p.fixed()?;
            let chunk = u16::from_be_bytes(p.fixed()?);
            p.end((key, chunk))
        }
    }
    /// Idempotency records by age.
    IdempotencyTimes b'J' {
        (Timestamp, [u8; 32]) => (),
        encode(k, out) {
            // With the sign bit flipped, byte order is numeric order.
            out.extend((k.0.millis() ^ i64::MIN).to_be_bytes());
            out.extend(k.1);
        },
        decode(p) {
            let millis = i64::from_be_bytes(p.fixed()?) ^ i64::MIN;
            let key = p.fixed()?;
            p.end((Timestamp::from_millis(millis), key))
        }
    }
    /// The audit log.
    AuditRows b'A' {
        u64 => StoredAuditRow,
        encode(k, out) { out.extend(k.to_be_bytes()) },
        decode(p) { let seq = u64::from_be_bytes(p.fixed()?); p.end(seq) }
    }
    /// The head of the audit log. One row.
    AuditHead b'a' {
        () => HeadRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
    /// Where the retained part of the audit log begins. One row, once rows have been dropped.
    AuditStart b'b' {
        () => StartRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
}

#[cfg(fuzzing)]
fn round_trip_of<T: Table>(key: &[u8], row: &[u8]) {
    if let Some(read) = T::decode(key) {
        let mut written = Vec::new();
        T::encode(&read, &mut written);
        assert_eq!(written, key, "one key has two encodings");
    }
    if let Ok(read) = crate::store::rows::row::decode::<T>(row) {
        let written = crate::store::rows::row::encode(T::FORMAT, &read);
        let Ok(again) = crate::store::rows::row::decode::<T>(&written) else {
            panic!("a row that was just encoded does not decode")
        };
        assert_eq!(crate::store::rows::row::encode(T::FORMAT, &again), written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_a_prefix() {
        let mut seen = PREFIXES.to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), PREFIXES.len());
    }

    /// They are part of the stored format: a table can be added, but none can change its byte.
    #[test]
    fn the_first_byte_of_each_table_is_fixed() {
        assert_eq!(PREFIXES, b"KkrEeNSsDCVvWXTtUuPpZzyLIiJAab");
    }
}
