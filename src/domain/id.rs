//! Identifiers: opaque, URL-safe, never reused.
//!
//! An id is a ULID (128 bits: 48 of milliseconds, 80 of randomness) with a prefix for the kind of
//! thing it names:
//!
//! ```text
//! wire   env_01JD3N5W8Q4X0V7M2K9R6T1HBC     prefix + 26 characters of Crockford base32
//! store  16 bytes, big endian                sorts by creation time
//! ```
//!
//! Owns: both forms, and the prefixes.
//! Must never: accept a second spelling of an id.
//! Called by: everything.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::domain::time::Timestamp;

/// The kind of thing that an id names.
pub trait IdKind: 'static {
    /// The prefix on the wire, without the underscore.
    const PREFIX: &'static str;
}

/// The id of a thing of kind `K`.
pub struct Id<K>(u128, PhantomData<fn() -> K>);

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $kind:ident $alias:ident $prefix:literal;)*) => {$(
        #[doc = concat!("The kind of ids that start with `", $prefix, "_`.")]
        #[derive(Debug)]
        pub enum $kind {}
        impl IdKind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        $(#[$doc])*
        pub type $alias = Id<$kind>;
    )*};
}

id_kinds! {
    /// The id of an environment.
    EnvironmentKind EnvironmentId "env";
    /// The id of a secret.
    SecretKind SecretId "sec";
    /// The id of a variable.
    VarKind VarId "var";
    /// The id of an API token (of its record; it is not the credential).
    TokenKind TokenId "tok";
    /// The id of a user.
    UserKind UserId "usr";
    /// The id of a service account.
    ServiceAccountKind ServiceAccountId "sva";
    /// The id of a session.
    SessionKind SessionId "ses";
}

impl<K: IdKind> Id<K> {
    /// Returns a regular expression for the wire form.
    pub fn pattern() -> String {
        format!("^{}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$", K::PREFIX)
    }

    /// Creates an id. `random` must come from a cryptographic source: ids are not secret, but nobody
    /// should be able to guess which ones exist.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let mut wide = [0u8; 16];
        wide[6..].copy_from_slice(&random);
        let ms = u64::try_from(now.millis()).unwrap_or(0);
        Self::from_u128(Ulid::from_parts(ms, u128::from_be_bytes(wide)).0)
    }

    /// Returns the stored form.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_u128(u128::from_be_bytes(bytes))
    }

    fn from_u128(value: u128) -> Self {
        Self(value, PhantomData)
    }
}

/// A text that is not an id of the expected kind. A path with such a text names nothing, so callers
/// answer "not found", never "malformed".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

impl<K: IdKind> FromStr for Id<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let tail =
            text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(NotAnId)?;
        let id = Self::from_u128(Ulid::from_string(tail).map_err(|_| NotAnId)?.0);
        // Crockford base32 also accepts lowercase and look-alikes. An id has one spelling here, so
        // that it is byte-identical in every response.
        if id.to_string() == text { Ok(id) } else { Err(NotAnId) }
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        write!(f, "{}_{}", K::PREFIX, Ulid(self.0).array_to_str(&mut buffer))
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Written out because a derive would require the marker to be Copy, Eq and so on.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.to_bytes().serialize(serializer)
        }
    }
}

impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(|_| de::Error::custom("not an id"))
        } else {
            <[u8; 16]>::deserialize(deserializer).map(Self::from_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = SecretId::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.parse::<SecretId>(), Ok(id));
        assert_eq!(text.to_lowercase().parse::<SecretId>(), Err(NotAnId));
        assert_eq!(text.parse::<VarId>().err(), Some(NotAnId));
        assert_eq!("sec_".parse::<SecretId>(), Err(NotAnId));
        assert_eq!("sec_ZZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<SecretId>(), Err(NotAnId));
    }
}
