//! Copying secrets from one environment into another, without anyone seeing a
//! value: from ciphertext to ciphertext, all of them or none.
//!
//! Owns: which secret a copy becomes, and how strict it is.
//! Must never: loosen anything. A copy is never-reveal if its source is, if what
//! it replaces is, or if that is the default where it is new; `cipher::reseal`
//! refuses the rest a second time.
//!
//! In the audit log a copy is a row in the target's environment, and for each
//! secret one more there and one in the source's: whoever watches over either
//! sees what went where. Each row names the other environment by its id only,
//! because its readers need not be allowed to know of it.

use std::sync::Arc;

use serde_json::json;

use crate::audit::{Action, Draft, RefusalCode, ResourceType};
use crate::domain::{
    EnvironmentId, KeyName, OnConflict, RevealMode, SecretId, SecretInfo, SecretKind, Timestamp,
    Version,
};
use crate::store::{
    EnvironmentRow, ReadError, SecretPlace, SecretPlaces, SecretRow, Secrets, Tx, View,
};

use crate::vault::Vault;
use crate::vault::crypto::cipher::{self, Binding};
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::lookup::{Placed, count, environment_row, find_environment, not_before};
use crate::vault::policy::{self, Administer, Permit};
use crate::vault::verbs::secrets::{binding, info, trusted_mode};
use crate::vault::verbs::versions::{Put, latch_versions, put_version, sealed_value};

/// Bytes that one copy may write: a batch stops all reads while it is applied. Each
/// key counts as the longest value there may be. To count what is really written
/// would tell whoever tries with values of known length how long a sealed one is.
const MOST_BYTES: usize = 4 << 20;

/// Which secrets to copy; the permit says where to.
#[derive(Debug, Clone)]
pub struct Copying {
    /// The environment that they are in: its id or name.
    pub from: String,
    /// Their keys, each once.
    pub keys: Vec<KeyName>,
    /// What to do about keys that are taken.
    pub on_conflict: OnConflict,
}

impl Copying {
    /// Most secrets of one copy.
    pub const MOST_KEYS: usize = 100;
}

/// What became of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// The target has a new secret.
    Created,
    /// A secret of the target has a new version.
    Replaced,
    /// The target had that key and was left alone.
    Skipped,
}

/// One secret of a copy: what became of it, and the target's secret.
#[derive(Debug, Clone)]
pub struct Copied {
    /// What became of it.
    pub outcome: CopyOutcome,
    /// As it is in the target now.
    pub secret: SecretInfo,
}

/// Why nothing was copied. Places are those in the list of keys.
#[derive(Debug, thiserror::Error)]
pub enum CopyRefusal {
    /// The source is not there, or not for this caller.
    #[error("the source: {0}")]
    Source(Box<Error>),
    /// Source and target are the same environment.
    #[error("an environment cannot be copied into itself")]
    SameEnvironment,
    /// The source has no secrets with these keys.
    #[error("{} keys are not in the source", .0.len())]
    Missing(Vec<usize>),
    /// The target has secrets with these keys.
    #[error("{} keys are taken", .0.len())]
    Taken(Vec<usize>),
    /// There are too many for one copy.
    #[error("more than {most} keys at once")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// One secret cannot be copied.
    #[error("key {at}: {error}")]
    Secret {
        /// Its place.
        at: usize,
        /// Why.
        error: Box<Error>,
    },
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
        let most = (MOST_BYTES / self.limits.value_bytes).max(1);
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
                keyring: keyring.now(),
                random,
                keep,
            };
            transfer.apply(tx, &keys, on_conflict)
        })
        .commit_once()
        .await
    }

    /// The source, if the caller's scope covers it. To a caller whose scope is a
    /// list, one that it does not cover and one that is not there are the same.
    /// The refusal's row is labelled with the source, so that whoever may read
    /// about that sees it, and the caller learns nothing from the log either.
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

/// A copy on its way through the writer.
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
            let one = self.one(tx, key, on_conflict);
            copied.push(one.map_err(|error| match error {
                // What is wrong with the database is not about one secret.
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

    /// That every key is in the source, and, if it must not be, none in the target.
    fn check(&self, tx: &Tx<'_>, keys: &[KeyName], on_conflict: OnConflict) -> Result<(), Error> {
        let places = |environment, there: bool| {
            let mut places = Vec::new();
            for (at, key) in keys.iter().enumerate() {
                if tx.has::<Secrets>(&(environment, key.clone()))? == there {
                    places.push(at);
                }
            }
            Ok::<_, ReadError>(places)
        };
        let missing = places(self.source, false)?;
        if !missing.is_empty() {
            return Err(CopyRefusal::Missing(missing).into());
        }
        let taken = places(self.target, true)?;
        if on_conflict == OnConflict::Fail && !taken.is_empty() {
            return Err(CopyRefusal::Taken(taken).into());
        }
        Ok(())
    }

    fn one(
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
            Some(present) => (CopyOutcome::Replaced, self.replaced(tx, &to, present, &source)?),
            None => (CopyOutcome::Created, self.created(tx, &to, &source)?),
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
        let put = Put { by: self.by.clone(), at: new.updated_at };
        put_version(tx, (new.id, new.version), sealed, put, self.keep)?;
        tx.put::<Secrets>(&(self.target, key.clone()), &new);
        self.record(tx, key, &source, &new);
        Ok(Copied { outcome, secret: info(&to, new) })
    }

    /// The row of a secret that is new in the target.
    fn created(
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
        count(tx, self.target, |counts| counts.secrets += 1)?;
        Ok(row)
    }

    /// The row of a secret of the target that gets a new version. A sealed source
    /// latches it, with the versions that it had.
    fn replaced(
        &self,
        tx: &mut Tx<'_>,
        to: &SecretPlace,
        mut present: SecretRow,
        source: &SecretRow,
    ) -> Result<SecretRow, Error> {
        let latches = source.mode.never_reveal();
        let bound = binding(to, &present);
        if !present.mode.never_reveal() {
            present.mode = trusted_mode(tx, &self.keyring, &bound, !latches)?;
        }
        if latches && !present.mode.never_reveal() {
            // None of the old versions is needed: a new one is about to be put.
            latch_versions(tx, present.id, None, |version, sealed| {
                let from = Binding { version, ..bound.clone() };
                cipher::latch(&self.keyring, self.random, &from, &sealed.data_key)
            })?;
            present.mode = RevealMode::NeverReveal;
        }
        present.version = present.version.next().ok_or(Error::VersionsExhausted)?;
        present.updated_at = not_before(self.now, present.updated_at);
        Ok(present)
    }

    /// A row for whoever watches over the target, one for the source's.
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

/// The secret at a place, if there is one. One whose own place leads elsewhere
/// is damaged.
fn row(view: &impl View, place: &SecretPlace) -> Result<Option<SecretRow>, Error> {
    let damaged = |error| match error {
        ReadError::Damaged { .. } => Error::Damaged(ResourceType::Secret),
        error => Error::Read(error),
    };
    let at = (place.environment, place.key.clone());
    let Some(row) = view.get::<Secrets>(&at).map_err(damaged)? else { return Ok(None) };
    let leads = SecretKind::place(view, row.id).map_err(damaged)?;
    let whole =
        leads.is_some_and(|leads| leads.environment == place.environment && leads.key == place.key);
    if whole { Ok(Some(row)) } else { Err(Error::Damaged(ResourceType::Secret)) }
}
