//! The verbs on environments.

use std::collections::BTreeMap;

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{
    DisplayName, EnvironmentId, EnvironmentInfo, EnvironmentName, SecretId, Settings, Timestamp,
};
use crate::store::{
    Counts, Doomed, EnvironmentNames, EnvironmentRow, Environments, ReadError, SecretPlace,
    SecretPlaces, Secrets, Tx, VarPlace, Vars, View,
};

use super::lookup::{counts, environment_row};
use super::secrets::remove_secret;
use super::vars::remove_var;
use super::{Administer, Error, Permit, Random, Read, Vault, policy};

/// How many secrets and how many vars one batch of a deletion removes.
const SWEEP_ROWS: usize = 100;

/// An environment to create.
#[derive(Debug, Clone)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// What it is called on screen.
    pub display_name: DisplayName,
}

/// Adds an environment's rows.
pub(super) fn put_new(
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
        settings: Settings::default(),
        created_at: now,
        updated_at: now,
    };
    tx.put::<Environments>(&id, &row);
    tx.put::<EnvironmentNames>(&folded, &id);
    Ok(row)
}

pub(super) fn new_id(random: Random, now: Timestamp) -> Result<EnvironmentId, Error> {
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
        self.commit_once(permit, move |tx| {
            let row = put_new(tx, id, new, now)?;
            let draft = policy::label(draft, id, &row).on(id, Some(row.name.as_str()));
            Ok((info(tx, id, row)?, draft))
        })
        .await
    }

    /// Deletes the environment of the permit and everything in it. Without
    /// `force` it refuses while there are secrets.
    ///
    /// One small batch takes the environment away, and with it everything in
    /// it, for everybody. Then its rows are removed bit by bit, because a batch
    /// stops all reads while it is applied; a row in `Doomed` remembers that
    /// until it is done, over a restart if need be.
    pub async fn delete_environment(
        &self,
        permit: &Permit<Administer>,
        force: bool,
    ) -> Result<(), Error> {
        let id = permit.environment()?.id();
        let draft = permit.draft(Action::EnvironmentDelete, self.now());
        let deleted = self.commit_from_reserve(move |tx| {
            let row = environment_row(tx, id)?;
            let counts = counts(tx, id)?;
            if !force && tx.keys::<Secrets>(&id.to_bytes()).next().is_some() {
                return Err(Error::NotEmpty { secrets: counts.secrets });
            }
            tx.put::<Doomed>(&id, &());
            tx.remove::<Counts>(&id);
            tx.remove::<EnvironmentNames>(&row.name.folded());
            tx.remove::<Environments>(&id);
            let draft = policy::label(draft, id, &row).on(id, Some(row.name.as_str())).details(
                &json!({ "force": force, "secrets": counts.secrets, "vars": counts.vars }),
            );
            Ok(((), draft))
        });
        deleted.await?;
        if let Err(error) = self.empty(id).await {
            // It is deleted all the same; the next start goes on.
            log::warn!("emptying a deleted environment was interrupted: {error}");
        }
        Ok(())
    }

    /// Goes on with what a deletion left when the server was stopped.
    pub async fn finish_deletions(&self) -> Result<(), Error> {
        let doomed = self.store.keys::<Doomed>(&[]).collect::<Result<Vec<_>, _>>()?;
        for id in doomed {
            log::info!("removing what is left of the deleted environment {id}");
            self.empty(id).await?;
        }
        Ok(())
    }

    async fn empty(&self, id: EnvironmentId) -> Result<(), Error> {
        while !self.store.finish(move |tx| sweep(tx, id)).await? {}
        Ok(())
    }
}

/// Removes some rows of a deleted environment; `true` when none are left.
fn sweep(tx: &mut Tx<'_>, id: EnvironmentId) -> Result<bool, Error> {
    let within = id.to_bytes();
    let secrets = tx.keys::<Secrets>(&within).take(SWEEP_ROWS).collect::<Result<Vec<_>, _>>()?;
    let vars = tx.keys::<Vars>(&within).take(SWEEP_ROWS).collect::<Result<Vec<_>, _>>()?;
    if secrets.is_empty() && vars.is_empty() {
        tx.remove::<Doomed>(&id);
        return Ok(true);
    }
    for at in secrets {
        let place = SecretPlace { environment: id, key: at.1.clone() };
        let secret = match tx.get::<Secrets>(&at) {
            Ok(row) => row.map(|row| row.id),
            Err(ReadError::Damaged { .. }) => secret_at(tx, &place)?,
            Err(error) => return Err(error.into()),
        };
        match secret {
            Some(secret) => {
                remove_secret(tx, &place, secret)?;
            }
            None => tx.remove::<Secrets>(&at),
        }
    }
    for at in vars {
        let place = VarPlace { environment: id, key: at.1.clone() };
        match tx.get::<Vars>(&at) {
            Ok(Some(row)) => remove_var(tx, &place, &row),
            // What it is made of cannot be told any more.
            Ok(None) | Err(ReadError::Damaged { .. }) => tx.remove::<Vars>(&at),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// The id of the secret whose row is damaged, from the rows that lead to it.
fn secret_at(view: &impl View, place: &SecretPlace) -> Result<Option<SecretId>, ReadError> {
    for found in view.scan::<SecretPlaces>(&[], None) {
        match found {
            Ok((id, at)) if at == *place => return Ok(Some(id)),
            Ok(_) | Err(ReadError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
