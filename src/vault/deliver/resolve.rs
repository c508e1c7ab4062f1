//! What an enrolment resolves to, and the verbs that deliver it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::audit::{Action, RefusalCode, ResourceType};
use crate::domain::{EnvironmentId, KeyName, Version};
use crate::store::{Decision, ReadError, SecretPlace, Secrets, Vars, View};

use crate::vault::Vault;
use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::deliver::bundle::{self, Entry};
use crate::vault::deliver::{Enrolment, ToRecipients};
use crate::vault::error::Error;
use crate::vault::lookup::environment_row;
use crate::vault::policy::{self, Deliverable};
use crate::vault::policy::{Permit, Read};
use crate::vault::verbs::secrets::binding;
use crate::vault::verbs::vars::value_of;
use crate::vault::verbs::versions::sealed_value;

/// Keys and versions in one audit row take up at most about so many bytes; sled
/// wants its rows small.
const ROW_BYTES: usize = 3 << 10;

/// An age file, and the tag of what is in it.
#[derive(Debug, Clone)]
pub struct SealedBundle {
    /// The age file.
    pub bytes: Vec<u8>,
    /// Changes when what is in it, or whom it is sealed to, changes; and does not
    /// otherwise, not even over a restart.
    pub tag: String,
}

/// Where a key's value comes from.
enum Source {
    Secret(Deliverable),
    Var(String),
}

/// A key that is resolved.
pub(super) struct Resolved {
    pub key: KeyName,
    pub version: Version,
    source: Source,
}

/// The keys that an enrolment takes, with id and version; a secret comes before a
/// var of the same key. Bound by nothing secret, so this may make a tag.
pub(super) fn found(
    view: &impl View,
    environment: EnvironmentId,
    takes: impl Fn(&KeyName) -> bool,
) -> Result<BTreeMap<KeyName, Found>, Error> {
    let mut found = BTreeMap::new();
    let within = environment.to_bytes();
    // A row that cannot be read might be one that is wanted: better nothing than
    // a part that looks like the whole.
    let damaged = |what| {
        move |error| match error {
            ReadError::Damaged { .. } => Error::Damaged(what),
            error => Error::Read(error),
        }
    };
    for row in view.scan::<Vars>(&within, None) {
        let ((_, key), row) = row.map_err(damaged(ResourceType::Var))?;
        if takes(&key) {
            found.insert(key, Found::Var(row));
        }
    }
    for row in view.scan::<Secrets>(&within, None) {
        let ((_, key), row) = row.map_err(damaged(ResourceType::Secret))?;
        if takes(&key) {
            found.insert(key, Found::Secret(row));
        }
    }
    Ok(found)
}

pub(super) enum Found {
    Secret(crate::store::SecretRow),
    Var(crate::store::VarRow),
}

impl Found {
    pub fn id_and_version(&self) -> (String, Version) {
        match self {
            Self::Secret(row) => (row.id.to_string(), row.version),
            Self::Var(row) => (row.id.to_string(), row.version),
        }
    }
}

