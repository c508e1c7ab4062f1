//! Bundles for workloads: sealed to the recipients that the host declares.
//!
//! Must never: return a value unsealed.
//! Called by: `http`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{EnvironmentId, EnvironmentName, KeyName};
use crate::store::{Decision, Tx};

use crate::vault::crypto::keyring::Keyring;
use crate::vault::deliver::bundle;
use crate::vault::deliver::enrolment::{Enrolment, ToRecipients};
use crate::vault::deliver::resolve::{
    MatchedRow, Resolved, content_tag, delivery_row, matched_rows, open, resolve,
};
use crate::vault::error::Error;
use crate::vault::lookup::environment_row;
use crate::vault::policy::{self, Permit, Read};
use crate::vault::service::Vault;

/// A sealed bundle, and the tag of its content.
#[derive(Debug, Clone)]
pub struct SealedBundle {
    /// The age file.
    pub bytes: Vec<u8>,
    /// Changes whenever the content or the recipients change, and only then, even across restarts.
    pub tag: String,
}

/// A bundle that is resolved, but not opened.
struct ResolvedBundle {
    environment: EnvironmentName,
    tag: String,
    values: Vec<Resolved>,
    /// The keyring that the tickets open with. A later one may no longer have the wrapping key.
    keyring: Arc<Keyring>,
}

fn bundle_tag(
    environment: EnvironmentId,
    enrolment: &Enrolment<ToRecipients>,
    matched: &BTreeMap<KeyName, MatchedRow>,
) -> String {
    let mut texts = vec!["coffer bundle v1".to_owned(), environment.to_string()];
    texts.push(enrolment.name().to_owned());
    texts.extend(enrolment.recipients().iter().map(ToString::to_string));
    content_tag(texts, matched)
}

/// Resolves a bundle inside the writer.
fn resolve_bundle(
    tx: &mut Tx<'_>,
    keyring: Arc<Keyring>,
    environment: EnvironmentId,
    enrolment: &Enrolment<ToRecipients>,
    draft: Draft,
) -> Result<Decision<ResolvedBundle, Error>, Error> {
    let row = environment_row(tx, environment)?;
    if !enrolment.is_for(&row.name) {
        return Err(Error::NotFound(ResourceType::Workload));
    }
    let draft = policy::label(draft, environment, &row);
    let takes = |key: &KeyName| enrolment.takes(key);
    let matched = matched_rows(tx, environment, takes)?;
    let tag = bundle_tag(environment, enrolment, &matched);
    match resolve(tx, &keyring, environment, matched, takes) {
        Ok(values) => {
            let row_of = |versions| json!({ "workload": enrolment.name(), "versions": versions });
            let draft = delivery_row(tx, draft, &values, row_of);
            let bundle = ResolvedBundle { environment: row.name, tag, values, keyring };
            Ok(Decision::Applied(bundle, vec![draft]))
        }
        Err(unreadable @ Error::Undeliverable { .. }) => {
            Ok(Decision::refused(unreadable, draft.refused(RefusalCode::SecretUnreadable)))
        }
        Err(error) => Err(error),
    }
}

impl Vault {
    /// Returns the tag that a workload's bundle would have now. May block on the disk.
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
        let matched = matched_rows(&*self.store, environment, |key| enrolment.takes(key))?;
        Ok(bundle_tag(environment, enrolment, &matched))
    }

    /// Seals a workload's bundle. Its keys and versions are durable in the audit log before this
    /// returns.
    pub async fn deliver_bundle(
        &self,
        permit: &Permit<Read>,
        enrolment: Arc<Enrolment<ToRecipients>>,
    ) -> Result<SealedBundle, Error> {
        let environment = permit.environment()?.id();
        let now = self.now();
        let draft = permit.draft(Action::WorkloadDeliver, now).named(enrolment.name());
        let shared = Arc::clone(&self.keyring);
        let guard = permit.credential_guard(now);
        let (refusal, enrolled) = (draft.clone(), Arc::clone(&enrolment));
        let resolved = self
            .store
            .change(move |tx| {
                guard.check(tx)?;
                resolve_bundle(tx, shared.current(), environment, &enrolled, draft)
            })
            .commit();
        let resolved = resolved.await.map_err(Error::from)?;
        let ResolvedBundle { environment: name, tag, values, keyring } = resolved;
        let (value_bytes, shown) = (self.limits.value_bytes, name.clone());
        // Sealing takes up to twice the size of a bundle in memory.
        let _turn = self.deliveries.acquire().await.map_err(|_| Error::Panicked)?;
        let seal = move || {
            let values = open(&keyring, values)?;
            let to = enrolment.recipients();
            bundle::seal((name.as_str(), enrolment.name()), &values, value_bytes, to)
        };
        let sealed = tokio::task::spawn_blocking(seal).await.map_err(|_| Error::Panicked)?;
        if let Err(Error::BundleTooLarge) = sealed {
            log::error!("the bundle of {} for {shown} is too large", refusal.resource_name());
            let refusal = refusal.within(environment, &shown).refused(RefusalCode::Conflict);
            self.record_refused(refusal).await?;
        }
        Ok(SealedBundle { bytes: sealed?, tag })
    }
}
