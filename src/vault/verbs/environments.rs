//! The verbs on environments.
//!
//! Deleting one is a change of two parts: a small batch makes the environment and its rows
//! invisible to everyone, then a sweep removes the rows in the background.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{
    DisplayName, EnvironmentId, EnvironmentInfo, EnvironmentName, EnvironmentSettings, KeyName,
    SecretKind, Timestamp, VarKind,
};
use crate::store::{
    Counts, EnvironmentNames, EnvironmentRow, Environments, PendingDeletions, ReadError, Secrets,
    Store, Table, Tx, Unaudited, Unavailable, Vars, View,
};

use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::guarded_change::guarded;
use crate::vault::lookup::{counts, environment_row, skip_damaged};
use crate::vault::policy::{self, Administer, Permit, Read};
use crate::vault::service::Vault;
use crate::vault::verbs::delete::{Deletable, remove};

/// The most secrets, and the most vars, that one batch of a sweep removes.
const SWEEP_ROWS: usize = 100;
/// The size at which a batch of a sweep ends, in bytes of keys: a batch stops all reads while it is
/// applied.
const SWEEP_BYTES: usize = 64 << 10;
/// How long the answer to a deletion waits for the sweep.
const SWEEP_WAIT: Duration = Duration::from_secs(10);
/// How long a sweep waits after the database has refused a write.
const SWEEP_PAUSE: Duration = Duration::from_millis(250);

/// An environment to create.
#[derive(Debug, Clone)]
pub struct NewEnvironment {
    /// The name.
    pub name: EnvironmentName,
    /// The name to display.
    pub display_name: DisplayName,
}

/// Creates an environment, as part of a change.
pub(in crate::vault) fn put_new(
    tx: &mut Tx<'_>,
    id: EnvironmentId,
    new: NewEnvironment,
    now: Timestamp,
) -> Result<EnvironmentRow, Error> {
    let folded = new.name.folded();
    if tx.has::<EnvironmentNames>(&folded)? {
        return Err(Error::Exists(ResourceType::Environment));
    }
    let row = EnvironmentRow {
        name: new.name,
        display_name: new.display_name,
        settings: EnvironmentSettings::default(),
        created_at: now,
        updated_at: now,
    };
    tx.put::<Environments>(&id, &row);
    tx.put::<EnvironmentNames>(&folded, &id);
    Ok(row)
}

/// Generates the id of a new environment.
pub(in crate::vault) fn new_id(random: Random, now: Timestamp) -> Result<EnvironmentId, Error> {
    Ok(EnvironmentId::new(now, random.bytes()?))
}

fn info(
    view: &impl View,
    id: EnvironmentId,
    row: EnvironmentRow,
) -> Result<EnvironmentInfo, Error> {
    let counts = counts(view, id)?;
    Ok(EnvironmentInfo {
        id,
        name: row.name,
        display_name: row.display_name,
        created_at: row.created_at,
        updated_at: row.updated_at,
        secrets: counts.secrets,
        vars: counts.vars,
    })
}

impl Vault {
    /// Returns the name of an environment; `None` if it does not exist or is damaged.
    pub fn environment_name(&self, id: EnvironmentId) -> Option<EnvironmentName> {
        environment_row(&*self.store, id).ok().map(|row| row.name)
    }

    /// Lists the environments in the caller's scope, by name in byte order. May block on the disk.
    pub fn list_environments(&self, permit: &Permit<Read>) -> Result<Vec<EnvironmentInfo>, Error> {
        let mut listed = BTreeMap::new();
        for found in self.store.scan::<Environments>(&[], None).filter_map(skip_damaged) {
            let (id, row) = found?;
            if permit.covers(id) {
                listed.insert(row.name.as_str().to_owned(), info(&*self.store, id, row)?);
            }
        }
        Ok(listed.into_values().collect())
    }

