//! A root key protected by a passphrase, as the text of a key file.
//!
//! ```text
//! text        coffer-root-key-v1:argon2id:m=KIB,t=PASSES:SALT:NONCE:SEALED
//!             SALT    base64 of 16 bytes       NONCE   base64 of 12 bytes
//!             SEALED  base64 of 48 bytes: ciphertext 32 | tag 16
//! header      everything before SEALED, including the colon
//! key         Argon2id(passphrase, SALT, KIB, PASSES, 1 lane) -> 32 bytes
//! SEALED      AES-256-GCM(key, NONCE, header, root key)
//! ```
//!
//! Argon2id, version 0x13 (RFC 9106); base64 with padding (RFC 4648, section 4).
//! The header is the associated data, so nobody can edit a file to make its passphrase cheaper to
//! guess. Salt and nonce are random for each sealing, so a key seals once.
//!
//! Must never: keep, log or show a passphrase; allocate whatever memory a file asks for.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::vault::crypto::kdf::{KeyBytes, aead, open_key, seal_key};
use crate::vault::crypto::random::Random;
use crate::vault::crypto::root_key::RootKey;
use crate::vault::error::Error;

const LABEL: &str = "coffer-root-key-v1";
/// The prefix of every version of this format.
const ANY_VERSION: &str = "coffer-root-key-";

/// Memory for a new sealing, in KiB: a guess costs half a second and 64 MiB, and the smallest
/// machine can still start.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
/// The most memory that a file may ask for, in KiB.
const MAX_MEMORY_KIB: u32 = 2 << 20;
const MAX_PASSES: u32 = 64;

/// A new passphrase breaks the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase must have 12 to 1024 characters")]
pub struct BadPassphrase;

/// A passphrase. Erased when dropped; has neither Debug nor Display.
#[allow(missing_debug_implementations)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Accepts a passphrase for a new sealing: 12 to 1024 Unicode scalar values. Guesses against a
    /// stolen file go unnoticed, so shorter ones are refused.
    pub fn new(text: Zeroizing<String>) -> Result<Self, BadPassphrase> {
        if (12..=1024).contains(&text.chars().count()) {
            Ok(Self(text))
        } else {
            Err(BadPassphrase)
        }
    }

    /// Accepts any passphrase, to open a key with.
    pub fn given(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

/// Why a protected root key did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSealedKey {
    /// The text does not have the format above.
    #[error("the protected root key is damaged or was written by a later version of coffer")]
    Form,
    /// The passphrase is wrong, or the text was changed.
    #[error("the passphrase is wrong, or the protected root key is damaged")]
    Unopened,
    /// The memory that the text asks for is not available.
    #[error("not enough memory to open the protected root key")]
    Memory,
}

/// Why a root key could not be protected.
#[derive(Debug, thiserror::Error)]
pub enum NotSealed {
    /// The operating system returned no random bytes.
    #[error("{0}")]
    Random(#[from] Error),
    /// The memory that a sealing costs is not available.
    #[error(
        "not enough memory to protect the root key: it needs {} MiB. Nothing was changed. Raise the memory limit, or run this on another machine.",
        kib >> 10
    )]
    Memory {
        /// The memory needed, in KiB.
        kib: u32,
    },
}

/// A root key protected by a passphrase.
#[derive(Debug)]
pub struct SealedRootKey {
    header: String,
    memory_kib: u32,
    passes: u32,
    salt: [u8; 16],
    nonce: [u8; 12],
    sealed: [u8; 32],
    tag: [u8; 16],
}

impl SealedRootKey {
    /// Whether a text looks like a protected root key of any version.
    pub fn looks_like(text: &str) -> bool {
        text.trim_start().starts_with(ANY_VERSION)
    }

    /// Parses the text; surrounding whitespace is ignored.
    pub fn parse(text: &str) -> Result<Self, BadSealedKey> {
        let text = text.trim();
        let parts: Vec<_> = text.split(':').collect();
        let [LABEL, "argon2id", cost, salt, nonce, sealed] = parts.as_slice() else {
            return Err(BadSealedKey::Form);
        };
        let (memory_kib, passes) = cost
            .strip_prefix("m=")
            .and_then(|rest| rest.split_once(",t="))
            .and_then(|(memory, passes)| Some((number(memory)?, number(passes)?)))
            .ok_or(BadSealedKey::Form)?;
        if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES {
            return Err(BadSealedKey::Form);
        }
        let body: [u8; 48] = bytes(sealed)?;
        let (sealed_key, tag) = body.split_first_chunk().expect("48 bytes begin with 32");
        Ok(Self {
            header: text[..text.len() - sealed.len()].to_owned(),
            memory_kib,
            passes,
            salt: bytes(salt)?,
            nonce: bytes(nonce)?,
            sealed: *sealed_key,
            tag: tag.try_into().expect("and end with 16"),
        })
    }

