//! The verbs on vars: configuration that is not secret. Values are stored as
//! they are, and are part of every answer.

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Description, EnvironmentId, KeyName, Timestamp, VarId, VarInfo, VarKind, Version,
};
use crate::store::{
    Bytes, CHUNK_BYTES, EnvironmentRow, ReadError, Tx, VarChunks, VarPlace, VarPlaces, VarRow,
    Vars, View,
};

use crate::vault::Vault;
use crate::vault::error::Error;
use crate::vault::lookup::Page;
use crate::vault::lookup::{Placed, count, environment_row, locate, not_before};
use crate::vault::policy::{self, Permit, Read, Write};
use crate::vault::verbs::secrets::check_expected;

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

fn put_value(tx: &mut Tx<'_>, id: VarId, version: Version, value: &str) -> u16 {
    let mut chunks = 0;
    for piece in value.as_bytes().chunks(CHUNK_BYTES) {
        tx.put::<VarChunks>(&(id, version, chunks), &Bytes(piece.to_vec()));
        chunks += 1;
    }
    chunks
}

/// Removes every piece of every value of a var.
fn remove_values(tx: &mut Tx<'_>, id: VarId) -> Result<(), Error> {
    let pieces: Vec<_> = tx.keys::<VarChunks>(&id.to_bytes()).collect::<Result<_, _>>()?;
    for piece in pieces {
        tx.remove::<VarChunks>(&piece);
    }
    Ok(())
}

/// The var with the value that its row names, or `None` when a piece of that
/// is not there.
fn info(view: &impl View, place: &VarPlace, row: VarRow) -> Result<Option<VarInfo>, Error> {
    let mut value = Vec::new();
    for chunk in 0..row.chunks {
        let Some(piece) = view.get::<VarChunks>(&(row.id, row.version, chunk)).map_err(damaged)?
        else {
            return Ok(None);
        };
        value.extend(piece.0);
    }
    Ok(Some(VarInfo {
        id: row.id,
        environment: place.environment,
        key: place.key.clone(),
        value: String::from_utf8(value).map_err(|_| Error::Damaged(ResourceType::Var))?,
        description: row.description,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }))
}

/// The value that a row names, read in the writer, where nothing changes between
/// the row and its pieces.
pub(in crate::vault) fn value_of(view: &impl View, row: &VarRow) -> Result<String, Error> {
    let mut value = Vec::new();
    for chunk in 0..row.chunks {
        let piece = view.get::<VarChunks>(&(row.id, row.version, chunk)).map_err(damaged)?;
        value.extend(piece.ok_or(Error::Damaged(ResourceType::Var))?.0);
    }
    String::from_utf8(value).map_err(|_| Error::Damaged(ResourceType::Var))
}

