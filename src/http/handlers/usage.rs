//! Secrets and vars as answers show them: with who would get them.

use crate::domain::{EnvironmentId, KeyName, SecretInfo, VarInfo};

use crate::http::State;
use crate::http::response::items::{SecretItem, Use, VarItem};

impl State {
    pub(in crate::http) fn secret_item(&self, info: SecretInfo) -> SecretItem {
        let used = self.used(info.environment, &info.key);
        SecretItem::new(info, used)
    }

    /// A secret of the same key comes before a var, which then nobody gets.
    pub(in crate::http) fn var_item(&self, info: VarInfo) -> VarItem {
        let hidden = || self.vault.has_secret(info.environment, &info.key);
        let used = match self.used(info.environment, &info.key) {
            used if used.is_any() && hidden() => Use::default(),
            used => used,
        };
        VarItem::new(info, used)
    }

    fn used(&self, environment: EnvironmentId, key: &KeyName) -> Use {
        let declared = self.declared.now();
        if declared.is_empty() {
            return Use::default();
        }
        let name = self.vault.environment_name(environment);
        name.map_or_else(Use::default, |name| declared.uses(&name, key).into())
    }
}
