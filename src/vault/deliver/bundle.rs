//! A bundle: what a workload gets, as one JSON document inside an age file.
//!
//! ```text
//! {"environment":"production","workload":"api","values":{"KEY":"value",…}} | blanks | \n
//! ```
//!
//! The blanks keep lengths apart from values. Whoever may fetch a bundle sees how
//! long it is, and an operator can add vars of any length, so neither rounding
//! nor random padding would hide for long how long a sealed value is. So each
//! secret takes up a *slot* of twice the longest value that the configuration
//! allows, whatever its own length. What is public (keys, vars, how many secrets
//! there are) says how long the bundle is, and whether it is too long.
//!
//! Only a value that is mostly control characters, which JSON writes in six bytes
//! each, can be longer than its slot; then there are slots of three times that.
//!
//! Must never: be written anywhere but into the seal; keep a value longer than
//! the bundle lives.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read, Write};
use std::process::Command;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::domain::{KeyName, KeyPattern};

use crate::vault::crypto::recipients::Recipient;
use crate::vault::crypto::recipients::{self, Identities, Unopened};
use crate::vault::error::Error;

/// A document is never longer, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// A value on its way into a document.
pub(super) struct Entry {
    pub key: KeyName,
    pub value: Zeroizing<String>,
    /// Whether it is a secret, so that its length must not show.
    pub is_secret: bool,
}

/// The whole document, padded.
fn document(
    environment: &str,
    workload: &str,
    entries: &[Entry],
    value_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    // With its quotes. One that does not fit makes the slots of all larger.
    let alike = 2 * value_bytes + 2;
    let written = |entry: &Entry| json_bytes(&entry.value);
    let secrets = entries.iter().filter(|entry| entry.is_secret);
    let slot = if secrets.clone().all(|entry| written(entry) <= alike) { alike } else { 3 * alike };
    let slots = secrets.map(|entry| (slot, written(entry)));
    let (mut whole, mut padding) = (0_usize, 0_usize);
    for (slot, written) in slots {
        whole = whole.saturating_add(slot.max(written));
        // A limit that was lowered since leaves longer values behind.
        padding += slot.saturating_sub(written);
    }
    let head = [environment, workload].map(json_bytes).iter().sum::<usize>() + 64;
    for entry in entries {
        let value = if entry.is_secret { 0 } else { json_bytes(&entry.value) };
        whole = whole.saturating_add(value + entry.key.as_str().len() + 4);
    }
    whole = whole.saturating_add(head);
    if whole > MOST_BYTES {
        return Err(Error::BundleTooLarge);
    }
    // As large as it will ever be: a buffer that grows leaves copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(whole));
    out.extend_from_slice(b"{\"environment\":");
    write_json(&mut out, environment);
    out.extend_from_slice(b",\"workload\":");
    write_json(&mut out, workload);
    out.extend_from_slice(b",\"values\":{");
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_json(&mut out, entry.key.as_str());
        out.push(b':');
        write_json(&mut out, &entry.value);
    }
    out.extend_from_slice(b"}}");
    let length = out.len() + padding;
    out.resize(length, b' ');
    out.push(b'\n');
    Ok(out)
}

fn write_json(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text is written into memory");
}

/// How many bytes a text takes up in JSON, as serde_json writes it.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..=0x1f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// The document, sealed.
pub(super) fn seal(
    (environment, workload): (&str, &str),
    entries: &[Entry],
    value_bytes: usize,
    recipients: &[Recipient],
) -> Result<Vec<u8>, Error> {
    let document = document(environment, workload, entries, value_bytes)?;
    // The header's and the chunks' own bytes, generously.
    let room = document.len() + document.len() / 1024 + 1024 * (1 + recipients.len());
    let sealed = || -> io::Result<Vec<u8>> {
        let mut seal = recipients::seal(Vec::with_capacity(room), recipients)?;
        seal.write_all(&document)?;
        seal.finish()
    };
    sealed().map_err(|_| Error::NoRandomness)
}

/// Why a bundle was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It does not open.
    #[error("{0}")]
    Unopened(#[from] Unopened),
    /// What was inside is no bundle.
    #[error("it opens, but holds no bundle")]
    NotABundle,
    /// A value cannot be a variable of a process.
    #[error("{0} holds a NUL byte, which no process's environment can hold")]
    Nul(String),
}

/// A bundle that was opened, where its workload runs. It can be given to a
/// command and nothing else.
#[allow(missing_debug_implementations)]
pub struct Bundle {
    environment: String,
    workload: String,
    values: BTreeMap<String, Value>,
}

