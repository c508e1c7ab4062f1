//! `role`, `allEnvironments` and `environmentIds` in a body.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::access::NewScope;
use crate::domain::{EnvironmentId, Role};

use crate::http::request::json::{BodyMembers, Rule, boolean, text};

/// Parses a role.
pub(in crate::http) fn role(raw: &RawValue) -> Result<Role, Rule> {
    let word = text(raw)?;
    [Role::Viewer, Role::Operator, Role::Admin]
        .into_iter()
        .find(|role| role.as_str() == word)
        .ok_or(Rule::Borrowed("must be viewer, operator or admin"))
}

/// Parses the scope, if the body has one. An omitted member never widens a scope.
pub(in crate::http) fn scope(members: &mut BodyMembers<'_>) -> Option<NewScope> {
    let all = members.optional("allEnvironments", boolean);
    let list = members.list("environmentIds", NewScope::MAX_ENVIRONMENTS, |text| {
        text.parse().map_err(|_| "must be the id of an environment")
    });
    match (all, list) {
        (Some(true), None) => Some(NewScope::All),
        (Some(true), Some(list)) if list.is_empty() => Some(NewScope::All),
        (Some(true), Some(_)) => {
            members.problem("environmentIds", "must be empty if allEnvironments is true");
            None
        }
        (_, Some(list)) => Some(NewScope::Environments(list)),
        (Some(false), None) => {
            members.problem("environmentIds", "is required if allEnvironments is false");
            None
        }
        (None, None) => None,
    }
}

/// Parses the scope of something new, which has to have one.
pub(in crate::http) fn required_scope(members: &mut BodyMembers<'_>) -> Option<NewScope> {
    if !members.has("allEnvironments") && !members.has_more_than_null("environmentIds") {
        members.problem("allEnvironments", "or environmentIds is required");
    }
    scope(members)
}

/// Adds the two members of a scope to a schema, and their rules: all environments, or a list.
pub(in crate::http) fn describe_scope(schema: &mut Value) {
    let members = &mut schema["properties"];
    members["allEnvironments"] =
        json!({ "type": "boolean", "description": "Every environment, including future ones." });
    members["environmentIds"] = json!({
        "type": ["array", "null"],
        "items": { "type": "string", "pattern": EnvironmentId::pattern() },
        "maxItems": NewScope::MAX_ENVIRONMENTS,
        "description": "Otherwise these environments.",
    });
    let all = json!({
        "required": ["allEnvironments"],
        "properties": { "allEnvironments": { "const": true } },
    });
    let none =
        json!({ "properties": { "environmentIds": { "type": ["array", "null"], "maxItems": 0 } } });
    let not_all = json!({
        "required": ["allEnvironments"],
        "properties": { "allEnvironments": { "const": false } },
    });
    let some = json!({
        "required": ["environmentIds"],
        "properties": { "environmentIds": { "type": "array" } },
    });
    schema["allOf"] = json!([
        { "if": all, "then": none },
        { "if": not_all, "then": some },
    ]);
}

/// Adds a scope that is required to a schema.
pub(in crate::http) fn describe_required_scope(schema: &mut Value) {
    schema["anyOf"] =
        json!([{ "required": ["allEnvironments"] }, { "required": ["environmentIds"] }]);
    describe_scope(schema);
}