    /// Lists the ids of the environments in the caller's scope. May block on the disk.
    pub fn environment_ids(&self, permit: &Permit<Read>) -> Result<Vec<EnvironmentId>, Error> {
        let ids = self.store.keys::<Environments>(&[]);
        let ids = ids.filter(|id| id.as_ref().map_or(true, |id| permit.covers(*id)));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Returns the permit's environment.
    pub fn read_environment(&self, permit: &Permit<Read>) -> Result<EnvironmentInfo, Error> {
        let id = permit.environment()?.id();
        info(&*self.store, id, environment_row(&*self.store, id)?)
    }

    /// Creates an environment.
    pub async fn create_environment(
        &self,
        permit: &Permit<Administer>,
        new: NewEnvironment,
    ) -> Result<EnvironmentInfo, Error> {
        let now = self.now();
        let id = new_id(self.random, now)?;
        let draft = permit.draft(Action::EnvironmentCreate, now);
        self.change(permit, move |tx| {
            let row = put_new(tx, id, new, now)?;
            let draft = policy::label(draft, id, &row).on(id, Some(row.name.as_str()));
            Ok((info(tx, id, row)?, draft))
        })
        .commit_once()
        .await
    }

    /// Deletes the permit's environment and everything in it. Without `force`, fails if there are
    /// secrets.
    ///
    /// One small batch makes the environment, and everything in it, invisible to everyone. Then its
    /// rows are removed in small steps, because a batch stops all reads while it is applied. A row
    /// in `Doomed` remembers the unfinished deletion across restarts.
    pub async fn delete_environment(
        &self,
        permit: &Permit<Administer>,
        force: bool,
    ) -> Result<(), Error> {
        let id = permit.environment()?.id();
        let draft = permit.draft(Action::EnvironmentDelete, self.now());
        let change = move |tx: &mut Tx<'_>| {
            let row = match environment_row(tx, id) {
                // The index row still tells the name.
                Err(Error::Damaged(_)) if force => None,
                row => Some(row?),
            };
            let counts = counts(tx, id)?;
            if !force && tx.keys::<Secrets>(&id.to_bytes()).next().is_some() {
                return Err(Error::NotEmpty { secrets: counts.secrets });
            }
            tx.put::<PendingDeletions>(&id, &());
            tx.remove::<Counts>(&id);
            let name = match &row {
                Some(row) => Some(row.name.folded()),
                None => key_leading_to::<EnvironmentNames>(tx, &id)?,
            };
            if let Some(name) = &name {
                tx.remove::<EnvironmentNames>(name);
            }
            tx.remove::<Environments>(&id);
            let draft = match &row {
                Some(row) => policy::label(draft, id, row).on(id, Some(row.name.as_str())),
                None => draft.on(id, name.as_deref()),
            };
            let draft = draft.details(
                &json!({ "force": force, "secrets": counts.secrets, "vars": counts.vars }),
            );
            Ok(((), draft))
        };
        // A task of its own: a client that disconnects must not stop it between the first batch and
        // the start of the sweep.
        let store = Arc::clone(&self.store);
        let change = guarded(permit, self.now(), change);
        let deleted = tokio::spawn(async move {
            store.change(change).from_reserve().commit().await.map_err(Error::from)?;
            Ok::<_, Error>(tokio::spawn(sweep(store, id)))
        });
        let swept = deleted.await.map_err(|_| Error::Panicked)??;
        // Usually nothing is left once this is answered. On a full disk the sweep can take long,
        // but the environment is already gone.
        let _ = tokio::time::timeout(SWEEP_WAIT, swept).await;
        Ok(())
    }

    /// Continues, in the background, the deletions that a stop interrupted.
    pub fn finish_deletions(&self) -> Result<(), Error> {
        for found in self.store.keys::<PendingDeletions>(&[]) {
            match found {
                Ok(id) => {
                    log::info!("removing the remaining rows of the deleted environment {id}");
                    drop(tokio::spawn(sweep(Arc::clone(&self.store), id)));
                }
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("cannot continue a deletion: {damaged}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Removes all rows of a deleted environment. If the server stops first, its next start continues.
async fn sweep(store: Arc<Store>, id: EnvironmentId) {
    loop {
        match store
            .change(move |tx| sweep_some(tx, id).map(Unaudited))
            .from_reserve()
            .commit()
            .await
            .map_err(Error::from)
        {
            Ok(true) => return,
            Ok(false) => {}
            Err(Error::Unavailable(Unavailable::Overloaded | Unavailable::DiskNearlyFull)) => {
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
            Err(Error::Unavailable(_)) => return,
            Err(error) => {
                log::error!("cannot remove the rows of the deleted environment {id}: {error}");
                return;
            }
        }
    }
}

/// Removes the next rows of a deleted environment. Returns `true` if none are left. Rows whose keys
/// do not decode stay: nothing leads to them. If some keys cannot be read, the others are removed
/// first, and the deletion stays unfinished.
fn sweep_some(tx: &mut Tx<'_>, id: EnvironmentId) -> Result<bool, Error> {
    let within = id.to_bytes();
    let (secrets, secrets_end) = some_keys::<Secrets>(tx, &within);
    let (vars, vars_end) = some_keys::<Vars>(tx, &within);
    if secrets.is_empty() && vars.is_empty() {
        secrets_end.and(vars_end)?;
        tx.remove::<PendingDeletions>(&id);
        return Ok(true);
    }
    remove_at::<SecretKind>(tx, secrets)?;
    remove_at::<VarKind>(tx, vars)?;
    Ok(false)
}

/// Removes the secrets or vars with these keys, until the batch is large enough.
fn remove_at<K: Deletable>(
    tx: &mut Tx<'_>,
    keys: Vec<(EnvironmentId, KeyName)>,
) -> Result<(), Error> {
    for at in keys {
        if tx.written_bytes() > SWEEP_BYTES {
            break;
        }
        let place = K::new_place(at.0, at.1.clone());
        let id = match tx.get::<K::Table>(&at) {
            Ok(row) => row.map(|row| K::id(&row)),
            Err(ReadError::Damaged { .. }) => key_leading_to::<K::Places>(tx, &place)?,
            Err(error) => return Err(error.into()),
        };
        match id {
            Some(id) => {
                remove::<K>(tx, &place, id)?;
            }
            None => tx.remove::<K::Table>(&at),
        }
    }
    Ok(())
}

/// Reads the next keys of a table, as far as they can be read, and the error that ended it.
fn some_keys<T: Table>(view: &impl View, within: &[u8]) -> (Vec<T::Key>, Result<(), ReadError>) {
    let mut keys = Vec::new();
    for key in view.readable_keys::<T>(within).take(SWEEP_ROWS) {
        match key {
            Ok(key) => keys.push(key),
            Err(error) => return (keys, Err(error)),
        }
    }
    (keys, Ok(()))
}

/// Searches an index for the key that leads to `target`, for a row that is too damaged to name it.
fn key_leading_to<T: Table<Row: PartialEq>>(
    view: &impl View,
    target: &T::Row,
) -> Result<Option<T::Key>, ReadError> {
    for found in view.scan::<T>(&[], None) {
        match found {
            Ok((key, row)) if row == *target => return Ok(Some(key)),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
