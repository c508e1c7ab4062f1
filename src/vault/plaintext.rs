//! Plaintext: the one type that holds the value of a secret.
//!
//! Owns: the bytes between the request and the cipher, and their erasure.
//! Must never: become a `String`, `Vec<u8>` or `Bytes` outside the vault (to actix those are
//! response bodies), or be printed, compared, copied or sent.
//!
//! What this cannot erase: the socket buffers that a request arrives in and a revealed value leaves
//! by, the rendered answer to a reveal, the scratch buffer in which serde_json unescapes a string,
//! and the copies of keys inside ring.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A value on its way in. Nothing outside the vault can read it: it implements neither Debug,
/// Display, Clone, PartialEq, Serialize nor Deref.
#[allow(missing_debug_implementations)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Returns whether the value has 1 to `limit` bytes. Nothing else can be asked about a value
    /// outside the vault, and only the request that brought it can ask.
    pub fn fits(&self, limit: usize) -> bool {
        (1..=limit).contains(&self.0.len())
    }

    /// Returns the bytes. Visible inside the vault only.
    pub(super) fn expose(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Zeroizing<String>> for Plaintext {
    /// Takes over the text's buffer without copying it.
    fn from(mut text: Zeroizing<String>) -> Self {
        Self(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaintextVisitor;

        impl Visitor<'_> for PlaintextVisitor {
            type Value = Plaintext;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Plaintext, E> {
                Ok(Plaintext(Zeroizing::new(text.as_bytes().to_vec())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Plaintext, E> {
                Ok(Plaintext(Zeroizing::new(text.into_bytes())))
            }
        }

        deserializer.deserialize_str(PlaintextVisitor)
    }
}

/// A value on its way to the admin who asked for it, after every check, and after its audit row is
/// durable. It can be serialized into an answer, and nothing else.
#[allow(missing_debug_implementations)]
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    pub(super) fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
