//! The verbs on environments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{
    DisplayName, EnvironmentId, EnvironmentInfo, EnvironmentName, EnvironmentSettings, Timestamp,
};
use crate::store::{
    Counts, EnvironmentNames, EnvironmentRow, Environments, PendingDeletions, ReadError,
    SecretPlace, SecretPlaces, Secrets, Store, Table, Tx, Unaudited, VarPlace, VarPlaces, Vars,
    View,
};

use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::guarded_change::guarded;
use crate::vault::lookup::{counts, environment_row};
use crate::vault::policy::{self, Administer, Permit, Read};
use crate::vault::verbs::secrets::remove_secret;
use crate::vault::verbs::vars::remove_var;
use crate::vault::{Unavailable, Vault};

/// How many secrets and how many vars one batch of a deletion removes.
const SWEEP_ROWS: usize = 100;
/// Bytes of keys after which a batch of a deletion is large enough: a batch
/// stops all reads while it is applied.
const SWEEP_BYTES: usize = 64 << 10;
/// How long the answer to a deletion waits for the environment to be emptied.
const EMPTYING_WAIT: Duration = Duration::from_secs(10);
/// How long emptying waits when no write is taken.
const EMPTYING_PAUSE: Duration = Duration::from_millis(250);

/// An environment to create.
#[derive(Debug, Clone)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// What it is called on screen.
    pub display_name: DisplayName,
}

