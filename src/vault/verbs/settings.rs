//! The verbs on the settings of an environment.

use serde_json::json;

use crate::audit::Action;
use crate::domain::EnvironmentSettings;
use crate::store::Environments;

use crate::vault::error::Error;
use crate::vault::lookup::{environment_row, not_before};
use crate::vault::policy::{self, Administer, Permit};
use crate::vault::service::Vault;

/// Changes to settings; a `None` leaves the setting as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettingsPatch {
    /// See [`EnvironmentSettings::allow_secret_reveal`].
    pub allow_secret_reveal: Option<bool>,
    /// See [`EnvironmentSettings::never_reveal_by_default`].
    pub never_reveal_by_default: Option<bool>,
}

impl Vault {
    /// Returns the settings of the permit's environment.
    pub fn read_settings(&self, permit: &Permit<Administer>) -> Result<EnvironmentSettings, Error> {
        Ok(environment_row(&*self.store, permit.environment()?.id())?.settings)
    }

    /// Changes some of the settings.
    pub async fn update_settings(
        &self,
        permit: &Permit<Administer>,
        patch: SettingsPatch,
    ) -> Result<EnvironmentSettings, Error> {
        self.change_settings(permit, Action::SettingsUpdate, move |old| EnvironmentSettings {
            allow_secret_reveal: patch.allow_secret_reveal.unwrap_or(old.allow_secret_reveal),
            never_reveal_by_default: patch
                .never_reveal_by_default
                .unwrap_or(old.never_reveal_by_default),
        })
        .await
    }

    /// Restores the default settings.
    pub async fn reset_settings(
        &self,
        permit: &Permit<Administer>,
    ) -> Result<EnvironmentSettings, Error> {
        self.change_settings(permit, Action::SettingsReset, |_| EnvironmentSettings::default())
            .await
    }

    async fn change_settings(
        &self,
        permit: &Permit<Administer>,
        action: Action,
        change: impl FnOnce(EnvironmentSettings) -> EnvironmentSettings + Send + 'static,
    ) -> Result<EnvironmentSettings, Error> {
        let id = permit.environment()?.id();
        let now = self.now();
        let draft = permit.draft(action, now);
        self.change(permit, move |tx| {
            let mut row = environment_row(tx, id)?;
            let old = row.settings;
            row.settings = change(old);
            if row.settings != old {
                row.updated_at = not_before(now, row.updated_at);
                tx.put::<Environments>(&id, &row);
            }
            let draft = policy::label(draft, id, &row)
                .on(id, Some(row.name.as_str()))
                .details(&json!({ "old": old, "new": row.settings }));
            Ok((row.settings, draft))
        })
        .commit_once()
        .await
    }
}
