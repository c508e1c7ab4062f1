//! The verbs on vars: configuration that is not secret. Values are stored in plaintext, and are
//! part of every answer.

use serde_json::json;

use crate::audit::{Action, Draft, ResourceType};
use crate::domain::{
    Description, EnvironmentId, KeyName, Timestamp, VarId, VarInfo, VarKind, Version,
};
use crate::store::{EnvironmentRow, Tx, VarPlace, VarPlaces, VarRow, Vars, View};

use crate::vault::error::Error;
use crate::vault::lookup::{
    Page, check_version, environment_row, locate, not_before, update_counts,
};
use crate::vault::policy::{self, Permit, Read, Write};
use crate::vault::service::Vault;
use crate::vault::verbs::delete::delete;
use crate::vault::verbs::var_values::{StoredValue, put_value, remove_values, stored_value};

/// A var to create.
#[derive(Debug, Clone)]
pub struct NewVar {
    /// The key.
    pub key: KeyName,
    /// The first value.
    pub value: String,
    /// What the var is for.
    pub description: Description,
}

/// Changes to a var; a `None` leaves the member as it is.
#[derive(Debug, Clone, Default)]
pub struct VarPatch {
    /// A new value, which makes a new version even if it equals the current one.
    pub value: Option<String>,
    /// A new description.
    pub description: Option<Description>,
    /// The versions that the caller expects: one of them must be current.
    pub expected: Option<Vec<u32>>,
}

/// Returns the var with the value that its row names; `None` if a chunk of the value is missing.
fn info(view: &impl View, place: &VarPlace, row: VarRow) -> Result<Option<VarInfo>, Error> {
    let value = match stored_value(view, &row)? {
        StoredValue::Complete(value) => value,
        StoredValue::Incomplete => return Ok(None),
        StoredValue::Damaged => return Err(Error::Damaged(ResourceType::Var)),
    };
    Ok(Some(VarInfo {
        id: row.id,
        environment: place.environment,
        key: place.key.clone(),
        value,
        description: row.description,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }))
}

/// Reads a var as of one moment. Its row and the chunks of its value are read one by one. A write
/// in between removes the chunks that the row names; then the row is read again. If the same
/// version still has no value, it is damaged.
fn read_consistent(view: &impl View, id: VarId) -> Result<VarInfo, Error> {
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

/// Returns a var inside the writer, where nothing changes between its row and its chunks.
fn written(tx: &Tx<'_>, place: &VarPlace, row: VarRow) -> Result<VarInfo, Error> {
    info(tx, place, row)?.ok_or(Error::Damaged(ResourceType::Var))
}

fn about(draft: Draft, place: &VarPlace, id: VarId, environment: &EnvironmentRow) -> Draft {
    policy::label(draft, place.environment, environment).on(id, Some(place.key.as_str()))
}

/// Creates a var, as part of a change.
pub(super) fn create(
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
    update_counts(tx, environment_id, |counts| counts.vars += 1)?;
    let draft = about(draft, &place, id, &environment).details(&json!({ "newVersion": 1 }));
    Ok((written(tx, &place, row)?, draft))
}

/// Updates a var, as part of a change.
pub(super) fn update(
    tx: &mut Tx<'_>,
    id: VarId,
    patch: VarPatch,
    now: Timestamp,
    draft: Draft,
) -> Result<(VarInfo, Draft), Error> {
    let (place, mut row) = locate::<VarKind>(tx, id)?;
    let environment = environment_row(tx, place.environment)?;
    check_version(patch.expected.as_deref(), row.version)?;
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
    /// Fails with `ValueSize` if a value is empty or longer than the limit.
    pub(super) fn check_size(&self, value: &str) -> Result<(), Error> {
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

    /// Lists a page of the vars in the permit's environment, by key in byte order. May block on the
    /// disk.
    pub fn list_vars(&self, permit: &Permit<Read>, page: &Page) -> Result<Vec<VarInfo>, Error> {
        let environment = permit.environment()?.id();
        let mut listed = Vec::new();
        for found in page.rows::<Vars, _>(&*self.store, environment) {
            let (key, row) = found?;
            let id = row.id;
            let listed_row = match info(&*self.store, &VarPlace { environment, key }, row) {
                // Updated after its row was read.
                Ok(None) => read_consistent(&*self.store, id).map(Some),
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

    /// Returns a var by its id.
    pub async fn read_var(&self, permit: &Permit<Read>, id: &str) -> Result<VarInfo, Error> {
        let id = self.reach::<VarKind, _>(permit, Action::VarRead, id).await?;
        read_consistent(&*self.store, id)
    }

    /// Updates a var.
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

    /// Deletes a var. A var whose row is damaged can be deleted too.
    pub async fn delete_var(
        &self,
        permit: &Permit<Write>,
        id: &str,
        expected: Option<Vec<u32>>,
    ) -> Result<(), Error> {
        let id = self.reach::<VarKind, _>(permit, Action::VarDelete, id).await?;
        let draft = permit.draft(Action::VarDelete, self.now());
        self.change(permit, move |tx| delete::<VarKind>(tx, id, expected.as_deref(), draft))
            .from_reserve()
            .commit()
            .await
    }
}
