//! The verbs on vars: configuration that is not secret. Values are stored as
//! they are, and are part of every answer.

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{Description, EnvironmentId, KeyName, VarId, VarInfo, VarKind, Version};
use crate::store::{
    Bytes, CHUNK_BYTES, Counts, EnvironmentRow, ReadError, Tx, VarChunks, VarPlace, VarPlaces,
    VarRow, Vars, View,
};

use super::lookup::{environment_row, locate, not_before};
use super::secrets::check_expected;
use super::{Error, Page, Permit, Read, Vault, Write, policy};

/// A var to create.
#[derive(Debug, Clone)]
pub struct NewVar {
    /// Its key.
    pub key: KeyName,
    /// Its first value.
    pub value: String,
    /// What it is for.
    pub description: Description,
}

/// Changes to a var. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct VarPatch {
    /// A new value makes a new version, equal or not.
    pub value: Option<String>,
    /// A new description.
    pub description: Option<Description>,
    /// The versions that the caller expects, one of which must be in force.
    pub expected: Option<Vec<u32>>,
}

fn put_value(tx: &mut Tx<'_>, id: VarId, value: &str, old_chunks: u16) -> u16 {
    let mut chunks = 0;
    for piece in value.as_bytes().chunks(CHUNK_BYTES) {
        tx.put::<VarChunks>(&(id, chunks), &Bytes(piece.to_vec()));
        chunks += 1;
    }
    for left_over in chunks..old_chunks {
        tx.remove::<VarChunks>(&(id, left_over));
    }
    chunks
}

fn info(view: &impl View, place: &VarPlace, row: VarRow) -> Result<VarInfo, Error> {
    let mut value = Vec::new();
    for chunk in 0..row.chunks {
        let piece = view.get::<VarChunks>(&(row.id, chunk))?;
        value.extend(piece.ok_or(Error::Damaged(ResourceType::Var))?.0);
    }
    Ok(VarInfo {
        id: row.id,
        environment: place.environment,
        key: place.key.clone(),
        value: String::from_utf8(value).map_err(|_| Error::Damaged(ResourceType::Var))?,
        description: row.description,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Removes every row of a var.
pub(super) fn remove_var(tx: &mut Tx<'_>, place: &VarPlace, row: &VarRow) {
    put_value(tx, row.id, "", row.chunks);
    tx.remove::<VarPlaces>(&row.id);
    tx.remove::<Vars>(&(place.environment, place.key.clone()));
}

fn about(draft: Draft, place: &VarPlace, id: VarId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

impl Vault {
    fn check_size(&self, value: &str) -> Result<(), Error> {
        let limit = self.limits.value_bytes;
        if (1..=limit).contains(&value.len()) { Ok(()) } else { Err(Error::ValueSize { limit }) }
    }

    /// Creates a var in the environment of the permit.
    pub async fn create_var(&self, permit: &Permit<Write>, new: NewVar) -> Result<VarInfo, Error> {
        self.check_size(&new.value)?;
        let environment_id = permit.environment()?.id();
        let now = self.now();
        let id = VarId::new(now, self.random.bytes()?);
        let draft = permit.draft(Action::VarCreate, now);
        self.commit(move |tx| {
            let environment = environment_row(tx, environment_id)?;
            let at = (environment_id, new.key);
            if tx.has::<Vars>(&at)? {
                return Err(Error::Exists(ResourceType::Var));
            }
            let row = VarRow {
                id,
                description: new.description,
                version: Version::FIRST,
                chunks: put_value(tx, id, &new.value, 0),
                created_at: now,
                updated_at: now,
            };
            let place = VarPlace { environment: environment_id, key: at.1.clone() };
            tx.put::<Vars>(&at, &row);
            tx.put::<VarPlaces>(&id, &place);
            count(tx, environment_id, |vars| vars + 1)?;
            let draft = about(draft, &place, id, &environment).details(&json!({ "newVersion": 1 }));
            Ok((info(tx, &place, row)?, draft))
        })
        .await
    }

    /// A page of the vars of the permit's environment, by key in byte order.
    /// May block on the disk.
    pub fn list_vars(&self, permit: &Permit<Read>, page: &Page) -> Result<Vec<VarInfo>, Error> {
        let environment = permit.environment()?.id();
        let mut listed = Vec::new();
        for found in page.rows::<Vars, _>(&*self.store, environment) {
            let (key, row) = found?;
            match info(&*self.store, &VarPlace { environment, key }, row) {
                Ok(info) => listed.push(info),
                // Deleted or shortened since its row was read, or damaged.
                Err(Error::Damaged(_) | Error::Read(ReadError::Damaged { .. })) => {
                    log::warn!("a var without its value is left out of a list");
                }
                Err(error) => return Err(error),
            }
        }
        environment_row(&*self.store, environment)?;
        Ok(listed)
    }

    /// A var by its id.
    pub async fn read_var(&self, permit: &Permit<Read>, id: &str) -> Result<VarInfo, Error> {
        let id = self.reach::<VarKind, _>(permit, Action::VarRead, id).await?;
        let (place, row) = locate::<VarKind>(&*self.store, id)?;
        info(&*self.store, &place, row)
    }

    /// Changes a var.
    pub async fn update_var(
        &self,
        permit: &Permit<Write>,
        id: &str,
        patch: VarPatch,
    ) -> Result<VarInfo, Error> {
        if let Some(value) = &patch.value {
            self.check_size(value)?;
        }
        let id = self.reach::<VarKind, _>(permit, Action::VarUpdate, id).await?;
        let now = self.now();
        let draft = permit.draft(Action::VarUpdate, now);
        self.commit(move |tx| {
            let (place, mut row) = locate::<VarKind>(tx, id)?;
            let environment = environment_row(tx, place.environment)?;
            check_expected(patch.expected.as_deref(), row.version)?;
            let old_version = row.version;
            let mut changed = Vec::new();
            if let Some(description) = patch.description {
                row.description = description;
                changed.push("description");
            }
            if let Some(value) = patch.value {
                row.version = row.version.next().ok_or(Error::VersionsExhausted)?;
                row.updated_at = not_before(now, row.updated_at);
                row.chunks = put_value(tx, id, &value, row.chunks);
                changed.push("value");
            }
            tx.put::<Vars>(&(place.environment, place.key.clone()), &row);
            let draft = about(draft, &place, id, &environment).details(&json!({
                "changed": changed,
                "oldVersion": old_version,
                "newVersion": row.version,
            }));
            Ok((info(tx, &place, row)?, draft))
        })
        .await
    }

    /// Deletes a var.
    pub async fn delete_var(&self, permit: &Permit<Write>, id: &str) -> Result<(), Error> {
        let id = self.reach::<VarKind, _>(permit, Action::VarDelete, id).await?;
        let draft = permit.draft(Action::VarDelete, self.now());
        self.commit(move |tx| {
            let (place, row) = locate::<VarKind>(tx, id)?;
            let environment = environment_row(tx, place.environment)?;
            remove_var(tx, &place, &row);
            count(tx, place.environment, |vars| vars.saturating_sub(1))?;
            let draft = about(draft, &place, id, &environment)
                .details(&json!({ "oldVersion": row.version }));
            Ok(((), draft))
        })
        .await
    }
}

fn count(
    tx: &mut Tx<'_>,
    environment: EnvironmentId,
    change: impl Fn(u32) -> u32,
) -> Result<(), Error> {
    let mut counts = tx.get::<Counts>(&environment)?.unwrap_or_default();
    counts.vars = change(counts.vars);
    tx.put::<Counts>(&environment, &counts);
    Ok(())
}
