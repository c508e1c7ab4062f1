//! The verbs on environments.

use std::collections::BTreeMap;

use serde_json::json;

use crate::audit::{Action, ResourceType};
use crate::domain::{
    DisplayName, EnvironmentId, EnvironmentInfo, EnvironmentName, Settings, Timestamp,
};
use crate::store::{
    Counts, EnvironmentNames, EnvironmentRow, Environments, ReadError, SecretPlace, Secrets, Tx,
    VarPlace, Vars, View,
};

use super::lookup::environment_row;
use super::secrets::remove_secret;
use super::vars::remove_var;
use super::{Administer, Error, Permit, Random, Read, Vault, policy};

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
    let counts = view.get::<Counts>(&id)?.unwrap_or_default();
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
        self.commit(move |tx| {
            let row = put_new(tx, id, new, now)?;
            let draft = policy::label(draft, id, &row).on(id, Some(row.name.as_str()));
            Ok((info(tx, id, row)?, draft))
        })
        .await
    }

    /// Deletes the environment of the permit and everything in it, data keys
    /// included. Without `force` it refuses while there are secrets.
    pub async fn delete_environment(
        &self,
        permit: &Permit<Administer>,
        force: bool,
    ) -> Result<(), Error> {
        let id = permit.environment()?.id();
        let draft = permit.draft(Action::EnvironmentDelete, self.now());
        self.commit(move |tx| {
            let row = environment_row(tx, id)?;
            let counts = tx.get::<Counts>(&id)?.unwrap_or_default();
            let secrets: Vec<_> =
                tx.scan::<Secrets>(&id.to_bytes(), None).collect::<Result<_, _>>()?;
            if !force && !secrets.is_empty() {
                return Err(Error::NotEmpty { secrets: counts.secrets });
            }
            let vars: Vec<_> = tx.scan::<Vars>(&id.to_bytes(), None).collect::<Result<_, _>>()?;
            for ((environment, key), secret) in secrets {
                remove_secret(tx, &SecretPlace { environment, key }, secret.id)?;
            }
            for ((environment, key), var) in vars {
                remove_var(tx, &VarPlace { environment, key }, &var);
            }
            tx.remove::<Counts>(&id);
            tx.remove::<EnvironmentNames>(&row.name.folded());
            tx.remove::<Environments>(&id);
            let draft = policy::label(draft, id, &row).on(id, Some(row.name.as_str())).details(
                &json!({ "force": force, "secrets": counts.secrets, "vars": counts.vars }),
            );
            Ok(((), draft))
        })
        .await
    }
}
