//! The tables of `keyspace`, one type each.

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

        #[cfg(any(test, fuzzing))]
        pub(in crate::store) const PREFIXES: &[u8] = &[$($prefix),*];

        /// What is under a key, back and forth, by the table that its first byte names.
        #[cfg(fuzzing)]
        pub(in crate::store) fn back_and_forth(prefix: u8, key: &[u8], row: &[u8]) {
            match prefix {
                $($prefix => back_and_forth_of::<$name>(key, row),)*
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
    /// The last rotation of the wrapping key, and how far it has come. One row,
    /// once there was one.
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
    /// From an environment's folded name to its id.
    EnvironmentNames b'e' {
        String => EnvironmentId,
        encode(k, out) { out.extend(k.as_bytes()) },
        decode(p) { p.text().map(str::to_owned) }
    }
    /// How much an environment holds.
    Counts b'N' {
        EnvironmentId => CountsRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Secrets without their values, in the order in which they are listed.
    Secrets b'S' {
        (EnvironmentId, KeyName) => SecretRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.as_str().as_bytes()) },
        decode(p) {
            let id = EnvironmentId::from_bytes(p.fixed()?);
            Some((id, KeyName::parse(p.text()?).ok()?))
        },
        environment(k) { k.0 }
    }
    /// From a secret's id to where its row is.
    SecretPlaces b's' {
        SecretId => SecretPlace,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = SecretId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// Versions of a secret: the wrapped data key of each, and who put it.
    Versions b'D' {
        (SecretId, Version) => VersionRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.get().to_be_bytes()) },
        decode(p) {
            let id = SecretId::from_bytes(p.fixed()?);
            let version = Version::new(u32::from_be_bytes(p.fixed()?))?;
            p.end((id, version))
        }
    }
    /// The ciphertext of a version, in pieces.
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
    /// Vars, in the order in which they are listed.
    Vars b'V' {
        (EnvironmentId, KeyName) => VarRow,
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.as_str().as_bytes()) },
        decode(p) {
            let id = EnvironmentId::from_bytes(p.fixed()?);
            Some((id, KeyName::parse(p.text()?).ok()?))
        },
        environment(k) { k.0 }
    }
    /// From a var's id to where its row is.
    VarPlaces b'v' {
        VarId => VarPlace,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = VarId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// The value of a var, in pieces. The version is in the key so that a
    /// reader never puts pieces of two values together.
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
    /// Environments that are deleted, and whose contents are still being removed.
    PendingDeletions b'X' {
        EnvironmentId => (),
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// API tokens, without the tokens.
    Tokens b'T' {
        TokenId => TokenRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = TokenId::from_bytes(p.fixed()?); p.end(id) },
        format 2 upgrade account_row::upgrade_token
    }
    /// From a token's hash to its id.
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
    /// From a user's folded e-mail address to its id.
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
    /// From a service account's name to its id.
    ServiceAccountNames b'p' {
        String => ServiceAccountId,
        encode(k, out) { out.extend(k.as_bytes()) },
        decode(p) { p.text().map(str::to_owned) }
    }
    /// Sessions, without their tokens; the oldest first.
    Sessions b'Z' {
        SessionId => SessionRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = SessionId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// From the hash of a session's token to its id.
    SessionHashes b'z' {
        [u8; 32] => SessionId,
        encode(k, out) { out.extend(k) },
        decode(p) { let hash = p.fixed()?; p.end(hash) }
    }
    /// The sessions of each user, the oldest first.
    UserSessions b'y' {
        (UserId, SessionId) => (),
        encode(k, out) { out.extend(k.0.to_bytes()); out.extend(k.1.to_bytes()) },
        decode(p) {
            let user = UserId::from_bytes(p.fixed()?);
            let session = SessionId::from_bytes(p.fixed()?);
            p.end((user, session))
        }
    }
    /// When something was last used, to the minute.
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
    /// What requests that wanted to be done once were answered.
    IdempotencyRecords b'I' {
        [u8; 32] => IdempotencyRow,
        encode(k, out) { out.extend(k) },
        decode(p) { let key = p.fixed()?; p.end(key) }
    }
    /// Those answers, in pieces.
    IdempotencyChunks b'i' {
        ([u8; 32], u16) => Bytes,
        encode(k, out) { out.extend(k.0); out.extend(k.1.to_be_bytes()) },
        decode(p) {
            let key = p.fixed()?;
            let chunk = u16::from_be_bytes(p.fixed()?);
            p.end((key, chunk))
        }
    }
    /// IdempotencyRecords by age.
    IdempotencyTimes b'J' {
        (Timestamp, [u8; 32]) => (),
        encode(k, out) {
            // With its sign flipped, a number sorts by its bytes.
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
    /// The end of the audit log. One row.
    AuditHead b'a' {
        () => HeadRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
    /// Where the kept part of the audit log begins. One row, once rows were dropped.
    AuditStart b'b' {
        () => StartRow,
        encode(_k, _out) {},
        decode(p) { p.end(()) }
    }
}

#[cfg(fuzzing)]
fn back_and_forth_of<T: Table>(key: &[u8], row: &[u8]) {
    if let Some(read) = T::decode(key) {
        let mut written = Vec::new();
        T::encode(&read, &mut written);
        assert_eq!(written, key, "two spellings of one key");
    }
    if let Ok(read) = crate::store::rows::row::decode::<T>(row) {
        let written = crate::store::rows::row::encode(T::FORMAT, &read);
        let Ok(again) = crate::store::rows::row::decode::<T>(&written) else {
            panic!("what was written is not read")
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
}
