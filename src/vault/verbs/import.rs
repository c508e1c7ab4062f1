//! Imports: many secrets or vars in one change, all of them or none.
//!
//! The rules are those of creating and updating one: a secret that is never
//! revealed stays so when it is replaced, the environment's settings decide about a
//! new one that does not say. Each item that was written has an audit row, in the
//! same batch; what was skipped has none, because nothing happened to it.

use zeroize::Zeroizing;

use crate::audit::{Action, Draft};
use crate::domain::{
    Description, EnvironmentId, KeyName, OnConflict, SecretId, Timestamp, VarId, Version,
};
use crate::formats::{BadInput, InputFormat};
use crate::store::{Secrets, Tx, Vars, View};

use crate::vault::Vault;
use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::lookup::environment_row;
use crate::vault::plaintext::Plaintext;
use crate::vault::policy::{Permit, Write};
use crate::vault::verbs::secrets::{Create, Update};
use crate::vault::verbs::vars::{self, NewVar, VarPatch};

/// What is to be imported. Every key stands in it once.
#[allow(missing_debug_implementations)]
pub struct Import<T> {
    /// The items.
    pub items: Vec<T>,
    /// What becomes of those whose key is there already.
    pub on_conflict: OnConflict,
    /// Whether only to tell what would happen.
    pub dry_run: bool,
}

/// A secret of an import.
#[allow(missing_debug_implementations)]
pub struct ImportedSecret {
    /// Its key.
    pub key: KeyName,
    /// Its value.
    pub value: Plaintext,
    /// What it is for; `None` leaves an existing one's description alone.
    pub description: Option<Description>,
    /// As in [`crate::vault::verbs::secrets::NewSecret`] and [`crate::vault::verbs::secrets::SecretPatch`].
    pub never_reveal: Option<bool>,
}

/// The keys and values of a `.env` file, in its order; every key stands in it once.
/// What is refused names a line and nothing of a value.
pub fn read_dotenv(text: &str) -> Result<Vec<(KeyName, Zeroizing<String>)>, BadInput> {
    let entries = InputFormat::Dotenv.read(text)?.into_list();
    Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    Created,
    /// It has a new version.
    Replaced,
    /// It was there, and stays as it was.
    Skipped,
    /// It is there, and so nothing would be imported.
    Conflict,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [Self::Created, Self::Replaced, Self::Skipped, Self::Conflict];

    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Skipped => "skipped",
            Self::Conflict => "conflict",
        }
    }
}

/// An item as it is after an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its key.
    pub key: KeyName,
    /// What became of it.
    pub outcome: Outcome,
    /// The version that is in force.
    pub version: Version,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Whether it was only rehearsed.
    pub dry_run: bool,
    /// The items, in their order.
    pub items: Vec<Imported>,
}

impl Vault {
    /// Imports secrets into the environment of the permit.
    pub async fn import_secrets(
        &self,
        permit: &Permit<Write>,
        import: Import<ImportedSecret>,
    ) -> Result<ImportReport, Error> {
        let limit = self.limits.value_bytes;
        let now = self.now();
        let mut items = Vec::with_capacity(import.items.len());
        for (index, item) in import.items.into_iter().enumerate() {
            if !item.value.fits(limit) {
                return Err(of_item("secrets", index)(Error::ValueSize { limit }));
            }
            items.push((SecretId::new(now, self.random.bytes()?), item));
        }
        let writing = Writing {
            environment: permit.environment()?.id(),
            list: "secrets",
            on_conflict: import.on_conflict,
            dry_run: import.dry_run,
            draft: permit.draft(Action::SecretImport, now),
            by: permit.actor_name(),
            now,
            keep: self.limits.versions_kept,
        };
        let (keyring, random) = (self.keyring.clone(), self.random);
        let change = move |tx: &mut Tx<'_>| {
            let keyring = keyring.now();
            writing.run(tx, items, |writing, tx, (id, item)| {
                writing.secret(tx, id, item, &keyring, random)
            })
        };
        self.change(permit, change).dry_run(import.dry_run).commit_once().await
    }

    /// Imports vars into the environment of the permit.
    pub async fn import_vars(
        &self,
        permit: &Permit<Write>,
        import: Import<(NewVar, bool)>,
    ) -> Result<ImportReport, Error> {
        let now = self.now();
        let mut items = Vec::with_capacity(import.items.len());
        for (index, item) in import.items.into_iter().enumerate() {
            self.check_size(&item.0.value).map_err(of_item("vars", index))?;
            items.push((VarId::new(now, self.random.bytes()?), item));
        }
        let writing = Writing {
            environment: permit.environment()?.id(),
            list: "vars",
            on_conflict: import.on_conflict,
            dry_run: import.dry_run,
            draft: permit.draft(Action::VarImport, now),
            by: permit.actor_name(),
            now,
            keep: self.limits.versions_kept,
        };
        let change = move |tx: &mut Tx<'_>| {
            writing.run(tx, items, |writing, tx, (id, item)| writing.var(tx, id, item))
        };
        self.change(permit, change).dry_run(import.dry_run).commit_once().await
    }
}

