//! The kept versions of a secret.
//!
//! A version is two kinds of rows: its wrapped data key, with who put it and when, and the chunks
//! of its ciphertext. The highest number is the current version. Activating an old version makes a
//! new one with the old value.

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{SecretId, SecretInfo, SecretKind, Timestamp, Version, VersionInfo};
use crate::store::{
    Bytes, CHUNK_BYTES, ReadError, SecretRow, Secrets, Tx, ValueChunks, VersionRow, Versions, View,
    WrappedKey,
};

use crate::vault::crypto::cipher;
use crate::vault::error::Error;
use crate::vault::lookup::{environment_row, locate, not_before};
use crate::vault::policy::{self, Permit, Read, Write};
use crate::vault::secret_rows::{Binding, SealedValue, binding, info};
use crate::vault::service::Vault;

/// Who put a version, and when.
pub(super) struct PutBy {
    pub name: String,
    pub at: Timestamp,
}

/// Stores a version, and drops the versions beyond the newest `keep`.
pub(super) fn put_version(
    tx: &mut Tx<'_>,
    (id, version): (SecretId, Version),
    sealed: SealedValue,
    put_by: PutBy,
    keep: u32,
) -> Result<(), Error> {
    let mut chunks = 0;
    for chunk in sealed.ciphertext.chunks(CHUNK_BYTES) {
        tx.put::<ValueChunks>(&(id, version, chunks), &Bytes(chunk.to_vec()));
        chunks += 1;
    }
    let row = VersionRow {
        data_key: sealed.data_key,
        chunks,
        created_at: put_by.at,
        created_by: put_by.name,
    };
    tx.put::<Versions>(&(id, version), &row);
    let oldest_kept = version.get().saturating_sub(keep.saturating_sub(1));
    let dropped: Vec<_> =
        numbers(tx, id)?.into_iter().filter(|old| old.get() < oldest_kept).collect();
    dropped.into_iter().try_for_each(|old| remove_version(tx, id, old))
}

/// Returns the numbers of a secret's versions, lowest first. This includes damaged rows, so that
/// they get dropped in their turn.
pub(in crate::vault) fn numbers(view: &impl View, id: SecretId) -> Result<Vec<Version>, ReadError> {
    view.keys::<Versions>(&id.to_bytes()).map(|key| Ok(key?.1)).collect()
}

/// Removes a version. Without its data key, no request can reach its value. The removed bytes stay
/// in sled's file until their segments are reused.
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

/// Reads the sealed value of a version; `None` if the version is not kept. A version with a missing
/// chunk is returned without it, and will not open.
pub(in crate::vault) fn sealed_value(
    view: &impl View,
    (id, version): (SecretId, Version),
) -> Result<Option<SealedValue>, Error> {
    let damaged = Error::damaged_or(ResourceType::Secret);
    let Some(row) = view.get::<Versions>(&(id, version)).map_err(damaged)? else { return Ok(None) };
    let mut ciphertext = Vec::new();
    for chunk in 0..row.chunks {
        let bytes = view.get::<ValueChunks>(&(id, version, chunk)).map_err(damaged)?;
        ciphertext.extend(bytes.map(|bytes| bytes.0).unwrap_or_default());
    }
    Ok(Some(SealedValue { data_key: row.data_key, ciphertext }))
}

/// Makes every version of a secret never-reveal. A version that does not open cannot be latched,
/// and must not stay revealable, so it is dropped: nobody could use it anyway. The `needed` version
/// is not dropped: if it does not open, the whole change is refused.
pub(super) fn latch_versions(
    tx: &mut Tx<'_>,
    id: SecretId,
    needed: Option<Version>,
    latch: impl Fn(Version, &VersionRow) -> Result<WrappedKey, Error>,
) -> Result<(), Error> {
    for version in numbers(tx, id)? {
        let row = match tx.get::<Versions>(&(id, version)) {
            Ok(Some(row)) => Ok(row),
            Ok(None) | Err(ReadError::Damaged { .. }) => Err(Error::Damaged(ResourceType::Secret)),
            Err(error) => return Err(error.into()),
        };
        let latched = row.and_then(|row| Ok(VersionRow { data_key: latch(version, &row)?, ..row }));
        match latched {
            Ok(row) => tx.put::<Versions>(&(id, version), &row),
            Err(Error::Damaged(_) | Error::Unreadable { .. }) if needed != Some(version) => {
                log::error!(
                    "dropping version {version} of {id}, which does not open, to latch the secret"
                );
                remove_version(tx, id, version)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Vault {
    /// Lists the kept versions, newest first, without their values. Skips damaged versions with a
    /// line in the log. May block on the disk.
    pub async fn list_versions(
        &self,
        permit: &Permit<Read>,
        id: &str,
    ) -> Result<Vec<VersionInfo>, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretVersions, id).await?;
        locate(&*self.store, id)?;
        // The highest number is the current version. The list is read once, so that exactly one
        // version is active, whatever is written meanwhile.
        let numbers = numbers(&*self.store, id)?;
        let newest = numbers.last().copied();
        if newest.is_none() {
            // A secret without versions was deleted meanwhile, or is damaged.
            locate(&*self.store, id)?;
        }
        let mut versions = Vec::with_capacity(numbers.len());
        for version in numbers.into_iter().rev() {
            match self.store.get::<Versions>(&(id, version)) {
                Ok(Some(row)) => versions.push(VersionInfo {
                    version,
                    created_at: row.created_at,
                    created_by: row.created_by,
                    active: Some(version) == newest,
                }),
                // Dropped or deleted meanwhile.
                Ok(None) => {}
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("version {version} of {id} is left out of a list: {damaged}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(versions)
    }

    /// Makes the value of a kept version current again, as a new version.
    pub async fn activate_version(
        &self,
        permit: &Permit<Write>,
        id: &str,
        number: Option<Version>,
    ) -> Result<SecretInfo, Error> {
        let id = self.reach::<SecretKind, _>(permit, Action::SecretActivate, id).await?;
        let number = number.ok_or(Error::NoSuchVersion)?;
        let now = self.now();
        let draft = permit.draft(Action::SecretActivate, now);
        let name = permit.actor_name();
        let (keyring, random, keep) =
            (self.keyring.clone(), self.random, self.limits.versions_kept);
        self.change(permit, move |tx| {
            let (place, row) = locate::<SecretKind>(tx, id)?;
            let environment = environment_row(tx, place.environment)?;
            let old = sealed_value(tx, (id, number))?.ok_or(Error::NoSuchVersion)?;
            let from = Binding { version: number, ..binding(&place, &row) };
            let version = row.version.next().ok_or(Error::VersionsExhausted)?;
            let to = Binding { version, ..from.clone() };
            let sealed = cipher::reseal(&keyring.current(), random, &from, old, &to)?;
            let updated_at = not_before(now, row.updated_at);
            put_version(tx, (id, version), sealed, PutBy { name, at: updated_at }, keep)?;
            let row = SecretRow { version, updated_at, ..row };
            tx.put::<Secrets>(&(place.environment, place.key.clone()), &row);
            let draft = policy::label(draft, place.environment, &environment)
                .on(id, Some(place.key.as_str()))
                .details(&json!({ "activated": number, "newVersion": version }));
            Ok((info(&place, row), draft))
        })
        .commit_once()
        .await
    }
}
