//! What users and service accounts have in common: role, scope, and whether they are disabled.
//!
//! Owns: how a change of these is applied, which tokens it ends, and how an audit row describes it.
//! Must never: check whether the caller may make the change.
//! Called by: `users` and `service_accounts`; `tokens` for the description of a scope.

use serde_json::{Value, json};

use crate::access::error::Error;
use crate::access::scope::NewScope;
use crate::domain::{Role, Scope};
use crate::store::View;

/// The permissions of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permissions {
    pub role: Role,
    pub scope: Scope,
    pub disabled: bool,
}

/// Requested changes to the permissions of an account. `None` keeps the present value.
#[derive(Debug)]
pub(super) struct PermissionsPatch {
    pub role: Option<Role>,
    pub scope: Option<NewScope>,
    pub disabled: Option<bool>,
}

impl PermissionsPatch {
    /// Returns the new permissions. Fails if an environment of the scope does not exist.
    pub fn apply(self, view: &impl View, old: &Permissions) -> Result<Permissions, Error> {
        let scope = self.scope.map(|scope| scope.check(view)).transpose()?;
        Ok(Permissions {
            role: self.role.unwrap_or(old.role),
            scope: scope.unwrap_or_else(|| old.scope.clone()),
            disabled: self.disabled.unwrap_or(old.disabled),
        })
    }
}

/// The credentials that a change of permissions ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revocation {
    /// None of them.
    Nothing,
    /// All of them: the account is now disabled.
    Everything,
    /// The sessions, and the tokens with a higher role than this: the role is now lower.
    Above(Role),
}

/// Returns the credentials that the change from `old` to `new` ends.
pub(super) fn revocation(old: &Permissions, new: &Permissions) -> Revocation {
    if new.disabled && !old.disabled {
        Revocation::Everything
    } else if new.role < old.role {
        Revocation::Above(new.role)
    } else {
        Revocation::Nothing
    }
}

/// Returns the members that differ, sorted. `own` is the member that only this kind of account has,
/// and whether it differs.
pub(super) fn changed_members(
    old: &Permissions,
    new: &Permissions,
    own: (&'static str, bool),
) -> Vec<&'static str> {
    let mut changed = match (&old.scope, &new.scope) {
        (old, new) if old == new => Vec::new(),
        (Scope::Environments(_), Scope::Environments(_)) => vec!["environmentIds"],
        _ => vec!["allEnvironments", "environmentIds"],
    };
    let others = [own, ("role", new.role != old.role), ("disabled", new.disabled != old.disabled)];
    changed.extend(others.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name));
    changed.sort_unstable();
    changed
}

/// Adds the old and the new role and scope to the details of an audit row, where they differ.
pub(super) fn describe_change(details: &mut Value, old: &Permissions, new: &Permissions) {
    if new.role != old.role {
        details["role"] = json!({ "old": old.role, "new": new.role });
    }
    if new.scope != old.scope {
        details["scope"] = json!({ "old": scope_text(&old.scope), "new": scope_text(&new.scope) });
    }
}

/// The longest list of environments in the details of an audit row; a longer one is only counted.
/// Rows have to stay small: see `store::CHUNK_BYTES`.
const MAX_LISTED: usize = 20;

/// Describes a scope in the details of an audit row.
pub(super) fn scope_text(scope: &Scope) -> Value {
    match scope {
        Scope::All => json!("all"),
        Scope::Environments(list) if list.len() <= MAX_LISTED => json!(list),
        Scope::Environments(list) => json!({ "environments": list.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EnvironmentId;

    fn permissions(role: Role, ids: Option<&[u8]>, disabled: bool) -> Permissions {
        let id = |n: &u8| EnvironmentId::from_bytes([*n; 16]);
        let list = |ids: &[u8]| Scope::Environments(ids.iter().map(id).collect());
        Permissions { role, scope: ids.map_or(Scope::All, list), disabled }
    }

    #[test]
    fn changed_members_are_sorted_and_complete() {
        let old = permissions(Role::Admin, None, false);
        let new = permissions(Role::Viewer, Some(&[1]), true);
        assert_eq!(
            changed_members(&old, &new, ("name", true)),
            ["allEnvironments", "disabled", "environmentIds", "name", "role"]
        );
        let listed = permissions(Role::Viewer, Some(&[2]), true);
        assert_eq!(changed_members(&new, &listed, ("name", false)), ["environmentIds"]);
        assert!(changed_members(&old, &old, ("name", false)).is_empty());
    }

    #[test]
    fn only_fewer_permissions_end_credentials() {
        let admin = permissions(Role::Admin, None, false);
        let viewer = permissions(Role::Viewer, None, false);
        let disabled = permissions(Role::Viewer, None, true);
        assert_eq!(revocation(&viewer, &admin), Revocation::Nothing);
        assert_eq!(revocation(&admin, &viewer), Revocation::Above(Role::Viewer));
        assert_eq!(revocation(&admin, &disabled), Revocation::Everything);
        assert_eq!(revocation(&disabled, &viewer), Revocation::Nothing);
    }
}
