//! Secrets and vars as answers show them: with the workloads and files that use them.

use crate::domain::{EnvironmentId, KeyName, SecretInfo, VarInfo};

use crate::http::request::state::State;
use crate::http::response::items::{SecretItem, UsedBy, VarItem};

impl State {
    pub(in crate::http) fn secret_item(&self, info: SecretInfo) -> SecretItem {
        let usage = self.usage(info.environment, &info.key);
        SecretItem::new(info, usage)
    }

    /// Nobody receives a var if there is a secret with the same key, which takes precedence.
    pub(in crate::http) fn var_item(&self, info: VarInfo) -> VarItem {
        let is_hidden = || self.vault.has_secret(info.environment, &info.key);
        let usage = match self.usage(info.environment, &info.key) {
            usage if usage.is_any() && is_hidden() => UsedBy::default(),
            usage => usage,
        };
        VarItem::new(info, usage)
    }

    fn usage(&self, environment: EnvironmentId, key: &KeyName) -> UsedBy {
        let declared = self.declared.now();
        if declared.is_empty() {
            return UsedBy::default();
        }
        let name = self.vault.environment_name(environment);
        name.map_or_else(UsedBy::default, |name| declared.uses(&name, key).into())
    }
}
