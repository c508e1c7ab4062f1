//! What PATCH can change on users and service accounts alike: role, scope, disabled.

use serde_json::{Value, json};

use crate::access::NewScope;
use crate::domain::Role;

use crate::http::request::json::{BodyMembers, boolean};
use crate::http::request::scope::{describe_scope, role, scope};

/// Changes to a user or service account. `None` leaves a property as it is.
#[derive(Debug)]
pub(in crate::http) struct AccountMembers {
    pub role: Option<Role>,
    pub scope: Option<NewScope>,
    pub disabled: Option<bool>,
}

impl AccountMembers {
    /// Parses the members, and notes what is wrong with them.
    pub fn parse(members: &mut BodyMembers<'_>) -> Self {
        Self {
            role: members.optional("role", role),
            scope: scope(members),
            disabled: members.optional("disabled", boolean),
        }
    }

    /// Adds the members to a schema. `revoked` says what a lower role and disabling revoke.
    pub fn describe(schema: &mut Value, revoked: &Revoked) {
        let members = &mut schema["properties"];
        members["role"] =
            json!({ "$ref": "#/components/schemas/Role", "description": revoked.by_lower_role });
        members["disabled"] = json!({ "type": "boolean", "description": revoked.by_disabling });
        describe_scope(schema);
    }
}

/// What a change revokes, in words for the OpenAPI document.
pub(in crate::http) struct Revoked {
    pub by_lower_role: &'static str,
    pub by_disabling: &'static str,
}
