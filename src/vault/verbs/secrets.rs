//! The verbs on secrets.
//!
//! Must never: return a value, except from `reveal_secret`.

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

use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::lookup::{
    Page, check_version, environment_row, locate, not_before, update_counts,
};
use crate::vault::plaintext::{Plaintext, Revealed};
use crate::vault::policy::{self, Permit, Read, Reveal, Revealable, Write, may_reveal};
use crate::vault::secret_rows::{Binding, binding, info};
use crate::vault::service::Vault;
use crate::vault::verbs::delete::delete;
use crate::vault::verbs::value::NewValue;
use crate::vault::verbs::versions::{PutBy, latch_versions, numbers, put_version, sealed_value};

/// A secret to create.
#[allow(missing_debug_implementations)]
pub struct NewSecret {
    /// The key.
    pub key: KeyName,
    /// The first value.
    pub value: NewValue,
    /// What the secret is for.
    pub description: Description,
    /// Whether the secret is never-reveal; `None` uses the default of the environment's settings.
    pub never_reveal: Option<bool>,
}

/// Changes to a secret; a `None` leaves the member as it is.
#[allow(missing_debug_implementations)]
pub struct SecretPatch {
    /// A new value, which makes a new version even if it equals the current one.
    pub value: Option<NewValue>,
    /// A new description.
    pub description: Option<Description>,
    /// `true` makes the secret never-reveal; `false` is refused for a never-reveal secret.
    pub never_reveal: Option<bool>,
    /// The versions that the caller expects: one of them must be current.
    pub expected: Option<Vec<u32>>,
}

impl Vault {
    /// Returns whether a secret with this key exists. The caller must have checked that the
    /// environment may be read.
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
        let create = SecretCreation {
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
            create.apply(tx, environment_id, draft, &keyring.current(), random)
        })
        .commit_once()
        .await
    }

    /// Lists a page of the secrets in the permit's environment, by key in byte order. May block on
    /// the disk.
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
        // If the environment was deleted during the scan, the list is incomplete.
        environment_row(&*self.store, environment)?;
        listed
    }

    /// Returns a secret by its id, without its value.
    pub async fn read_secret(&self, permit: &Permit<Read>, id: &str) -> Result<SecretInfo, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretRead, id).await?;
        let (place, row) = locate(&*self.store, id)?;
        Ok(info(&place, row))
    }

    /// Reveals the value of a secret to a person. The decision is made inside the writer, so it
    /// cannot overtake a latch that was already acknowledged. The value is opened only after the
    /// audit row is durable.
    pub async fn reveal_secret(&self, permit: Permit<Reveal>, id: &str) -> Result<Revealed, Error> {
        let id = self.reach::<SecretKind, _>(&permit, Action::SecretReveal, id).await?;
        let now = self.now();
        let draft = permit.draft(Action::SecretReveal, now);
        let shared = self.keyring.clone();
        // The change owns the permit, so the credential is checked here and not by `Vault::change`.
        let guard = permit.credential_guard(now);
        let ticket = self
            .store
            .change(move |tx| {
                if let Err(revoked) = guard.check(tx) {
                    let row = draft.on(id, None).refused(RefusalCode::Unauthorized);
                    return Ok(Decision::refused(revoked, row));
                }
                // The ticket keeps its keyring: when the value is opened, a later keyring may no
                // longer have the wrapping key.
                let keyring = shared.current();
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

    /// Updates a secret.
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
        let update = SecretUpdate {
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
        self.change(permit, move |tx| update.apply(tx, id, draft, &keyring.current(), random))
            .commit()
            .await
    }

    /// Deletes a secret. Its key is free at once, and no request can reach its values again. A
    /// secret whose row is damaged can be deleted too.
    pub async fn delete_secret(
        &self,
        permit: &Permit<Write>,
        id: &str,
        expected: Option<Vec<u32>>,
    ) -> Result<(), Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretDelete, id).await?;
        let draft = permit.draft(Action::SecretDelete, self.now());
        self.change(permit, move |tx| delete::<SecretKind>(tx, id, expected.as_deref(), draft))
            .from_reserve()
            .commit()
            .await
    }
}

fn about(draft: Draft, place: &SecretPlace, id: SecretId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

/// Reads a secret, and labels its audit row.
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

/// Decides about a reveal. Returns the ticket, or the refusal and its code.
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
    // The secret's row names this version, so a missing version is damage.
    let missing = Error::Damaged(ResourceType::Secret);
    let sealed = sealed_value(tx, at).and_then(|sealed| sealed.ok_or(missing));
    let ticket = grant.on(sealed.map_err(unreadable)?);
    cipher::check(keyring, &ticket).map_err(unreadable)?;
    Ok(ticket)
}