/// Names the item that an error is about.
fn of_item(list: &'static str, index: usize) -> impl FnOnce(Error) -> Error {
    move |error| Error::OfItem { list, index, error: Box::new(error) }
}

/// An item and the audit row about it, if something was written.
type Done = (Imported, Option<Draft>);

/// An import on its way through the writer.
struct Writing {
    environment: EnvironmentId,
    list: &'static str,
    on_conflict: OnConflict,
    dry_run: bool,
    draft: Draft,
    by: String,
    now: Timestamp,
    keep: u32,
}

impl Writing {
    fn run<T>(
        &self,
        tx: &mut Tx<'_>,
        items: Vec<T>,
        mut one: impl FnMut(&Self, &mut Tx<'_>, T) -> Result<Done, Error>,
    ) -> Result<(ImportReport, Vec<Draft>), Error> {
        environment_row(tx, self.environment)?;
        let (mut done, mut drafts) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            let (imported, draft) = one(self, tx, item).map_err(of_item(self.list, index))?;
            done.push(imported);
            drafts.extend(draft);
        }
        let conflict = |(index, imported): (usize, &Imported)| {
            (imported.outcome == Outcome::Conflict).then_some(index)
        };
        let indices: Vec<_> = done.iter().enumerate().filter_map(conflict).collect();
        if !indices.is_empty() && !self.dry_run {
            return Err(Error::Conflicts { list: self.list, indices });
        }
        Ok((ImportReport { dry_run: self.dry_run, items: done }, drafts))
    }

    /// What becomes of an item that is there and is not to be replaced.
    fn kept(&self, key: KeyName, version: Version) -> Done {
        let outcome = match self.on_conflict {
            OnConflict::Fail => Outcome::Conflict,
            OnConflict::Skip | OnConflict::Replace => Outcome::Skipped,
        };
        (Imported { key, outcome, version }, None)
    }

    fn secret(
        &self,
        tx: &mut Tx<'_>,
        id: SecretId,
        item: ImportedSecret,
        keyring: &Keyring,
        random: Random,
    ) -> Result<Done, Error> {
        let there = tx.get::<Secrets>(&(self.environment, item.key.clone()));
        let there =
            there.map_err(|error| Error::damaged_or(error, crate::audit::ResourceType::Secret))?;
        let (draft, by) = (self.draft.clone(), self.by.clone());
        let (info, draft, outcome) = match there {
            Some(row) if self.on_conflict != OnConflict::Replace => {
                return Ok(self.kept(item.key, row.version));
            }
            Some(row) => {
                let update = Update {
                    value: Some(item.value),
                    generated: false,
                    description: item.description,
                    never_reveal: item.never_reveal,
                    expected: None,
                    by,
                    now: self.now,
                    keep: self.keep,
                };
                let (info, draft) = update.apply(tx, row.id, draft, keyring, random)?;
                (info, draft, Outcome::Replaced)
            }
            None => {
                let create = Create {
                    id,
                    key: item.key,
                    value: item.value,
                    generated: false,
                    description: item.description.unwrap_or_default(),
                    never_reveal: item.never_reveal,
                    by,
                    now: self.now,
                    keep: self.keep,
                };
                let (info, draft) = create.apply(tx, self.environment, draft, keyring, random)?;
                (info, draft, Outcome::Created)
            }
        };
        Ok((Imported { key: info.key, outcome, version: info.version }, Some(draft)))
    }

    /// The second part of an item says whether its description was given.
    fn var(
        &self,
        tx: &mut Tx<'_>,
        id: VarId,
        (new, described): (NewVar, bool),
    ) -> Result<Done, Error> {
        let there = tx.get::<Vars>(&(self.environment, new.key.clone()));
        let there =
            there.map_err(|error| Error::damaged_or(error, crate::audit::ResourceType::Var))?;
        let draft = self.draft.clone();
        let (info, draft, outcome) = match there {
            Some(row) if self.on_conflict != OnConflict::Replace => {
                return Ok(self.kept(new.key, row.version));
            }
            Some(row) => {
                let patch = VarPatch {
                    value: Some(new.value),
                    description: described.then_some(new.description),
                    expected: None,
                };
                let (info, draft) = vars::update(tx, row.id, patch, self.now, draft)?;
                (info, draft, Outcome::Replaced)
            }
            None => {
                let at = (self.environment, id);
                let (info, draft) = vars::create(tx, at, new, self.now, draft)?;
                (info, draft, Outcome::Created)
            }
        };
        Ok((Imported { key: info.key, outcome, version: info.version }, Some(draft)))
    }
}