    /// Seals a root key under a passphrase. Takes about half a second.
    pub fn seal(key: &RootKey, passphrase: &Passphrase, random: Random) -> Result<Self, NotSealed> {
        let (salt, nonce) = (random.bytes::<16>()?, random.bytes::<12>()?);
        let (memory_kib, passes) = (MEMORY_KIB, PASSES);
        let cost = format!("m={memory_kib},t={passes}");
        let (salt_text, nonce_text) = (BASE64.encode(salt), BASE64.encode(nonce));
        let header = format!("{LABEL}:argon2id:{cost}:{salt_text}:{nonce_text}:");
        let under = stretch(passphrase, &salt, memory_kib, passes)
            .map_err(|_| NotSealed::Memory { kib: memory_kib })?;
        let (sealed, tag) = seal_key(&aead(&under), nonce, header.as_bytes(), key.bytes());
        Ok(Self { header, memory_kib, passes, salt, nonce, sealed, tag })
    }

    /// Opens the root key. Takes about half a second.
    pub fn open(&self, passphrase: &Passphrase) -> Result<RootKey, BadSealedKey> {
        let under = stretch(passphrase, &self.salt, self.memory_kib, self.passes)?;
        let sealed = (&self.sealed, &self.tag);
        let key = open_key(&aead(&under), self.nonce, self.header.as_bytes(), sealed);
        key.map(RootKey::from_bytes).ok_or(BadSealedKey::Unopened)
    }

    /// Formats the text that [`SealedRootKey::parse`] reads.
    pub fn to_text(&self) -> String {
        let body = [&self.sealed[..], &self.tag].concat();
        format!("{}{}", self.header, BASE64.encode(body))
    }
}

/// Parses a number in its one canonical form, so that a header has one spelling.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], BadSealedKey> {
    let bytes = BASE64.decode(text).map_err(|_| BadSealedKey::Form)?;
    bytes.try_into().map_err(|_| BadSealedKey::Form)
}

fn stretch(
    passphrase: &Passphrase,
    salt: &[u8; 16],
    memory_kib: u32,
    passes: u32,
) -> Result<KeyBytes, BadSealedKey> {
    let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(|_| BadSealedKey::Form)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.0.as_bytes(), salt, out.as_mut_slice())
        .map_err(|_| BadSealedKey::Memory)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap_or_else(|_| panic!("the rule"))
    }

    fn sealed() -> (RootKey, String) {
        let key = RootKey::generate(Random).unwrap();
        let sealed = SealedRootKey::seal(&key, &passphrase("correct horse"), Random).unwrap();
        (key, sealed.to_text())
    }

    #[test]
    fn it_opens_only_with_its_passphrase() {
        let (key, text) = sealed();
        let read = SealedRootKey::parse(&format!(" {text}\n")).unwrap();
        assert_eq!(read.to_text(), text);
        let open = |words| read.open(&passphrase(words)).map(|key| key.fingerprint());
        assert_eq!(open("correct horse"), Ok(key.fingerprint()));
        assert_eq!(open("correct horsf"), Err(BadSealedKey::Unopened));
        assert!(!text.contains(key.to_text().as_str()));
        assert!(text.starts_with("coffer-root-key-v1:argon2id:m=65536,t=3:"));
    }

    #[test]
    fn the_rule_counts_characters() {
        let fits = |text: &str| Passphrase::new(Zeroizing::new(text.to_owned())).is_ok();
        assert!(!fits("elevenchars") && fits("twelve chars") && fits(&"\u{1F511}".repeat(12)));
        assert!(fits(&"x".repeat(1024)) && !fits(&"x".repeat(1025)));
    }

    /// The header is bound, so nobody can lower the cost of a guess.
    #[test]
    fn a_changed_header_does_not_open() {
        let (_, text) = sealed();
        for (from, to) in [("m=65536", "m=65535"), ("t=3", "t=1")] {
            let edited = SealedRootKey::parse(&text.replace(from, to)).unwrap();
            let opened = edited.open(&passphrase("correct horse"));
            assert_eq!(opened.err(), Some(BadSealedKey::Unopened), "{to}");
        }
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory() {
        let (_, text) = sealed();
        for cost in ["m=4294967295,t=3", "m=65536,t=4294967295", "m=2097153,t=3", "m=65536,t=65"] {
            let edited = text.replace("m=65536,t=3", cost);
            assert_eq!(SealedRootKey::parse(&edited).err(), Some(BadSealedKey::Form), "{cost}");
        }
        // Less memory than Argon2 needs is only noticed when it is opened.
        let tiny = SealedRootKey::parse(&text.replace("m=65536", "m=1")).unwrap();
        assert_eq!(tiny.open(&passphrase("correct horse")).err(), Some(BadSealedKey::Form));
    }

    proptest! {
        /// No text causes a panic, and a text that parses is written back unchanged.
        #[test]
        fn any_text_parses_or_is_refused(text in "(coffer-root-key-v1:argon2id:)?[m=t0-9,:A-Za-z+/= ]{0,120}") {
            if let Ok(read) = SealedRootKey::parse(&text) {
                prop_assert_eq!(read.to_text(), text.trim());
            }
        }
    }
}