/// Returns the strictest mode that any kept version of a secret was sealed for; `None` if no
/// version unwraps.
fn sealed_mode(
    tx: &Tx<'_>,
    keyring: &Keyring,
    current: &Binding,
) -> Result<Option<RevealMode>, Error> {
    let mut strictest = None;
    for version in numbers(tx, current.secret)? {
        let row = match tx.get::<Versions>(&(current.secret, version)) {
            Ok(Some(row)) => row,
            Ok(None) | Err(ReadError::Damaged { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let binding = Binding { version, ..current.clone() };
        match cipher::sealed_mode(keyring, &binding, &row.data_key) {
            Some(RevealMode::NeverReveal) => return Ok(Some(RevealMode::NeverReveal)),
            Some(RevealMode::Revealable) => strictest = Some(RevealMode::Revealable),
            None => {}
        }
    }
    Ok(strictest)
}

/// A change that creates a secret.
pub(super) struct SecretCreation {
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

impl SecretCreation {
    pub fn apply(
        self,
        tx: &mut Tx<'_>,
        environment_id: EnvironmentId,
        draft: Draft,
        keyring: &Keyring,
        random: Random,
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
        let put_by = PutBy { name: self.by, at: self.now };
        put_version(tx, (row.id, Version::FIRST), sealed, put_by, self.keep)?;
        tx.put::<Secrets>(&at, &row);
        tx.put::<SecretPlaces>(&row.id, &place);
        update_counts(tx, environment_id, |counts| counts.secrets += 1)?;
        let draft = about(draft, &place, row.id, &environment).details(
            &json!({ "neverReveal": never, "generated": self.generated, "newVersion": 1 }),
        );
        Ok((info(&place, row), draft))
    }
}

/// Returns the mode of a secret whose row says that it is revealable. Someone who can write the
/// database, but has no key, could clear the flag and wait for the next value. The data keys show
/// the real mode. If none of them unwraps, a new revealable value would rely on the flag alone:
/// with `needs_proof`, that is refused.
pub(super) fn proven_mode(
    tx: &Tx<'_>,
    keyring: &Keyring,
    current: &Binding,
    needs_proof: bool,
) -> Result<RevealMode, Error> {
    match sealed_mode(tx, keyring, current)? {
        Some(RevealMode::NeverReveal) => {
            let id = current.secret;
            log::error!("the neverReveal flag of {id} was cleared in the database");
            Ok(RevealMode::NeverReveal)
        }
        None if needs_proof => Err(Error::Damaged(ResourceType::Secret)),
        Some(RevealMode::Revealable) | None => Ok(RevealMode::Revealable),
    }
}

/// A change that updates a secret.
pub(super) struct SecretUpdate {
    pub value: Option<Plaintext>,
    pub generated: bool,
    pub description: Option<Description>,
    pub never_reveal: Option<bool>,
    pub expected: Option<Vec<u32>>,
    pub by: String,
    pub now: Timestamp,
    pub keep: u32,
}

impl SecretUpdate {
    pub fn apply(
        self,
        tx: &mut Tx<'_>,
        id: SecretId,
        draft: Draft,
        keyring: &Keyring,
        random: Random,
    ) -> Result<(SecretInfo, Draft), Error> {
        let (place, mut row) = locate::<SecretKind>(tx, id)?;
        let environment = environment_row(tx, place.environment)?;
        let old_version = row.version;
        let mut changed = Vec::new();
        if !row.mode.never_reveal() {
            let needs_proof = self.value.is_some() && self.never_reveal != Some(true);
            row.mode = proven_mode(tx, keyring, &binding(&place, &row), needs_proof)?;
            if row.mode.never_reveal() {
                changed.push("neverReveal");
            }
        }
        if self.never_reveal == Some(false) && row.mode.never_reveal() {
            return Err(Error::NeverRevealIsPermanent);
        }
        check_version(self.expected.as_deref(), row.version)?;
        if self.never_reveal == Some(true) && !row.mode.never_reveal() {
            let current = binding(&place, &row);
            // The current version must open, unless a new value replaces it.
            let needed = self.value.is_none().then_some(row.version);
            latch_versions(tx, id, needed, |version, sealed| {
                let from = Binding { version, ..current.clone() };
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
            let put_by = PutBy { name: self.by, at: row.updated_at };
            put_version(tx, (id, row.version), sealed, put_by, self.keep)?;
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
