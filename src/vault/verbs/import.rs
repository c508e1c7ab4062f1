//! Imports: many secrets or vars in one change, all of them or none.
//!
//! The rules are those of creating and updating one item: a never-reveal secret stays never-reveal
//! when it is replaced, and the settings of the environment decide about a new secret that does not
//! say. Each written item has an audit row in the same batch. A skipped item has none, because
//! nothing happened to it.

use zeroize::Zeroizing;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Description, EnvironmentId, KeyName, OnConflict, SecretId, Timestamp, VarId, Version,
};
use crate::formats::{BadInput, InputFormat};
use crate::store::{Secrets, Tx, Vars, View};

use crate::vault::crypto::keyring::Keyring;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::lookup::environment_row;
use crate::vault::plaintext::Plaintext;
use crate::vault::policy::{Permit, Write};
use crate::vault::service::Vault;
use crate::vault::verb_result::{ImportOutcome, ImportReport, Imported};
use crate::vault::verbs::secrets::{SecretCreation, SecretUpdate};
use crate::vault::verbs::vars::{self, NewVar, VarPatch};

/// The items to import, without duplicate keys.
#[allow(missing_debug_implementations)]
pub struct Import<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to do about keys that exist.
    pub on_conflict: OnConflict,
    /// Whether to only report what would happen.
    pub dry_run: bool,
}

/// A secret to import.
#[allow(missing_debug_implementations)]
pub struct ImportedSecret {
    /// The key.
    pub key: KeyName,
    /// The value.
    pub value: Plaintext,
    /// What the secret is for; `None` leaves the description of an existing secret as it is.
    pub description: Option<Description>,
    /// As in [`NewSecret`](crate::vault::NewSecret) and [`SecretPatch`](crate::vault::SecretPatch).
    pub never_reveal: Option<bool>,
}

/// Parses a `.env` file into keys and values, in the order of the file and without duplicate keys.
/// An error names a line, and nothing of a value.
pub fn read_dotenv(text: &str) -> Result<Vec<(KeyName, Zeroizing<String>)>, BadInput> {
    let entries = InputFormat::Dotenv.read(text)?.into_list();
    Ok(entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

impl Vault {
    /// Imports secrets into the permit's environment.
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
        let change = ImportChange {
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
        let run = move |tx: &mut Tx<'_>| {
            let keyring = keyring.current();
            change.run(tx, items, |change, tx, (id, item)| {
                change.secret(tx, id, item, &keyring, random)
            })
        };
        self.change(permit, run).dry_run(import.dry_run).commit_once().await
    }

    /// Imports vars into the permit's environment. The `bool` of an item says whether its
    /// description was given.
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
        let change = ImportChange {
            environment: permit.environment()?.id(),
            list: "vars",
            on_conflict: import.on_conflict,
            dry_run: import.dry_run,
            draft: permit.draft(Action::VarImport, now),
            by: permit.actor_name(),
            now,
            keep: self.limits.versions_kept,
        };
        let run = move |tx: &mut Tx<'_>| {
            change.run(tx, items, |change, tx, (id, item)| change.var(tx, id, item))
        };
        self.change(permit, run).dry_run(import.dry_run).commit_once().await
    }
}

/// Adds the item that an error is about.
fn of_item(list: &'static str, index: usize) -> impl FnOnce(Error) -> Error {
    move |error| Error::OfItem { list, index, error: Box::new(error) }
}

/// An item, and its audit row if something was written.
type ImportedWithRow = (Imported, Option<Draft>);

/// A change that imports items.
struct ImportChange {
    environment: EnvironmentId,
    list: &'static str,
    on_conflict: OnConflict,
    dry_run: bool,
    draft: Draft,
    by: String,
    now: Timestamp,
    keep: u32,
}

impl ImportChange {
    fn run<T>(
        &self,
        tx: &mut Tx<'_>,
        items: Vec<T>,
        mut one: impl FnMut(&Self, &mut Tx<'_>, T) -> Result<ImportedWithRow, Error>,
    ) -> Result<(ImportReport, Vec<Draft>), Error> {
        environment_row(tx, self.environment)?;
        let (mut done, mut drafts) = (Vec::with_capacity(items.len()), Vec::new());
        for (index, item) in items.into_iter().enumerate() {
            let (imported, draft) = one(self, tx, item).map_err(of_item(self.list, index))?;
            done.push(imported);
            drafts.extend(draft);
        }
        let conflict = |(index, imported): (usize, &Imported)| {
            (imported.outcome == ImportOutcome::Conflict).then_some(index)
        };
        let indices: Vec<_> = done.iter().enumerate().filter_map(conflict).collect();
        if !indices.is_empty() && !self.dry_run {
            return Err(Error::Conflicts { list: self.list, indices });
        }
        Ok((ImportReport { dry_run: self.dry_run, items: done }, drafts))
    }

    /// Reports an item that exists and is not replaced.
    fn not_replaced(&self, key: KeyName, version: Version) -> ImportedWithRow {
        let outcome = match self.on_conflict {
            OnConflict::Fail => ImportOutcome::Conflict,
            OnConflict::Skip | OnConflict::Replace => ImportOutcome::Skipped,
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
    ) -> Result<ImportedWithRow, Error> {
        let existing = tx
            .get::<Secrets>(&(self.environment, item.key.clone()))
            .map_err(Error::damaged_or(ResourceType::Secret))?;
        let (draft, by) = (self.draft.clone(), self.by.clone());
        let (info, draft, outcome) = match existing {
            Some(row) if self.on_conflict != OnConflict::Replace => {
                return Ok(self.not_replaced(item.key, row.version));
            }
            Some(row) => {
                let update = SecretUpdate {
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
                (info, draft, ImportOutcome::Replaced)
            }
            None => {
                let create = SecretCreation {
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
                (info, draft, ImportOutcome::Created)
            }
        };
        Ok((Imported { key: info.key, outcome, version: info.version }, Some(draft)))
    }

    fn var(
        &self,
        tx: &mut Tx<'_>,
        id: VarId,
        (new, described): (NewVar, bool),
    ) -> Result<ImportedWithRow, Error> {
        let existing = tx
            .get::<Vars>(&(self.environment, new.key.clone()))
            .map_err(Error::damaged_or(ResourceType::Var))?;
        let draft = self.draft.clone();
        let (info, draft, outcome) = match existing {
            Some(row) if self.on_conflict != OnConflict::Replace => {
                return Ok(self.not_replaced(new.key, row.version));
            }
            Some(row) => {
                let patch = VarPatch {
                    value: Some(new.value),
                    description: described.then_some(new.description),
                    expected: None,
                };
                let (info, draft) = vars::update(tx, row.id, patch, self.now, draft)?;
                (info, draft, ImportOutcome::Replaced)
            }
            None => {
                let at = (self.environment, id);
                let (info, draft) = vars::create(tx, at, new, self.now, draft)?;
                (info, draft, ImportOutcome::Created)
            }
        };
        Ok((Imported { key: info.key, outcome, version: info.version }, Some(draft)))
    }
}
