//! The verbs on secrets.

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Description, KeyName, RevealMode, SecretId, SecretInfo, SecretKind, Timestamp, Version,
};
use crate::store::{
    Counts, EnvironmentRow, SecretPlace, SecretPlaces, SecretRow, Secrets, Tx, View,
};

use super::cipher::{self, Binding};
use super::keyring::Keyring;
use super::lookup::{environment_row, locate, not_before};
use super::policy::{Revealable, may_reveal};
use super::versions::{Put, latch_versions, put_version, remove_versions, sealed_value};
use super::{
    Error, NewValue, Page, Permit, Plaintext, Read, Reveal, Revealed, Vault, Write, policy,
};

/// A secret to create.
#[allow(missing_debug_implementations)]
pub struct NewSecret {
    /// Its key.
    pub key: KeyName,
    /// Its first value.
    pub value: NewValue,
    /// What it is for.
    pub description: Description,
    /// Whether it is never to be revealed; `None` leaves that to the
    /// environment's settings.
    pub never_reveal: Option<bool>,
}

/// Changes to a secret. What is `None` stays as it is.
#[allow(missing_debug_implementations)]
pub struct SecretPatch {
    /// A new value makes a new version, equal or not.
    pub value: Option<NewValue>,
    /// A new description.
    pub description: Option<Description>,
    /// `true` latches; `false` is refused for a never-reveal secret.
    pub never_reveal: Option<bool>,
    /// The versions that the caller expects, one of which must be in force.
    pub expected: Option<Vec<u32>>,
}

/// What a secret's value is sealed for.
pub(super) fn binding(place: &SecretPlace, row: &SecretRow) -> Binding {
    Binding {
        environment: place.environment,
        secret: row.id,
        key: place.key.clone(),
        version: row.version,
        mode: row.mode,
    }
}

/// What may be told about a secret.
pub(super) fn info(place: &SecretPlace, row: SecretRow) -> SecretInfo {
    SecretInfo {
        id: row.id,
        environment: place.environment,
        key: place.key.clone(),
        description: row.description,
        mode: row.mode,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Refuses when the caller expects another version.
pub(super) fn check_expected(expected: Option<&[u32]>, current: Version) -> Result<(), Error> {
    match expected {
        Some(versions) if !versions.contains(&current.get()) => {
            Err(Error::OtherVersion { current })
        }
        _ => Ok(()),
    }
}

impl Vault {
    /// Creates a secret in the environment of the permit.
    pub async fn create_secret(
        &self,
        permit: &Permit<Write>,
        new: NewSecret,
    ) -> Result<SecretInfo, Error> {
        let environment_id = permit.environment()?.id();
        let now = self.now();
        let id = SecretId::new(now, self.random.bytes()?);
        let generated = new.value.is_generated();
        let plaintext = new.value.into_plaintext(self.random, self.limits.value_bytes)?;
        let draft = permit.draft(Action::SecretCreate, now);
        let by = permit.actor_name();
        let (keyring, random, keep) =
            (self.keyring.clone(), self.random, self.limits.versions_kept);
        self.commit(move |tx| {
            let environment = environment_row(tx, environment_id)?;
            let at = (environment_id, new.key);
            if tx.has::<Secrets>(&at)? {
                return Err(Error::Exists(ResourceType::Secret));
            }
            let never = new.never_reveal.unwrap_or(environment.settings.never_reveal_by_default);
            let row = SecretRow {
                id,
                description: new.description,
                mode: RevealMode::from_never_reveal(never),
                version: Version::FIRST,
                created_at: now,
                updated_at: now,
            };
            let place = SecretPlace { environment: environment_id, key: at.1.clone() };
            let sealed = cipher::seal(&keyring, random, &binding(&place, &row), plaintext)?;
            put_version(tx, (id, Version::FIRST), sealed, Put { by, at: now }, keep)?;
            tx.put::<Secrets>(&at, &row);
            tx.put::<SecretPlaces>(&id, &place);
            let mut counts = tx.get::<Counts>(&environment_id)?.unwrap_or_default();
            counts.secrets += 1;
            tx.put::<Counts>(&environment_id, &counts);
            let draft = about(draft, &place, id, &environment)
                .details(&json!({ "neverReveal": never, "generated": generated, "newVersion": 1 }));
            Ok((info(&place, row), draft))
        })
        .await
    }

    /// A page of the secrets of the permit's environment, by key in byte order.
    /// May block on the disk.
    pub fn list_secrets(
        &self,
        permit: &Permit<Read>,
        page: &Page,
    ) -> Result<Vec<SecretInfo>, Error> {
        let environment = permit.environment()?.id();
        let listed = page
            .rows::<Secrets, _>(&*self.store, environment)
            .map(|found| found.map(|(key, row)| info(&SecretPlace { environment, key }, row)))
            .collect();
        // The environment may have been deleted under the scan, which then saw
        // a part of it.
        environment_row(&*self.store, environment)?;
        listed
    }

    /// A secret by its id, without its value.
    pub async fn read_secret(&self, permit: &Permit<Read>, id: &str) -> Result<SecretInfo, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretRead, id).await?;
        let (place, row) = locate(&*self.store, id)?;
        Ok(info(&place, row))
    }

    /// The value of a secret, for a person. Whether it may be shown is decided
    /// in the writer, so a latch that was answered before can not be
    /// overtaken; the value is opened only once the audit row is durable.
    pub async fn reveal_secret(&self, permit: Permit<Reveal>, id: &str) -> Result<Revealed, Error> {
        let id = self.reach::<SecretKind, _>(&permit, Action::SecretReveal, id).await?;
        let draft = permit.draft(Action::SecretReveal, self.now());
        let ticket = self.commit(move |tx| reveal_ticket(tx, &permit, id, draft)).await??;
        cipher::reveal(&self.keyring, ticket)
    }

    /// Changes a secret.
    pub async fn update_secret(
        &self,
        permit: &Permit<Write>,
        id: &str,
        patch: SecretPatch,
    ) -> Result<SecretInfo, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretUpdate, id).await?;
        let generated = patch.value.as_ref().is_some_and(NewValue::is_generated);
        let value = patch
            .value
            .map(|value| value.into_plaintext(self.random, self.limits.value_bytes))
            .transpose()?;
        let update = Update {
            value,
            generated,
            description: patch.description,
            never_reveal: patch.never_reveal,
            expected: patch.expected,
            by: permit.actor_name(),
            now: self.now(),
            keep: self.limits.versions_kept,
        };
        let draft = permit.draft(Action::SecretUpdate, update.now);
        let (keyring, random) = (self.keyring.clone(), self.random);
        self.commit(move |tx| update.apply(tx, id, draft, &keyring, random)).await
    }

    /// Deletes a secret; its key is free at once and its values are gone.
    pub async fn delete_secret(&self, permit: &Permit<Write>, id: &str) -> Result<(), Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretDelete, id).await?;
        let draft = permit.draft(Action::SecretDelete, self.now());
        self.commit(move |tx| {
            let (place, row) = locate::<SecretKind>(tx, id)?;
            let environment = environment_row(tx, place.environment)?;
            remove_secret(tx, &place, id)?;
            let mut counts = tx.get::<Counts>(&place.environment)?.unwrap_or_default();
            counts.secrets = counts.secrets.saturating_sub(1);
            tx.put::<Counts>(&place.environment, &counts);
            let draft = about(draft, &place, id, &environment)
                .details(&json!({ "oldVersion": row.version }));
            Ok(((), draft))
        })
        .await
    }
}