/// Tells one content from another. Ids and versions say it all: a version's value
/// never changes.
fn tag(
    environment: EnvironmentId,
    enrolment: &Enrolment<ToRecipients>,
    found: &BTreeMap<KeyName, Found>,
) -> String {
    let mut texts = vec!["coffer bundle v1".to_owned(), environment.to_string()];
    texts.push(enrolment.name().to_owned());
    texts.extend(enrolment.recipients().iter().map(ToString::to_string));
    for (key, found) in found {
        let (id, version) = found.id_and_version();
        texts.extend([key.as_str().to_owned(), id, version.to_string()]);
    }
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    name_digest(&texts)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that was found, with tickets for the secrets. All of those that do
/// not open are named, not only the first.
pub(super) fn resolve(
    view: &impl View,
    keyring: &Keyring,
    environment: EnvironmentId,
    found: BTreeMap<KeyName, Found>,
    enrolled: impl Fn(&KeyName) -> bool,
) -> Result<Vec<Resolved>, Error> {
    let (mut resolved, mut unreadable) = (Vec::with_capacity(found.len()), Vec::new());
    for (key, found) in found {
        let (_, version) = found.id_and_version();
        let source = match found {
            Found::Var(row) => value_of(view, &row).map(Source::Var),
            Found::Secret(row) => {
                let place = SecretPlace { environment, key: key.clone() };
                let grant = policy::may_deliver(&enrolled, binding(&place, &row));
                let missing = Error::Damaged(ResourceType::Secret);
                let sealed = sealed_value(view, (row.id, row.version))
                    .and_then(|sealed| sealed.ok_or(missing));
                sealed.and_then(|sealed| {
                    let ticket = grant?.on(sealed);
                    cipher::check_deliverable(keyring, &ticket)?;
                    Ok(Source::Secret(ticket))
                })
            }
        };
        match source {
            Ok(source) => resolved.push(Resolved { key, version, source }),
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

/// `{"KEY":3,…}` in pieces that each fit an audit row.
pub(super) fn keys_and_versions(resolved: &[Resolved]) -> Vec<Value> {
    let (mut pieces, mut piece, mut bytes) = (Vec::new(), serde_json::Map::new(), 0);
    for Resolved { key, version, .. } in resolved {
        let size = key.as_str().len() + 14;
        if bytes + size > ROW_BYTES {
            pieces.push(Value::Object(std::mem::take(&mut piece)));
            bytes = 0;
        }
        bytes += size;
        piece.insert(key.as_str().to_owned(), json!(version));
    }
    pieces.push(Value::Object(piece));
    pieces
}

/// SHA-256 over texts, each with its length before it, to name something by them.
pub fn name_digest(texts: &[&str]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    for text in texts {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Vault {
    /// The tag of a workload's bundle as it would be now. May block on the disk.
    pub fn bundle_tag(
        &self,
        permit: &Permit<Read>,
        enrolment: &Enrolment<ToRecipients>,
    ) -> Result<String, Error> {
        let environment = permit.environment()?.id();
        let row = environment_row(&*self.store, environment)?;
        if !enrolment.is_for(&row.name) {
            return Err(Error::NotFound(ResourceType::Workload));
        }
        let found = found(&*self.store, environment, |key| enrolment.takes(key))?;
        Ok(tag(environment, enrolment, &found))
    }

    /// A workload's bundle. It is in the audit log, with keys and versions, before
    /// this returns.
    pub async fn deliver_bundle(
        &self,
        permit: &Permit<Read>,
        enrolment: Arc<Enrolment<ToRecipients>>,
    ) -> Result<SealedBundle, Error> {
        let environment = permit.environment()?.id();
        let now = self.now();
        let draft = permit.draft(Action::WorkloadDeliver, now).named(enrolment.name());
        let keychain = self.keyring.clone();
        let standing = permit.standing(now);
        let (more, enrolled) = (draft.clone(), Arc::clone(&enrolment));
        let delivered = self
            .store
            .change(move |tx| {
                standing.check(tx)?;
                let row = environment_row(tx, environment)?;
                if !enrolled.is_for(&row.name) {
                    return Err(Error::NotFound(ResourceType::Workload));
                }
                let draft = policy::label(draft, environment, &row);
                let takes = |key: &KeyName| enrolled.takes(key);
                let found = found(tx, environment, takes)?;
                let tag = tag(environment, &enrolled, &found);
                // The keys of this moment: what the tickets hold may have been wrapped
                // again, and the old key retired, when it is opened.
                let keyring = keychain.now();
                Ok(match resolve(tx, &keyring, environment, found, takes) {
                    Ok(resolved) => {
                        let mut pieces = keys_and_versions(&resolved).into_iter();
                        let first = pieces.next().unwrap_or_default();
                        for piece in pieces {
                            tx.also(draft.clone().details(&details(&enrolled, piece)));
                        }
                        let draft = draft.details(&details(&enrolled, first));
                        Decision::Applied((row.name, tag, resolved, keyring), vec![draft])
                    }
                    Err(unreadable @ Error::Undeliverable { .. }) => {
                        Decision::refused(unreadable, draft.refused(RefusalCode::SecretUnreadable))
                    }
                    Err(error) => return Err(error),
                })
            })
            .commit();
        let (name, tag, resolved, keyring) = delivered.await.map_err(Error::from)?;
        let (value_bytes, shown) = (self.limits.value_bytes, name.clone());
        // Each of them takes up to twice its length in memory.
        let _turn = self.deliveries.acquire().await.map_err(|_| Error::Panicked)?;
        let seal = move || {
            let entries = open(&keyring, resolved)?;
            let to = enrolment.recipients();
            bundle::seal((name.as_str(), enrolment.name()), &entries, value_bytes, to)
        };
        let sealed = tokio::task::spawn_blocking(seal).await.map_err(|_| Error::Panicked)?;
        if let Err(Error::BundleTooLarge) = sealed {
            log::error!("the bundle of {} for {shown} is too large", more.resource_name());
            self.record_refused(more.within(environment, &shown).refused(RefusalCode::Conflict))
                .await?;
        }
        Ok(SealedBundle { bytes: sealed?, tag })
    }
}

fn details(enrolment: &Enrolment<ToRecipients>, versions: Value) -> Value {
    json!({ "workload": enrolment.name(), "versions": versions })
}

pub(super) fn open(keyring: &Keyring, resolved: Vec<Resolved>) -> Result<Vec<Entry>, Error> {
    let open = |Resolved { key, source, .. }| {
        let (value, is_secret) = match source {
            Source::Var(value) => (Zeroizing::new(value), false),
            Source::Secret(ticket) => (cipher::deliver(keyring, ticket)?, true),
        };
        Ok(Entry { key, value, is_secret })
    };
    resolved.into_iter().map(open).collect()
}
