//! Copying secrets from one environment into another, from ciphertext to ciphertext, without anyone
//! seeing a value: all of them or none.
//!
//! Owns: which secret a copy becomes, and in which reveal mode.
//! Must never: make anything more visible. A copy is never-reveal if its source is, if the secret
//! it replaces is, or, for a new secret, if that is the default of the environment.
//! `cipher::reseal` checks the source's mode again.
//!
//! In the audit log, a copy is one row in the target environment, plus one row for each secret in
//! the target and one in the source: anyone who watches either environment sees what was copied.
//! Each row names the other environment by its id only, because its readers may not be allowed to
//! know that environment.

use std::sync::Arc;

use serde_json::json;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{
    EnvironmentId, KeyName, OnConflict, RevealMode, SecretId, SecretKind, Timestamp, Version,
};
use crate::store::{
    EnvironmentRow, ReadError, SecretPlace, SecretPlaces, SecretRow, Secrets, Tx, View,
};

use crate::vault::crypto::cipher;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::error::{CopyRefusal, Error};
use crate::vault::lookup::{Located, environment_row, find_environment, not_before, update_counts};
use crate::vault::policy::{self, Administer, Permit};
use crate::vault::secret_rows::{Binding, binding, info};
use crate::vault::service::Vault;
use crate::vault::verb_result::{Copied, CopyOutcome};
use crate::vault::verbs::secrets::proven_mode;
use crate::vault::verbs::versions::{PutBy, latch_versions, put_version, sealed_value};

/// The most bytes that one copy writes, because a batch stops all reads while it is applied. Each
/// key counts as a value of the longest length: counting the real lengths would let a caller find
/// out how long a sealed value is, by adding values of known length.
const MAX_BYTES: usize = 4 << 20;

/// Which secrets to copy; the permit names the target environment.
#[derive(Debug, Clone)]
pub struct Copying {
    /// The id or name of the source environment.
    pub from: String,
    /// The keys to copy, without duplicates.
    pub keys: Vec<KeyName>,
    /// What to do about keys that exist in the target.
    pub on_conflict: OnConflict,
}

impl Copying {
    /// The most keys in one copy.
    pub const MAX_KEYS: usize = 100;
}

impl Vault {
    /// Copies secrets into the permit's environment.
    pub async fn copy_secrets(
        &self,
        permit: &Permit<Administer>,
        copying: Copying,
    ) -> Result<Vec<Copied>, Error> {
        let target = permit.environment()?.id();
        let source = self.copy_source(permit, &copying.from).await?;
        if source == target {
            return Err(CopyRefusal::SameEnvironment.into());
        }
        let most = (MAX_BYTES / self.limits.value_bytes).max(1);
        if copying.keys.len() > most {
            return Err(CopyRefusal::TooMany { most }.into());
        }
        let now = self.now();
        let draft = permit.draft(Action::SecretCopy, now);
        let by = permit.actor_name();
        let (keyring, random, keep) =
            (self.keyring.clone(), self.random, self.limits.versions_kept);
        let Copying { keys, on_conflict, .. } = copying;
        self.change(permit, move |tx| {
            let transfer = Transfer {
                source,
                target,
                into: environment_row(tx, target)?,
                from: environment_row(tx, source).map_err(source_error)?,
                draft,
                by,
                now,
                keyring: keyring.current(),
                random,
                keep,
            };
            transfer.apply(tx, &keys, on_conflict)
        })
        .commit_once()
        .await
    }

    /// Finds the source environment, if the caller's scope covers it. A caller whose scope is a
    /// list gets the same answer for a source outside it as for a missing one. The audit row of a
    /// refusal belongs to the source environment, so its readers see it, and the caller learns
    /// nothing from the log either.
    async fn copy_source(
        &self,
        permit: &Permit<Administer>,
        named: &str,
    ) -> Result<EnvironmentId, Error> {
        let found = find_environment(&*self.store, named)?;
        match found {
            Some(id) if permit.covers(id) => Ok(id),
            None if !permit.is_scoped() => {
                Err(source_error(Error::NotFound(ResourceType::Environment)))
            }
            _ => {
                let draft = permit
                    .draft(Action::SecretCopy, self.now())
                    .refused(RefusalCode::ForbiddenScope);
                self.record_refused(self.labelled(draft, found)?).await?;
                Err(source_error(Error::Scope))
            }
        }
    }
}

fn source_error(error: Error) -> Error {
    CopyRefusal::Source(Box::new(error)).into()
}

/// A change that copies secrets.
struct Transfer {
    source: EnvironmentId,
    target: EnvironmentId,
    into: EnvironmentRow,
    from: EnvironmentRow,
    draft: Draft,
    by: String,
    now: Timestamp,
    keyring: Arc<Keyring>,
    random: Random,
    keep: u32,
}

