//! A bundle: the values of a workload, as one JSON document inside an age file.
//!
//! ```text
//! {"environment":"production","workload":"api","values":{"KEY":"value",…}} | spaces | \n
//! ```
//!
//! The spaces hide the lengths of values. Anyone who may fetch a bundle sees how long it is, and an
//! operator can add vars of any length, so neither rounding nor random padding would hide the
//! length of a sealed value for long. Instead, each secret takes up a *slot* of twice the longest
//! value that the configuration allows, whatever its own length. Only public facts (keys, vars, the
//! number of secrets) decide how long a bundle is, and whether it is too long.
//!
//! Only a value that is mostly control characters, which take six bytes each in JSON, can be longer
//! than its slot. Then all slots are three times as long.
//!
//! Must never: write plaintext anywhere but into the seal; keep a value longer than the bundle.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read, Write};
use std::process::Command;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::domain::{KeyName, KeyPattern};

use crate::vault::crypto::recipients::{self, AgeError, Identities, Recipient};
use crate::vault::error::Error;

/// The longest document, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// A value to deliver, in plaintext.
pub(super) struct OpenedValue {
    pub key: KeyName,
    pub value: Zeroizing<String>,
    /// Whether the length must not show.
    pub is_secret: bool,
}

/// Writes the document, with its padding.
fn document(
    environment: &str,
    workload: &str,
    entries: &[OpenedValue],
    value_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Includes the quotes. One value that does not fit makes all slots larger.
    let normal = 2 * value_bytes + 2;
    let written = |entry: &OpenedValue| json_bytes(&entry.value);
    let secrets = entries.iter().filter(|entry| entry.is_secret);
    let slot =
        if secrets.clone().all(|entry| written(entry) <= normal) { normal } else { 3 * normal };
    let slots = secrets.map(|entry| (slot, written(entry)));
    let (mut whole, mut padding) = (0_usize, 0_usize);
    for (slot, written) in slots {
        whole = whole.saturating_add(slot.max(written));
        // After the limit was lowered, older values can be longer than their slots.
        padding += slot.saturating_sub(written);
    }
    let head = [environment, workload].map(json_bytes).iter().sum::<usize>() + 64;
    for entry in entries {
        let value = if entry.is_secret { 0 } else { json_bytes(&entry.value) };
        whole = whole.saturating_add(value + entry.key.as_str().len() + 4);
    }
    whole = whole.saturating_add(head);
    if whole > MAX_BYTES {
        return Err(Error::BundleTooLarge);
    }
    // Allocated at full size, because a buffer that grows leaves copies of values behind.
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
    serde_json::to_writer(out, text).expect("writing to memory cannot fail");
}

/// Returns how many bytes serde_json writes for a text.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..=0x1f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

/// Writes the document and seals it.
pub(super) fn seal(
    (environment, workload): (&str, &str),
    entries: &[OpenedValue],
    value_bytes: usize,
    recipients: &[Recipient],
) -> Result<Vec<u8>, Error> {
    let document = document(environment, workload, entries, value_bytes)?;
    // A generous allowance for the overhead of the header and the chunks.
    let capacity = document.len() + document.len() / 1024 + 1024 * (1 + recipients.len());
    let sealed = || -> io::Result<Vec<u8>> {
        let mut seal = recipients::seal(Vec::with_capacity(capacity), recipients)?;
        seal.write_all(&document)?;
        seal.finish()
    };
    sealed().map_err(|_| Error::NoRandomness)
}

/// Why a bundle was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The age file did not open.
    #[error("{0}")]
    Unopened(#[from] AgeError),
    /// The age file does not contain a bundle.
    #[error("the file opens, but does not contain a bundle")]
    NotABundle,
    /// A value cannot be an environment variable.
    #[error("{0} contains a NUL byte, which an environment variable cannot contain")]
    Nul(String),
}

/// An opened bundle, on the host where its workload runs. It can be passed to a command, and
/// nothing else.
#[allow(missing_debug_implementations)]
pub struct Bundle {
    environment: String,
    workload: String,
    values: BTreeMap<String, BundledValue>,
}

struct BundledValue(Zeroizing<String>);

impl<'de> Deserialize<'de> for BundledValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Bundle {
    /// Opens a sealed bundle.
    pub fn open(sealed: impl BufRead, identities: &Identities) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct BundleDocument {
            environment: String,
            workload: String,
            values: BTreeMap<String, BundledValue>,
        }

        let mut document = Zeroizing::new(Vec::new());
        let limit = MAX_BYTES as u64 + 1;
        let read = recipients::open(sealed, identities)?.take(limit).read_to_end(&mut document);
        read.map_err(|error| match error.kind() {
            // The kinds that age returns for a missing end, and for a chunk that does not open.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => AgeError::Damaged,
            _ => AgeError::Io(error),
        })?;
        let parsed = serde_json::from_slice(&document);
        let parsed: BundleDocument = parsed.map_err(|_| BundleError::NotABundle)?;
        let BundleDocument { environment, workload, values } = parsed;
        // Anyone can seal a file to a recipient, but no coffer server writes other keys.
        if values.keys().any(|key| KeyName::parse(key).is_err()) {
            return Err(BundleError::NotABundle);
        }
        Ok(Self { environment, workload, values })
    }

    /// Returns whether it is the bundle of this workload, and of this environment if one is given.
    pub fn is_of(&self, environment: Option<&str>, workload: &str) -> bool {
        self.workload == workload
            && environment.is_none_or(|name| name.eq_ignore_ascii_case(&self.environment))
    }

    /// Returns the keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Keeps only the values whose keys match one of the patterns.
    pub fn retain(&mut self, only: &[KeyPattern]) {
        self.values.retain(|key, _| {
            KeyName::parse(key).is_ok_and(|key| only.iter().any(|one| one.matches(&key)))
        });
    }

    /// Sets all values as environment variables of a command.
    pub fn set_on(&self, command: &mut Command) -> Result<(), BundleError> {
        for (key, BundledValue(value)) in &self.values {
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

    fn entry(key: &str, value: &str, is_secret: bool) -> OpenedValue {
        let key = KeyName::parse(key).unwrap();
        OpenedValue { key, value: Zeroizing::new(value.to_owned()), is_secret }
    }

    fn length(entries: &[OpenedValue]) -> usize {
        document("production", "api", entries, LIMIT).unwrap().len()
    }

    #[test]
    fn the_length_of_a_value_does_not_show() {
        let with = |value: &str| {
            length(&[entry("A", value, true), entry("B", "x", true), entry("C", "v", false)])
        };
        let short = with("s");
        for value in ["a".repeat(LIMIT), "\"".repeat(LIMIT), "ä€𝄞".repeat(99), "\u{1}".repeat(9)]
        {
            assert_eq!(with(&value), short);
        }
        // The length of a var may show.
        assert_ne!(length(&[entry("C", "longer", false)]), length(&[entry("C", "v", false)]));
    }

    /// An operator who adds vars until the length jumps learns nothing: it jumps at the same point
    /// for every value.
    #[test]
    fn adding_vars_does_not_reveal_a_length() {
        for beside in 0..300 {
            let var = "v".repeat(beside * 17);
            let with = |value: &str| length(&[entry("A", value, true), entry("C", &var, false)]);
            assert_eq!(with("s"), with(&"s".repeat(5000)), "{beside}");
        }
    }

    #[test]
    fn only_the_number_of_secrets_decides_whether_a_bundle_is_too_large() {
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
