//! The retained versions of a secret.
//!
//! A version is two kinds of rows: the wrapped data key (with who put it and
//! when) and the ciphertext in pieces. The highest number is the version in
//! force; activating an old one makes a new one with the old value.

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{SecretId, SecretInfo, SecretKind, Timestamp, Version, VersionInfo};
use crate::store::{ReadError, SecretRow, Secrets, Tx, ValueChunks, VersionRow, Versions, View};

use super::cipher::{self, Binding, SealedValue};
use super::lookup::{environment_row, locate, not_before};
use super::secrets::{binding, info};
use super::{Error, Permit, Read, Vault, Write, policy};

/// Largest piece of ciphertext in one row; see `store::row`.
const CHUNK_BYTES: usize = crate::store::CHUNK_BYTES;

/// Who put a version, and when.
pub(super) struct Put {
    pub by: String,
    pub at: Timestamp,
}

/// Stores a version and drops those that are no longer kept.
pub(super) fn put_version(
    tx: &mut Tx<'_>,
    (id, version): (SecretId, Version),
    sealed: SealedValue,
    put: Put,
    keep: u32,
) -> Result<(), Error> {
    let mut chunks = 0;
    for piece in sealed.ciphertext.chunks(CHUNK_BYTES) {
        tx.put::<ValueChunks>(&(id, version, chunks), &crate::store::Bytes(piece.to_vec()));
        chunks += 1;
    }
    tx.put::<Versions>(
        &(id, version),
        &VersionRow { data_key: sealed.data_key, chunks, created_at: put.at, created_by: put.by },
    );
    let oldest_kept = version.get().saturating_sub(keep.saturating_sub(1));
    let dropped: Vec<_> =
        numbers(tx, id)?.into_iter().filter(|old| old.get() < oldest_kept).collect();
    dropped.into_iter().try_for_each(|old| remove_version(tx, id, old))
}

/// The numbers of a secret's versions, lowest first. Damaged rows count: they
/// are there to be dropped.
fn numbers(view: &impl View, id: SecretId) -> Result<Vec<Version>, ReadError> {
    view.keys::<Versions>(&id.to_bytes()).map(|key| Ok(key?.1)).collect()
}

/// Removes a version. With its data key gone its value cannot be read again.
fn remove_version(tx: &mut Tx<'_>, id: SecretId, version: Version) -> Result<(), Error> {
    let within = [&id.to_bytes()[..], &version.get().to_be_bytes()].concat();
    let chunks: Vec<_> = tx.keys::<ValueChunks>(&within).collect::<Result<_, _>>()?;
    for chunk in chunks {
        tx.remove::<ValueChunks>(&chunk);
    }
    tx.remove::<Versions>(&(id, version));
    Ok(())
}

/// Removes all versions of a secret.
pub(super) fn remove_versions(tx: &mut Tx<'_>, id: SecretId) -> Result<(), Error> {
    numbers(tx, id)?.into_iter().try_for_each(|version| remove_version(tx, id, version))
}

/// A version's sealed value, or `None` when it is not kept. A version with a
/// piece missing is given as it is: it will not open, and says so.
pub(super) fn sealed_value(
    view: &impl View,
    (id, version): (SecretId, Version),
) -> Result<Option<SealedValue>, Error> {
    let damaged = |error| match error {
        ReadError::Damaged { .. } => Error::Damaged(ResourceType::Secret),
        error => Error::Read(error),
    };
    let Some(row) = view.get::<Versions>(&(id, version)).map_err(damaged)? else { return Ok(None) };
    let mut ciphertext = Vec::with_capacity(usize::from(row.chunks) * CHUNK_BYTES);
    for chunk in 0..row.chunks {
        let piece = view.get::<ValueChunks>(&(id, version, chunk)).map_err(damaged)?;
        ciphertext.extend(piece.map(|piece| piece.0).unwrap_or_default());
    }
    Ok(Some(SealedValue { data_key: row.data_key, ciphertext }))
}

/// Makes every version of a secret never-reveal. A version that cannot be
/// latched stops the whole change: a latch that holds for some versions only
/// would be a lie.
pub(super) fn latch_versions(
    tx: &mut Tx<'_>,
    id: SecretId,
    latch: impl Fn(Version, &VersionRow) -> Result<crate::store::WrappedKey, Error>,
) -> Result<(), Error> {
    for version in numbers(tx, id)? {
        let Some(mut row) = tx.get::<Versions>(&(id, version))? else { continue };
        row.data_key = latch(version, &row)?;
        tx.put::<Versions>(&(id, version), &row);
    }
    Ok(())
}

impl Vault {
    /// The retained versions, newest first, without their values.
    pub async fn list_versions(
        &self,
        permit: &Permit<Read>,
        id: &str,
    ) -> Result<Vec<VersionInfo>, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretVersions, id).await?;
        let (_, secret) = locate(&*self.store, id)?;
        let rows = self.store.scan::<Versions>(&id.to_bytes(), None);
        let mut versions = rows
            .map(|found| {
                let ((_, version), row) = found?;
                Ok(VersionInfo {
                    version,
                    created_at: row.created_at,
                    created_by: row.created_by,
                    active: version == secret.version,
                })
            })
            .collect::<Result<Vec<_>, ReadError>>()?;
        versions.reverse();
        Ok(versions)
    }

    /// Puts the value of a retained version in force again, as a new version.
    pub async fn activate_version(
        &self,
        permit: &Permit<Write>,
        id: &str,
        number: Option<Version>,
    ) -> Result<SecretInfo, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretActivate, id).await?;
        let number = number.ok_or(Error::NotFound(ResourceType::Secret))?;
        let now = self.now();
        let draft = permit.draft(Action::SecretActivate, now);
        let by = permit.actor_name();
        let (keyring, random, keep) =
            (self.keyring.clone(), self.random, self.limits.versions_kept);
        self.commit(move |tx| {
            let (place, row) = locate::<SecretKind>(tx, id)?;
            let environment = environment_row(tx, place.environment)?;
            let old =
                sealed_value(tx, (id, number))?.ok_or(Error::NotFound(ResourceType::Secret))?;
            let from = Binding { version: number, ..binding(&place, &row) };
            let version = row.version.next().ok_or(Error::VersionsExhausted)?;
            let to = Binding { version, ..from.clone() };
            let sealed = cipher::reseal(&keyring, random, &from, old, &to)?;
            let updated_at = not_before(now, row.updated_at);
            put_version(tx, (id, version), sealed, Put { by, at: updated_at }, keep)?;
            let row = SecretRow { version, updated_at, ..row };
            tx.put::<Secrets>(&(place.environment, place.key.clone()), &row);
            let draft = policy::label(draft, place.environment, &environment)
                .on(id, Some(place.key.as_str()))
                .details(&json!({ "activated": number, "newVersion": version }));
            Ok((info(&place, row), draft))
        })
        .await
    }
}