/// Whether the value that a row names is there, and is one.
pub(in crate::vault) fn value_is_whole(view: &impl View, row: &VarRow) -> Result<bool, ReadError> {
    let mut value = Vec::new();
    for chunk in 0..row.chunks {
        match view.get::<VarChunks>(&(row.id, row.version, chunk)) {
            Ok(Some(piece)) => value.extend(piece.0),
            Ok(None) | Err(ReadError::Damaged { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(std::str::from_utf8(&value).is_ok())
}

fn damaged(error: ReadError) -> Error {
    match error {
        ReadError::Damaged { .. } => Error::Damaged(ResourceType::Var),
        error => Error::Read(error),
    }
}

/// A var as it was at one moment. Its row and the pieces of its value are read
/// one by one; a write in between takes away the pieces that the row names, and
/// then the row is read again. Twice the same version without its value is damage.
fn read_whole(view: &impl View, id: VarId) -> Result<VarInfo, Error> {
    let mut seen = None;
    loop {
        let (place, row) = locate::<VarKind>(view, id)?;
        let version = row.version;
        match info(view, &place, row)? {
            Some(info) => return Ok(info),
            None if seen == Some(version) => return Err(Error::Damaged(ResourceType::Var)),
            None => seen = Some(version),
        }
    }
}

/// A var inside a change, where nothing comes between.
fn written(tx: &Tx<'_>, place: &VarPlace, row: VarRow) -> Result<VarInfo, Error> {
    info(tx, place, row)?.ok_or(Error::Damaged(ResourceType::Var))
}

/// Removes every row of a var; whether its own row was among them. A place that
/// was made to lead to another var's row must not take that away.
pub(in crate::vault) fn remove_var(
    tx: &mut Tx<'_>,
    place: &VarPlace,
    id: VarId,
) -> Result<bool, Error> {
    remove_values(tx, id)?;
    tx.remove::<VarPlaces>(&id);
    let at = (place.environment, place.key.clone());
    let own = match tx.get::<Vars>(&at) {
        Ok(row) => row.is_some_and(|row| row.id == id),
        Err(ReadError::Damaged { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if own {
        tx.remove::<Vars>(&at);
    }
    Ok(own)
}

fn about(draft: Draft, place: &VarPlace, id: VarId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

/// Creates a var inside a change.
pub(in crate::vault) fn create(
    tx: &mut Tx<'_>,
    (environment_id, id): (EnvironmentId, VarId),
    new: NewVar,
    now: Timestamp,
    draft: Draft,
) -> Result<(VarInfo, Draft), Error> {
    let environment = environment_row(tx, environment_id)?;
    let at = (environment_id, new.key);
    if tx.has::<Vars>(&at)? {
        return Err(Error::Exists(ResourceType::Var));
    }
    let row = VarRow {
        id,
        description: new.description,
        version: Version::FIRST,
        chunks: put_value(tx, id, Version::FIRST, &new.value),
        created_at: now,
        updated_at: now,
    };
    let place = VarPlace { environment: environment_id, key: at.1.clone() };
    tx.put::<Vars>(&at, &row);
    tx.put::<VarPlaces>(&id, &place);
    count(tx, environment_id, |counts| counts.vars += 1)?;
    let draft = about(draft, &place, id, &environment).details(&json!({ "newVersion": 1 }));
    Ok((written(tx, &place, row)?, draft))
}

/// Changes a var inside a change.
pub(in crate::vault) fn update(
    tx: &mut Tx<'_>,
    id: VarId,
    patch: VarPatch,
    now: Timestamp,
    draft: Draft,
) -> Result<(VarInfo, Draft), Error> {
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
        remove_values(tx, id)?;
        row.version = row.version.next().ok_or(Error::VersionsExhausted)?;
        row.updated_at = not_before(now, row.updated_at);
        row.chunks = put_value(tx, id, row.version, &value);
        changed.push("value");
    }
    tx.put::<Vars>(&(place.environment, place.key.clone()), &row);
    let draft = about(draft, &place, id, &environment).details(&json!({
        "changed": changed,
        "oldVersion": old_version,
        "newVersion": row.version,
    }));
    Ok((written(tx, &place, row)?, draft))
}

impl Vault {
    pub(in crate::vault) fn check_size(&self, value: &str) -> Result<(), Error> {
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
        self.change(permit, move |tx| create(tx, (environment_id, id), new, now, draft))
            .commit_once()
            .await
    }

    /// A page of the vars of the permit's environment, by key in byte order.
    /// May block on the disk.
    pub fn list_vars(&self, permit: &Permit<Read>, page: &Page) -> Result<Vec<VarInfo>, Error> {
        let environment = permit.environment()?.id();
        let mut listed = Vec::new();
        for found in page.rows::<Vars, _>(&*self.store, environment) {
            let (key, row) = found?;
            let id = row.id;
            let listed_row = match info(&*self.store, &VarPlace { environment, key }, row) {
                // Changed since its row was read.
                Ok(None) => read_whole(&*self.store, id).map(Some),
                found => found,
            };
            match listed_row {
                Ok(info) => listed.extend(info),
                Err(Error::NotFound(_)) => {}
                Err(damaged @ Error::Damaged(_)) => {
                    log::error!("{id} is left out of a list: {damaged}");
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
        read_whole(&*self.store, id)
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
        self.change(permit, move |tx| update(tx, id, patch, now, draft)).commit().await
    }

    /// Deletes a var.
    pub async fn delete_var(
        &self,
        permit: &Permit<Write>,
        id: &str,
        expected: Option<Vec<u32>>,
    ) -> Result<(), Error> {
        let id = self.reach::<VarKind, _>(permit, Action::VarDelete, id).await?;
        let draft = permit.draft(Action::VarDelete, self.now());
        self.change(permit, move |tx| {
            let version = match locate::<VarKind>(tx, id) {
                Ok((_, row)) => {
                    check_expected(expected.as_deref(), row.version)?;
                    Some(row.version)
                }
                Err(Error::Damaged(_)) if expected.is_none() => None,
                Err(error) => return Err(error),
            };
            let missing = Error::NotFound(ResourceType::Var);
            let place = VarKind::place(tx, id)?.ok_or(missing)?;
            let environment = environment_row(tx, place.environment)?;
            if remove_var(tx, &place, id)? {
                count(tx, place.environment, |counts| {
                    counts.vars = counts.vars.saturating_sub(1);
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