/// Adds an environment's rows.
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
    /// The name of an environment that is there and can be read.
    pub fn environment_name(&self, id: EnvironmentId) -> Option<EnvironmentName> {
        environment_row(&*self.store, id).ok().map(|row| row.name)
    }

    /// The environments in the caller's scope, by name in byte order. May
    /// block on the disk.
    pub fn list_environments(&self, permit: &Permit<Read>) -> Result<Vec<EnvironmentInfo>, Error> {
        let mut listed = BTreeMap::new();
        for found in self.store.scan::<Environments>(&[], None) {
            match found {
                Ok((id, row)) if permit.covers(id) => {
                    listed.insert(row.name.as_str().to_owned(), info(&*self.store, id, row)?);
                }
                Ok(_) => {}
                Err(damaged @ ReadError::Damaged { .. }) => {
                    log::error!("left out of a list: {damaged}")
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(listed.into_values().collect())
    }

    /// The ids of the environments in the caller's scope. May block on the disk.
    pub fn environment_ids(&self, permit: &Permit<Read>) -> Result<Vec<EnvironmentId>, Error> {
        let ids = self.store.keys::<Environments>(&[]);
        let ids = ids.filter(|id| id.as_ref().map_or(true, |id| permit.covers(*id)));
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// The environment of the permit.
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

    /// Deletes the environment of the permit and everything in it. Without
    /// `force` it refuses while there are secrets.
    ///
    /// One small batch takes the environment away, and with it everything in
    /// it, for everybody. Then its rows are removed bit by bit, because a batch
    /// stops all reads while it is applied; a row in `PendingDeletions` remembers that
    /// until it is done, over a restart if need be.
    pub async fn delete_environment(
        &self,
        permit: &Permit<Administer>,
        force: bool,
    ) -> Result<(), Error> {
        let id = permit.environment()?.id();
        let draft = permit.draft(Action::EnvironmentDelete, self.now());
        let change = move |tx: &mut Tx<'_>| {
            let row = match environment_row(tx, id) {
                // What it was called can be told from the row that leads to it.
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
                None => led_to::<EnvironmentNames>(tx, &id)?,
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
        // In a task of its own from the first batch on: a client that goes away
        // must not stop it in between.
        let store = Arc::clone(&self.store);
        let change = guarded(permit, self.now(), change);
        let deleted = tokio::spawn(async move {
            store.change(change).from_reserve().commit().await.map_err(Error::from)?;
            Ok::<_, Error>(tokio::spawn(empty(store, id)))
        });
        let emptied = deleted.await.map_err(|_| Error::Panicked)??;
        // So that the answer usually means that nothing is left; on a full disk
        // that can take long, and the environment is gone already.
        let _ = tokio::time::timeout(EMPTYING_WAIT, emptied).await;
        Ok(())
    }

    /// Goes on, in the background, with what deletions left when the server was
    /// stopped.
    pub fn finish_deletions(&self) -> Result<(), Error> {
        for found in self.store.keys::<PendingDeletions>(&[]) {
            match found {
                Ok(id) => {
                    log::info!("removing what is left of the deleted environment {id}");
                    self.empty_in_background(id);
                }
                Err(damaged @ ReadError::Damaged { .. }) => log::error!("a deletion: {damaged}"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn empty_in_background(&self, id: EnvironmentId) -> tokio::task::JoinHandle<()> {
        tokio::spawn(empty(Arc::clone(&self.store), id))
    }
}

/// Removes everything of a deleted environment. When the server stops first,
/// its next start goes on.
async fn empty(store: Arc<Store>, id: EnvironmentId) {
    loop {
        match store
            .change(move |tx| sweep(tx, id).map(Unaudited))
            .from_reserve()
            .commit()
            .await
            .map_err(Error::from)
        {
            Ok(true) => return,
            Ok(false) => {}
            Err(Error::Unavailable(Unavailable::Overloaded | Unavailable::DiskNearlyFull)) => {
                tokio::time::sleep(EMPTYING_PAUSE).await;
            }
            Err(Error::Unavailable(_)) => return,
            Err(error) => {
                log::error!("the deleted environment {id} cannot be emptied: {error}");
                return;
            }
        }
    }
}

/// Removes some rows of a deleted environment; `true` when none are left. What is no
/// key stays where it is: it leads nowhere. Where some cannot be read, the others go, and
/// the environment stays doomed.
fn sweep(tx: &mut Tx<'_>, id: EnvironmentId) -> Result<bool, Error> {
    let within = id.to_bytes();
    let (secrets, end) = some_keys::<Secrets>(tx, &within);
    let (vars, var_end) = some_keys::<Vars>(tx, &within);
    if secrets.is_empty() && vars.is_empty() {
        end.and(var_end)?;
        tx.remove::<PendingDeletions>(&id);
        return Ok(true);
    }
    for at in secrets {
        let place = SecretPlace { environment: id, key: at.1.clone() };
        let secret = match tx.get::<Secrets>(&at) {
            Ok(row) => row.map(|row| row.id),
            Err(ReadError::Damaged { .. }) => led_to::<SecretPlaces>(tx, &place)?,
            Err(error) => return Err(error.into()),
        };
        match secret {
            Some(secret) => {
                remove_secret(tx, &place, secret)?;
            }
            None => tx.remove::<Secrets>(&at),
        }
        if tx.written_bytes() > SWEEP_BYTES {
            return Ok(false);
        }
    }
    for at in vars {
        let place = VarPlace { environment: id, key: at.1.clone() };
        let var = match tx.get::<Vars>(&at) {
            Ok(row) => row.map(|row| row.id),
            Err(ReadError::Damaged { .. }) => led_to::<VarPlaces>(tx, &place)?,
            Err(error) => return Err(error.into()),
        };
        match var {
            Some(var) => {
                remove_var(tx, &place, var)?;
            }
            None => tx.remove::<Vars>(&at),
        }
    }
    Ok(false)
}

/// Some keys, as far as they can be read, and what kept the others from it.
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

/// The id whose place is this one: for a row that is too damaged to say.
fn led_to<T: Table<Row: PartialEq>>(
    view: &impl View,
    place: &T::Row,
) -> Result<Option<T::Key>, ReadError> {
    for found in view.scan::<T>(&[], None) {
        match found {
            Ok((id, at)) if at == *place => return Ok(Some(id)),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