struct Value(Zeroizing<String>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Bundle {
    /// Opens a sealed one.
    pub fn open(sealed: impl BufRead, identities: &Identities) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Document {
            environment: String,
            workload: String,
            values: BTreeMap<String, Value>,
        }

        let mut document = Zeroizing::new(Vec::new());
        let limit = MOST_BYTES as u64 + 1;
        let read = recipients::open(sealed, identities)?.take(limit).read_to_end(&mut document);
        read.map_err(|error| match error.kind() {
            // What age says of a chunk that does not open, and of a missing end.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Unopened::Damaged,
            _ => Unopened::Io(error),
        })?;
        let parsed = serde_json::from_slice(&document);
        let parsed: Document = parsed.map_err(|_| BundleError::NotABundle)?;
        let Document { environment, workload, values } = parsed;
        // Anybody can seal something to a recipient; no server of ours has others.
        if values.keys().any(|key| KeyName::parse(key).is_err()) {
            return Err(BundleError::NotABundle);
        }
        Ok(Self { environment, workload, values })
    }

    /// Whether it is a workload's, of the environment of this name.
    pub fn is_of(&self, environment: Option<&str>, workload: &str) -> bool {
        self.workload == workload
            && environment.is_none_or(|name| name.eq_ignore_ascii_case(&self.environment))
    }

    /// Its keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Keeps only the values whose keys one of the patterns takes.
    pub fn retain(&mut self, only: &[KeyPattern]) {
        self.values.retain(|key, _| {
            KeyName::parse(key).is_ok_and(|key| only.iter().any(|one| one.matches(&key)))
        });
    }

    /// Sets them all as variables of a command.
    pub fn set_on(&self, command: &mut Command) -> Result<(), BundleError> {
        for (key, Value(value)) in &self.values {
            if value.contains('\0') {
                return Err(BundleError::Nul(key.clone()));
            }
            command.env(key, OsStr::new(value.as_str()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 64 << 10;

    fn entry(key: &str, value: &str, is_secret: bool) -> Entry {
        let key = KeyName::parse(key).unwrap();
        Entry { key, value: Zeroizing::new(value.to_owned()), is_secret }
    }

    fn length(entries: &[Entry]) -> usize {
        document("production", "api", entries, LIMIT).unwrap().len()
    }

    #[test]
    fn how_long_a_value_is_does_not_show() {
        let with = |value: &str| {
            length(&[entry("A", value, true), entry("B", "x", true), entry("C", "v", false)])
        };
        let short = with("s");
        for value in ["a".repeat(LIMIT), "\"".repeat(LIMIT), "ä€𝄞".repeat(99), "\u{1}".repeat(9)]
        {
            assert_eq!(with(&value), short);
        }
        // What is not sealed may show.
        assert_ne!(length(&[entry("C", "longer", false)]), length(&[entry("C", "v", false)]));
    }

    /// An operator who adds vars until the length jumps learns nothing: it does
    /// not jump anywhere else for another value.
    #[test]
    fn what_is_added_beside_shifts_nothing() {
        for beside in 0..300 {
            let var = "v".repeat(beside * 17);
            let with = |value: &str| length(&[entry("A", value, true), entry("C", &var, false)]);
            assert_eq!(with("s"), with(&"s".repeat(5000)), "{beside}");
        }
    }

    #[test]
    fn whether_it_is_too_large_depends_on_how_many_there_are_and_on_nothing_else() {
        for value in ["s".to_owned(), "s".repeat(LIMIT)] {
            let with = |count| {
                let many: Vec<_> =
                    (0..count).map(|n| entry(&format!("K{n:04}"), &value, true)).collect();
                document("production", "api", &many, LIMIT).map(|whole| whole.len())
            };
            assert!(with(500).is_ok());
            assert!(matches!(with(512), Err(Error::BundleTooLarge)));
        }
    }

    proptest! {
        #[test]
        fn a_document_is_json_and_fits_its_buffer(
            values in proptest::collection::vec((any::<String>(), any::<bool>()), 0..8),
        ) {
            let entries: Vec<_> = values
                .iter()
                .enumerate()
                .map(|(number, (value, is_secret))| entry(&format!("K{number}"), value, *is_secret))
                .collect();
            let document = document("e\"v", "api", &entries, LIMIT).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&document).unwrap();
            prop_assert_eq!(&read["environment"], "e\"v");
            for (number, (value, _)) in values.iter().enumerate() {
                prop_assert_eq!(&read["values"][format!("K{number}")], value);
                prop_assert_eq!(serde_json::to_string(value).unwrap().len(), json_bytes(value));
            }
            prop_assert!(document.len() <= document.capacity());
        }
    }
}
