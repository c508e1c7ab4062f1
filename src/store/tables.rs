//! The tables of `keyspace`, one type each.

use crate::domain::{EnvironmentId, KeyName, SecretId, Timestamp, TokenId, VarId, Version};

use super::keyspace::{Pieces, Table};
use super::row::{
    Bytes, CountsRow, EnvironmentRow, HeadRow, KeyId, KeyRow, ReceiptRow, SecretPlace, SecretRow,
    ServiceKeysRow, StartRow, StoredAuditRow, TokenRow, VarPlace, VarRow, VersionRow,
};

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident $prefix:literal { $key:ty => $row:ty,
        encode($k:ident, $out:ident) $encode:block, decode($p:ident) $decode:block
        $(, environment($e:ident) $environment:block)? })*) => {
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
                    let mut $p = Pieces(bytes);
                    $decode
                }

                $(fn environment($e: &$key) -> Option<EnvironmentId> {
                    Some($environment)
                })?
            }
        )*

        #[cfg(test)]
        pub(super) const PREFIXES: &[u8] = &[$($prefix),*];
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
    Doomed b'X' {
        EnvironmentId => (),
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = EnvironmentId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// API tokens, without the tokens.
    Tokens b'T' {
        TokenId => TokenRow,
        encode(k, out) { out.extend(k.to_bytes()) },
        decode(p) { let id = TokenId::from_bytes(p.fixed()?); p.end(id) }
    }
    /// From a token's hash to its id.
    TokenHashes b't' {
        [u8; 32] => TokenId,
        encode(k, out) { out.extend(k) },
        decode(p) { let hash = p.fixed()?; p.end(hash) }
    }
    /// What requests that wanted to be done once were answered.
    Receipts b'I' {
        [u8; 32] => ReceiptRow,
        encode(k, out) { out.extend(k) },
        decode(p) { let key = p.fixed()?; p.end(key) }
    }
    /// Those answers, in pieces.
    ReceiptChunks b'i' {
        ([u8; 32], u16) => Bytes,
        encode(k, out) { out.extend(k.0); out.extend(k.1.to_be_bytes()) },
        decode(p) {
            let key = p.fixed()?;
            let chunk = u16::from_be_bytes(p.fixed()?);
            p.end((key, chunk))
        }
    }
    /// Receipts by age.
    ReceiptTimes b'J' {
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