/// Removes every row of a secret.
pub(super) fn remove_secret(
    tx: &mut Tx<'_>,
    place: &SecretPlace,
    id: SecretId,
) -> Result<(), Error> {
    remove_versions(tx, id)?;
    tx.remove::<SecretPlaces>(&id);
    tx.remove::<Secrets>(&(place.environment, place.key.clone()));
    Ok(())
}

fn about(draft: Draft, place: &SecretPlace, id: SecretId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

/// The ticket for a reveal or the refusal, either with its audit row.
#[allow(clippy::type_complexity)]
fn reveal_ticket(
    tx: &mut Tx<'_>,
    permit: &Permit<Reveal>,
    id: SecretId,
    draft: Draft,
) -> Result<(Result<Revealable, Error>, Draft), Error> {
    let (place, row) = locate::<SecretKind>(tx, id)?;
    let environment = environment_row(tx, place.environment)?;
    let draft = about(draft, &place, id, &environment).details(&json!({ "version": row.version }));
    let refused = |refusal: Error, code| Ok((Err(refusal), draft.clone().refused(code)));
    let decision = match may_reveal(permit, &environment.settings, row.mode) {
        Ok(decision) => decision,
        Err(refusal @ Error::RevealDisabled) => return refused(refusal, "REVEAL_DISABLED"),
        Err(refusal) => return refused(refusal, "SECRET_WRITE_ONLY"),
    };
    // A version row that is missing is damage: the secret's row names it.
    let sealed = match sealed_value(tx, (id, row.version)) {
        Ok(Some(sealed)) => sealed,
        Ok(None) | Err(Error::Damaged(_)) => {
            return refused(Error::Damaged(ResourceType::Secret), "SECRET_UNREADABLE");
        }
        Err(error) => return Err(error),
    };
    Ok((decision.on(binding(&place, &row), sealed), draft))
}

/// A patch on its way through the writer.
struct Update {
    value: Option<Plaintext>,
    generated: bool,
    description: Option<Description>,
    never_reveal: Option<bool>,
    expected: Option<Vec<u32>>,
    by: String,
    now: Timestamp,
    keep: u32,
}

impl Update {
    fn apply(
        self,
        tx: &mut Tx<'_>,
        id: SecretId,
        draft: Draft,
        keyring: &Keyring,
        random: super::Random,
    ) -> Result<(SecretInfo, Draft), Error> {
        let (place, mut row) = locate::<SecretKind>(tx, id)?;
        let environment = environment_row(tx, place.environment)?;
        let old_version = row.version;
        let mut changed = Vec::new();
        if self.never_reveal == Some(false) && row.mode.never_reveal() {
            return Err(Error::NeverRevealIsForGood);
        }
        check_expected(self.expected.as_deref(), row.version)?;
        if self.never_reveal == Some(true) && !row.mode.never_reveal() {
            let now_bound = binding(&place, &row);
            latch_versions(tx, id, |version, sealed| {
                let from = Binding { version, ..now_bound.clone() };
                cipher::latch(keyring, random, &from, &sealed.data_key)
            })?;
            row.mode = RevealMode::NeverReveal;
            changed.push("neverReveal");
        }
        if let Some(description) = self.description {
            row.description = description;
            changed.push("description");
        }
        if let Some(plaintext) = self.value {
            row.version = row.version.next().ok_or(Error::VersionsExhausted)?;
            row.updated_at = not_before(self.now, row.updated_at);
            let sealed = cipher::seal(keyring, random, &binding(&place, &row), plaintext)?;
            let put = Put { by: self.by, at: row.updated_at };
            put_version(tx, (id, row.version), sealed, put, self.keep)?;
            changed.push("value");
        }
        tx.put::<Secrets>(&(place.environment, place.key.clone()), &row);
        let draft = about(draft, &place, id, &environment).details(&json!({
            "changed": changed,
            "generated": self.generated,
            "oldVersion": old_version,
            "newVersion": row.version,
        }));
        Ok((info(&place, row), draft))
    }
}