impl Transfer {
    fn apply(
        self,
        tx: &mut Tx<'_>,
        keys: &[KeyName],
        on_conflict: OnConflict,
    ) -> Result<(Vec<Copied>, Draft), Error> {
        self.check(tx, keys, on_conflict)?;
        let mut copied = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            let one = self.copy_one(tx, key, on_conflict);
            copied.push(one.map_err(|error| match error {
                // A failure of the database is not about one secret.
                Error::Read(_) | Error::NoRandomness => error,
                error => CopyRefusal::Secret { at, error: Box::new(error) }.into(),
            })?);
        }
        let number = |outcome| copied.iter().filter(|one| one.outcome == outcome).count();
        let draft = policy::label(self.draft, self.target, &self.into).details(&json!({
            "from": self.source.to_string(),
            "created": number(CopyOutcome::Created),
            "replaced": number(CopyOutcome::Replaced),
            "skipped": number(CopyOutcome::Skipped),
        }));
        Ok((copied, draft))
    }

    /// Checks that every key exists in the source, and, if conflicts fail, that none exists in the
    /// target.
    fn check(&self, tx: &Tx<'_>, keys: &[KeyName], on_conflict: OnConflict) -> Result<(), Error> {
        let indices = |environment, exists: bool| {
            let mut indices = Vec::new();
            for (at, key) in keys.iter().enumerate() {
                if tx.has::<Secrets>(&(environment, key.clone()))? == exists {
                    indices.push(at);
                }
            }
            Ok::<_, ReadError>(indices)
        };
        let missing = indices(self.source, false)?;
        if !missing.is_empty() {
            return Err(CopyRefusal::Missing(missing).into());
        }
        let taken = indices(self.target, true)?;
        if on_conflict == OnConflict::Fail && !taken.is_empty() {
            return Err(CopyRefusal::Taken(taken).into());
        }
        Ok(())
    }

    fn copy_one(
        &self,
        tx: &mut Tx<'_>,
        key: &KeyName,
        on_conflict: OnConflict,
    ) -> Result<Copied, Error> {
        let from = SecretPlace { environment: self.source, key: key.clone() };
        let to = SecretPlace { environment: self.target, key: key.clone() };
        let missing = Error::NotFound(ResourceType::Secret);
        let source = row(tx, &from)?.ok_or(missing)?;
        let present = row(tx, &to)?;
        if on_conflict == OnConflict::Skip
            && let Some(present) = present
        {
            return Ok(Copied { outcome: CopyOutcome::Skipped, secret: info(&to, present) });
        }
        let (outcome, new) = match present {
            Some(present) => (CopyOutcome::Replaced, self.replace(tx, &to, present, &source)?),
            None => (CopyOutcome::Created, self.create(tx, &to, &source)?),
        };
        let damaged = Error::Damaged(ResourceType::Secret);
        let sealed = sealed_value(tx, (source.id, source.version))?.ok_or(damaged)?;
        let sealed = cipher::reseal(
            &self.keyring,
            self.random,
            &binding(&from, &source),
            sealed,
            &binding(&to, &new),
        )?;
        let put_by = PutBy { name: self.by.clone(), at: new.updated_at };
        put_version(tx, (new.id, new.version), sealed, put_by, self.keep)?;
        tx.put::<Secrets>(&(self.target, key.clone()), &new);
        self.record(tx, key, &source, &new);
        Ok(Copied { outcome, secret: info(&to, new) })
    }

    /// Builds the row of a new secret in the target.
    fn create(
        &self,
        tx: &mut Tx<'_>,
        to: &SecretPlace,
        source: &SecretRow,
    ) -> Result<SecretRow, Error> {
        let never = source.mode.never_reveal() || self.into.settings.never_reveal_by_default;
        let row = SecretRow {
            id: SecretId::new(self.now, self.random.bytes()?),
            description: source.description.clone(),
            mode: RevealMode::from_never_reveal(never),
            version: Version::FIRST,
            created_at: self.now,
            updated_at: self.now,
        };
        tx.put::<SecretPlaces>(&row.id, to);
        update_counts(tx, self.target, |counts| counts.secrets += 1)?;
        Ok(row)
    }

    /// Builds the row of an existing secret in the target, which gets a new version. A never-reveal
    /// source latches it, including its old versions.
    fn replace(
        &self,
        tx: &mut Tx<'_>,
        to: &SecretPlace,
        mut present: SecretRow,
        source: &SecretRow,
    ) -> Result<SecretRow, Error> {
        let latches = source.mode.never_reveal();
        let current = binding(to, &present);
        if !present.mode.never_reveal() {
            present.mode = proven_mode(tx, &self.keyring, &current, !latches)?;
        }
        if latches && !present.mode.never_reveal() {
            // No old version is needed: a new one is about to be put.
            latch_versions(tx, present.id, None, |version, sealed| {
                let from = Binding { version, ..current.clone() };
                cipher::latch(&self.keyring, self.random, &from, &sealed.data_key)
            })?;
            present.mode = RevealMode::NeverReveal;
        }
        present.version = present.version.next().ok_or(Error::VersionsExhausted)?;
        present.updated_at = not_before(self.now, present.updated_at);
        Ok(present)
    }

    /// Adds the audit row in the target environment, and the one in the source environment.
    fn record(&self, tx: &mut Tx<'_>, key: &KeyName, source: &SecretRow, new: &SecretRow) {
        let about = |id: SecretId, environment, row| {
            policy::label(self.draft.clone(), environment, row).on(id, Some(key.as_str()))
        };
        let old = (new.version != Version::FIRST).then(|| new.version.get() - 1);
        tx.also(about(new.id, self.target, &self.into).details(&json!({
            "from": self.source.to_string(),
            "fromVersion": source.version,
            "neverReveal": new.mode.never_reveal(),
            "oldVersion": old,
            "newVersion": new.version,
        })));
        tx.also(about(source.id, self.source, &self.from).details(&json!({
            "to": self.target.to_string(),
            "version": source.version,
        })));
    }
}

/// Reads the secret at a place. A secret whose own place leads elsewhere is damaged.
fn row(view: &impl View, place: &SecretPlace) -> Result<Option<SecretRow>, Error> {
    let damaged = Error::damaged_or(ResourceType::Secret);
    let at = (place.environment, place.key.clone());
    let Some(row) = view.get::<Secrets>(&at).map_err(damaged)? else { return Ok(None) };
    let leads = SecretKind::place(view, row.id).map_err(damaged)?;
    let whole =
        leads.is_some_and(|leads| leads.environment == place.environment && leads.key == place.key);
    if whole { Ok(Some(row)) } else { Err(Error::Damaged(ResourceType::Secret)) }
}
