//! Plaintext: the one type that holds a value of a secret.
//!
//! Owns: the bytes between the request and the cipher, and their erasure.
//! Must never: become a `String`, `Vec<u8>` or `Bytes` outside the vault (to
//! actix those are response bodies), be printed, compared, copied or sent.
//!
//! What this cannot erase, and says so: the socket buffers that a request came
//! in and a revealed value goes out by, the rendered answer to a reveal, the
//! scratch space in which serde_json unescapes a string, and the copies of keys
//! inside ring.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A value on its way in. There is no way to read it outside the vault: it has
/// no Debug, no Display, no Clone, no PartialEq, no Serialize, no Deref.
#[allow(missing_debug_implementations)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Whether the value is within the rule of 1 to `limit` bytes. That is all
    /// that may be asked about a value outside the vault, and only by the
    /// request that brought it.
    pub fn fits(&self, limit: usize) -> bool {
        (1..=limit).contains(&self.0.len())
    }

    /// The bytes. Visible in the vault only.
    pub(super) fn expose(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Zeroizing<String>> for Plaintext {
    /// Takes the text over; nothing of it is copied.
    fn from(mut text: Zeroizing<String>) -> Self {
        Self(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
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

        deserializer.deserialize_str(Text)
    }
}

/// A value on its way to the admin who asked for it, with everything checked
/// and the audit row durable. It can be written into an answer and nothing else.
#[allow(missing_debug_implementations)]
pub struct Revealed(Zeroizing<String>);

impl Revealed {
    /// `None` when the bytes are not UTF-8, which only damage can bring about.
    pub(super) fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        std::str::from_utf8(&bytes).ok().map(|text| Self(Zeroizing::new(text.to_owned())))
    }
}

impl Serialize for Revealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
