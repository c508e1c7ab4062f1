//! `role`, `allEnvironments` and `environmentIds` in a body.

use crate::access::NewScope;
use crate::domain::Role;

use crate::http::request::json::{Members, Rule, boolean, text};

/// A role.
pub(in crate::http) fn role(raw: &serde_json::value::RawValue) -> Result<Role, Rule> {
    let word = text(raw)?;
    [Role::Viewer, Role::Operator, Role::Admin]
        .into_iter()
        .find(|role| role.as_str() == word)
        .ok_or(Rule::Borrowed("must be viewer, operator or admin"))
}

/// The scope, if the body says one. Nobody gets into an environment because a
/// body left something out.
pub(in crate::http) fn scope(members: &mut Members<'_>) -> Option<NewScope> {
    let all = members.optional("allEnvironments", boolean);
    let list = members.list("environmentIds", NewScope::MAX_ENVIRONMENTS, |text| {
        text.parse().map_err(|_| "must be the id of an environment")
    });
    match (all, list) {
        (Some(true), None) => Some(NewScope::All),
        (Some(true), Some(list)) if list.is_empty() => Some(NewScope::All),
        (Some(true), Some(_)) => {
            members.problem("environmentIds", "must be empty when allEnvironments is true");
            None
        }
        (_, Some(list)) => Some(NewScope::Environments(list)),
        (Some(false), None) => {
            members.problem("environmentIds", "is required when allEnvironments is false");
            None
        }
        (None, None) => None,
    }
}

/// Likewise, for something that is new and has no scope yet.
pub(in crate::http) fn required_scope(members: &mut Members<'_>) -> Option<NewScope> {
    if !members.has("allEnvironments") && !members.has_more_than_null("environmentIds") {
        members.problem("allEnvironments", "is required, or environmentIds");
    }
    scope(members)
}
