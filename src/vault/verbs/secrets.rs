//! The verbs on secrets.

use serde_json::json;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{
    Description, EnvironmentId, KeyName, RevealMode, SecretId, SecretInfo, SecretKind, Timestamp,
    Version,
};
use crate::store::{
    Decision, EnvironmentRow, ReadError, SecretPlace, SecretPlaces, SecretRow, Secrets, Tx,
    Versions, View,
};

use crate::vault::Vault;
use crate::vault::crypto::cipher::{self, Binding};
use crate::vault::crypto::keyring::Keyring;
use crate::vault::error::Error;
use crate::vault::lookup::Page;
use crate::vault::lookup::{Placed, count, environment_row, locate, not_before};
use crate::vault::plaintext::{Plaintext, Revealed};
use crate::vault::policy::{self, Permit, Read, Reveal, Write};
use crate::vault::policy::{Revealable, may_reveal};
use crate::vault::verbs::value::NewValue;
use crate::vault::verbs::versions::{
    Put, latch_versions, numbers, put_version, remove_versions, sealed_value,
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
pub(in crate::vault) fn binding(place: &SecretPlace, row: &SecretRow) -> Binding {
    Binding {
        environment: place.environment,
        secret: row.id,
        key: place.key.clone(),
        version: row.version,
        mode: row.mode,
    }
}

/// What may be told about a secret.
pub(in crate::vault) fn info(place: &SecretPlace, row: SecretRow) -> SecretInfo {
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
pub(in crate::vault) fn check_expected(
    expected: Option<&[u32]>,
    current: Version,
) -> Result<(), Error> {
    match expected {
        Some(versions) if !versions.contains(&current.get()) => {
            Err(Error::OtherVersion { current })
        }
        _ => Ok(()),
    }
}

impl Vault {
    /// Whether there is a secret of this key. For who may read the environment.
    pub fn has_secret(&self, environment: EnvironmentId, key: &KeyName) -> bool {
        self.store.has::<Secrets>(&(environment, key.clone())).unwrap_or(false)
    }

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
        let create = Create {
            id,
            key: new.key,
            value: plaintext,
            generated,
            description: new.description,
            never_reveal: new.never_reveal,
            by: permit.actor_name(),
            now,
            keep: self.limits.versions_kept,
        };
        let draft = permit.draft(Action::SecretCreate, now);
        let (keyring, random) = (self.keyring.clone(), self.random);
        self.change(permit, move |tx| {
            create.apply(tx, environment_id, draft, &keyring.now(), random)
        })
        .commit_once()
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
        let now = self.now();
        let draft = permit.draft(Action::SecretReveal, now);
        let keyring = self.keyring.clone();
        // The permit goes into the change, so the guard is written out here.
        let standing = permit.standing(now);
        let ticket = self
            .store
            .change(move |tx| {
                if let Err(ended) = standing.check(tx) {
                    let row = draft.on(id, None).refused(RefusalCode::Unauthorized);
                    return Ok(Decision::refused(ended, row));
                }
                // The keys of this moment go along with the ticket: what it holds may
                // have been wrapped again, and the old key retired, when it is opened.
                let keyring = keyring.now();
                let (draft, environment, row, place) = match about_secret(tx, id, draft.clone()) {
                    Ok(about) => about,
                    Err(damaged @ Error::Damaged(_)) => {
                        let row = draft.on(id, None).refused(RefusalCode::SecretUnreadable);
                        return Ok(Decision::refused(damaged, row));
                    }
                    Err(error) => return Err(error),
                };
                let decided =
                    reveal_ticket(tx, &permit, &keyring, &environment, binding(&place, &row));
                Ok(match decided {
                    Ok(ticket) => Decision::Applied((ticket, keyring), vec![draft]),
                    Err((refusal, code)) => Decision::refused(refusal, draft.refused(code)),
                })
            })
            .commit();
        let (ticket, keyring) = ticket.await.map_err(Error::from)?;
        cipher::reveal(&keyring, ticket)
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
        self.change(permit, move |tx| update.apply(tx, id, draft, &keyring.now(), random))
            .commit()
            .await
    }

    /// Deletes a secret; its key is free at once, and no request can reach its
    /// values again. One whose row is damaged can still be deleted.
    pub async fn delete_secret(
        &self,
        permit: &Permit<Write>,
        id: &str,
        expected: Option<Vec<u32>>,
    ) -> Result<(), Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretDelete, id).await?;
        let draft = permit.draft(Action::SecretDelete, self.now());
        self.change(permit, move |tx| {
            let version = match locate::<SecretKind>(tx, id) {
                Ok((_, row)) => {
                    check_expected(expected.as_deref(), row.version)?;
                    Some(row.version)
                }
                Err(Error::Damaged(_)) if expected.is_none() => None,
                Err(error) => return Err(error),
            };
            let missing = Error::NotFound(ResourceType::Secret);
            let place = SecretKind::place(tx, id)?.ok_or(missing)?;
            let environment = environment_row(tx, place.environment)?;
            if remove_secret(tx, &place, id)? {
                count(tx, place.environment, |counts| {
                    counts.secrets = counts.secrets.saturating_sub(1)
                })?;
            }
            let draft =
                about(draft, &place, id, &environment).details(&json!({ "oldVersion": version }));
            Ok(((), draft))
        })
        .from_reserve()
        .commit()
        .await
    }
}

