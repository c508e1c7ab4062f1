//! What an enrolment resolves to: the keys that it takes, their versions, and tickets for the
//! secrets among them.
//!
//! Must never: resolve to a part of the values when others cannot be read.
//! Called by: `workload` and `file`, inside the writer.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::audit::{Draft, ResourceType};
use crate::domain::{EnvironmentId, KeyName, Version, encode_hex};
use crate::store::{SecretPlace, SecretRow, Secrets, Tx, VarRow, Vars, View};

use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::deliver::bundle::OpenedValue;
use crate::vault::error::Error;
use crate::vault::policy::{self, Deliverable};
use crate::vault::secret_rows::binding;
use crate::vault::verbs::var_values::value_of;
use crate::vault::verbs::versions::sealed_value;

/// The most bytes of keys and versions in one audit row: sled needs small rows.
const MAX_ROW_BYTES: usize = 3 << 10;

/// The row behind a key that an enrolment takes.
pub(super) enum MatchedRow {
    Secret(SecretRow),
    Var(VarRow),
}

impl MatchedRow {
    fn id_and_version(&self) -> (String, Version) {
        match self {
            Self::Secret(row) => (row.id.to_string(), row.version),
            Self::Var(row) => (row.id.to_string(), row.version),
        }
    }
}

/// Finds the keys that an enrolment takes. A secret wins over a var with the same key. Nothing here
/// depends on a value, so a public tag can be computed from it.
pub(super) fn matched_rows(
    view: &impl View,
    environment: EnvironmentId,
    takes: impl Fn(&KeyName) -> bool,
) -> Result<BTreeMap<KeyName, MatchedRow>, Error> {
    let mut matched = BTreeMap::new();
    let within = environment.to_bytes();
    // A damaged row may be one that the enrolment needs, so it fails the whole delivery: a part
    // could be mistaken for the whole.
    for row in view.scan::<Vars>(&within, None) {
        let ((_, key), row) = row.map_err(Error::damaged_or(ResourceType::Var))?;
        if takes(&key) {
            matched.insert(key, MatchedRow::Var(row));
        }
    }
    for row in view.scan::<Secrets>(&within, None) {
        let ((_, key), row) = row.map_err(Error::damaged_or(ResourceType::Secret))?;
        if takes(&key) {
            matched.insert(key, MatchedRow::Secret(row));
        }
    }
    Ok(matched)
}

/// SHA-256 over texts, each preceded by its length. Names something by public facts.
pub fn name_digest(texts: &[&str]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    for text in texts {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finish().as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}

/// Computes a tag that changes whenever the delivered content does. Ids and versions are enough for
/// that, because the value of a version never changes.
pub(super) fn content_tag(
    mut texts: Vec<String>,
    matched: &BTreeMap<KeyName, MatchedRow>,
) -> String {
    for (key, row) in matched {
        let (id, version) = row.id_and_version();
        texts.extend([key.as_str().to_owned(), id, version.to_string()]);
    }
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    encode_hex(&name_digest(&texts)[..16])
}

/// The value of a resolved key: plain for a var, a ticket for a secret.
enum ResolvedValue {
    Secret(Deliverable),
    Var(String),
}

/// A resolved key.
pub(super) struct Resolved {
    pub key: KeyName,
    pub version: Version,
    value: ResolvedValue,
}

/// Resolves the matched keys, and checks that every secret opens. The error names all keys that do
/// not open, not just the first.
pub(super) fn resolve(
    view: &impl View,
    keyring: &Keyring,
    environment: EnvironmentId,
    matched: BTreeMap<KeyName, MatchedRow>,
    enrolled: impl Fn(&KeyName) -> bool,
) -> Result<Vec<Resolved>, Error> {
    let (mut resolved, mut unreadable) = (Vec::with_capacity(matched.len()), Vec::new());
    for (key, row) in matched {
        let (_, version) = row.id_and_version();
        let value = match row {
            MatchedRow::Var(row) => value_of(view, &row).map(ResolvedValue::Var),
            MatchedRow::Secret(row) => {
                let place = SecretPlace { environment, key: key.clone() };
                let grant = policy::may_deliver(&enrolled, binding(&place, &row));
                let missing = Error::Damaged(ResourceType::Secret);
                let sealed = sealed_value(view, (row.id, row.version))
                    .and_then(|sealed| sealed.ok_or(missing));
                sealed.and_then(|sealed| {
                    let ticket = grant?.on(sealed);
                    cipher::check(keyring, &ticket)?;
                    Ok(ResolvedValue::Secret(ticket))
                })
            }
        };
        match value {
            Ok(value) => resolved.push(Resolved { key, version, value }),
            Err(Error::Damaged(_) | Error::Unreadable { .. }) => {
                unreadable.push(key.as_str().to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    if unreadable.is_empty() {
        Ok(resolved)
    } else {
        Err(Error::Undeliverable { keys: unreadable })
    }
}

/// Records the delivered keys and versions: returns the audit row, and adds further rows to the
/// change if one is too small. `details` turns `{"KEY":3,…}` into the details of a row.
pub(super) fn delivery_row(
    tx: &mut Tx<'_>,
    draft: Draft,
    resolved: &[Resolved],
    details: impl Fn(Value) -> Value,
) -> Draft {
    let mut parts = keys_and_versions(resolved).into_iter();
    let first = parts.next().unwrap_or_default();
    for part in parts {
        tx.also(draft.clone().details(&details(part)));
    }
    draft.details(&details(first))
}

/// Writes `{"KEY":3,…}` in parts that each fit into an audit row.
fn keys_and_versions(resolved: &[Resolved]) -> Vec<Value> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), serde_json::Map::new(), 0);
    for Resolved { key, version, .. } in resolved {
        let size = key.as_str().len() + 14;
        if bytes + size > MAX_ROW_BYTES {
            parts.push(Value::Object(std::mem::take(&mut part)));
            bytes = 0;
        }
        bytes += size;
        part.insert(key.as_str().to_owned(), json!(version));
    }
    parts.push(Value::Object(part));
    parts
}

/// Opens the resolved values. Call this only after the audit row of the delivery is durable.
pub(super) fn open(keyring: &Keyring, resolved: Vec<Resolved>) -> Result<Vec<OpenedValue>, Error> {
    let open = |Resolved { key, value, .. }| {
        let (value, is_secret) = match value {
            ResolvedValue::Var(value) => (Zeroizing::new(value), false),
            ResolvedValue::Secret(ticket) => (cipher::deliver(keyring, ticket)?, true),
        };
        Ok(OpenedValue { key, value, is_secret })
    };
    resolved.into_iter().map(open).collect()
}