/// Removes every row of a secret; whether its own row was among them. A place
/// that was made to lead to another secret's row must not take that away.
pub(in crate::vault) fn remove_secret(
    tx: &mut Tx<'_>,
    place: &SecretPlace,
    id: SecretId,
) -> Result<bool, Error> {
    remove_versions(tx, id)?;
    tx.remove::<SecretPlaces>(&id);
    let at = (place.environment, place.key.clone());
    let own = match tx.get::<Secrets>(&at) {
        Ok(row) => row.is_some_and(|row| row.id == id),
        Err(ReadError::Damaged { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if own {
        tx.remove::<Secrets>(&at);
    }
    Ok(own)
}

fn about(draft: Draft, place: &SecretPlace, id: SecretId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

/// The secret and what its audit row says about it.
fn about_secret(
    tx: &Tx<'_>,
    id: SecretId,
    draft: Draft,
) -> Result<(Draft, EnvironmentRow, SecretRow, SecretPlace), Error> {
    let (place, row) = locate::<SecretKind>(tx, id)?;
    let environment = environment_row(tx, place.environment)?;
    let draft = about(draft, &place, id, &environment).details(&json!({ "version": row.version }));
    Ok((draft, environment, row, place))
}

/// The ticket for a reveal, or the refusal and its code.
fn reveal_ticket(
    tx: &Tx<'_>,
    permit: &Permit<Reveal>,
    keyring: &Keyring,
    environment: &EnvironmentRow,
    binding: Binding,
) -> Result<Revealable, (Error, RefusalCode)> {
    let at = (binding.secret, binding.version);
    let grant = may_reveal(permit, &environment.settings, binding).map_err(|refusal| {
        let disabled = matches!(refusal, Error::RevealDisabled);
        (refusal, if disabled { RefusalCode::RevealDisabled } else { RefusalCode::SecretWriteOnly })
    })?;
    let unreadable = |error| (error, RefusalCode::SecretUnreadable);
    // The secret's row names the version; one that is not there is damage.
    let missing = Error::Damaged(ResourceType::Secret);
    let sealed = sealed_value(tx, at).and_then(|sealed| sealed.ok_or(missing));
    let ticket = grant.on(sealed.map_err(unreadable)?);
    cipher::check(keyring, &ticket).map_err(unreadable)?;
    Ok(ticket)
}

/// The strictest mode that any kept version of a secret was sealed for; `None`
/// when no version can tell.
fn sealed_mode(
    tx: &Tx<'_>,
    keyring: &Keyring,
    bound: &Binding,
) -> Result<Option<RevealMode>, Error> {
    let mut strictest = None;
    for version in numbers(tx, bound.secret)? {
        let row = match tx.get::<Versions>(&(bound.secret, version)) {
            Ok(Some(row)) => row,
            Ok(None) | Err(ReadError::Damaged { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let bound = Binding { version, ..bound.clone() };
        match cipher::sealed_mode(keyring, &bound, &row.data_key) {
            Some(RevealMode::NeverReveal) => return Ok(Some(RevealMode::NeverReveal)),
            Some(RevealMode::Revealable) => strictest = Some(RevealMode::Revealable),
            None => {}
        }
    }
    Ok(strictest)
}

/// A new secret on its way through the writer.
pub(in crate::vault) struct Create {
    pub id: SecretId,
    pub key: KeyName,
    pub value: Plaintext,
    pub generated: bool,
    pub description: Description,
    pub never_reveal: Option<bool>,
    pub by: String,
    pub now: Timestamp,
    pub keep: u32,
}

impl Create {
    pub(in crate::vault) fn apply(
        self,
        tx: &mut Tx<'_>,
        environment_id: EnvironmentId,
        draft: Draft,
        keyring: &Keyring,
        random: crate::vault::crypto::random::Random,
    ) -> Result<(SecretInfo, Draft), Error> {
        let environment = environment_row(tx, environment_id)?;
        let place = SecretPlace { environment: environment_id, key: self.key };
        let at = (environment_id, place.key.clone());
        if tx.has::<Secrets>(&at)? {
            return Err(Error::Exists(ResourceType::Secret));
        }
        let never = self.never_reveal.unwrap_or(environment.settings.never_reveal_by_default);
        let row = SecretRow {
            id: self.id,
            description: self.description,
            mode: RevealMode::from_never_reveal(never),
            version: Version::FIRST,
            created_at: self.now,
            updated_at: self.now,
        };
        let sealed = cipher::seal(keyring, random, &binding(&place, &row), self.value)?;
        let put = Put { by: self.by, at: self.now };
        put_version(tx, (row.id, Version::FIRST), sealed, put, self.keep)?;
        tx.put::<Secrets>(&at, &row);
        tx.put::<SecretPlaces>(&row.id, &place);
        count(tx, environment_id, |counts| counts.secrets += 1)?;
        let draft = about(draft, &place, row.id, &environment).details(
            &json!({ "neverReveal": never, "generated": self.generated, "newVersion": 1 }),
        );
        Ok((info(&place, row), draft))
    }
}

/// The mode of a secret whose row says that it is revealable. Somebody who can
/// write the database, but has no key, could clear the flag and wait for the
/// next value. The data keys know better; and where none of them can tell,
/// `trust` says whether a value would be taken on trust, which is refused.
pub(in crate::vault) fn trusted_mode(
    tx: &Tx<'_>,
    keyring: &Keyring,
    bound: &Binding,
    trust: bool,
) -> Result<RevealMode, Error> {
    match sealed_mode(tx, keyring, bound)? {
        Some(RevealMode::NeverReveal) => {
            let id = bound.secret;
            log::error!("the neverReveal flag of {id} was cleared in the database");
            Ok(RevealMode::NeverReveal)
        }
        None if trust => Err(Error::Damaged(ResourceType::Secret)),
        Some(RevealMode::Revealable) | None => Ok(RevealMode::Revealable),
    }
}

/// A patch on its way through the writer.
pub(in crate::vault) struct Update {
    pub value: Option<Plaintext>,
    pub generated: bool,
    pub description: Option<Description>,
    pub never_reveal: Option<bool>,
    pub expected: Option<Vec<u32>>,
    pub by: String,
    pub now: Timestamp,
    pub keep: u32,
}

impl Update {
    pub(in crate::vault) fn apply(
        self,
        tx: &mut Tx<'_>,
        id: SecretId,
        draft: Draft,
        keyring: &Keyring,
        random: crate::vault::crypto::random::Random,
    ) -> Result<(SecretInfo, Draft), Error> {
        let (place, mut row) = locate::<SecretKind>(tx, id)?;
        let environment = environment_row(tx, place.environment)?;
        let old_version = row.version;
        let mut changed = Vec::new();
        if !row.mode.never_reveal() {
            let trust = self.value.is_some() && self.never_reveal != Some(true);
            row.mode = trusted_mode(tx, keyring, &binding(&place, &row), trust)?;
            if row.mode.never_reveal() {
                changed.push("neverReveal");
            }
        }
        if self.never_reveal == Some(false) && row.mode.never_reveal() {
            return Err(Error::NeverRevealIsForGood);
        }
        check_expected(self.expected.as_deref(), row.version)?;
        if self.never_reveal == Some(true) && !row.mode.never_reveal() {
            let now_bound = binding(&place, &row);
            // A version that is about to be replaced need not be readable.
            let needed = self.value.is_none().then_some(row.version);
            latch_versions(tx, id, needed, |version, sealed| {
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
