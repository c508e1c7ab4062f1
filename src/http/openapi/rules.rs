//! What the builder of the description has no words for.
//!
//! Owns: rules between the members of a body; the codes that an operation's
//! status can carry; which answer holds the id that another operation takes.

use serde_json::{Map, Value, json};

use crate::domain::{EnvironmentId, ServiceAccountId, UserId};

use crate::http::response::error::Code;

/// A POST whose answer names a row, where in it, and the path that takes it.
struct Leads {
    from: &'static str,
    to: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const LEADS: [Leads; 6] = [
    Leads {
        from: "/api/admin/tokens",
        to: "/api/admin/tokens/{id}",
        parameters: &[("id", "$response.body#/tokenRecord/id")],
    },
    Leads {
        from: "/api/users",
        to: "/api/users/{id}",
        parameters: &[("id", "$response.body#/user/id")],
    },
    Leads {
        from: "/api/admin/service-accounts",
        to: "/api/admin/service-accounts/{id}",
        parameters: &[("id", "$response.body#/serviceAccount/id")],
    },
    Leads {
        from: "/api/environments",
        to: "/api/environments/{environment}",
        parameters: &[("environment", "$response.body#/environment/id")],
    },
    Leads {
        from: "/api/environments/{environment}/secrets",
        to: "/api/secrets/{id}",
        parameters: &[
            ("id", "$response.body#/secret/id"),
            ("version", "$response.body#/secret/version"),
        ],
    },
    Leads {
        from: "/api/environments/{environment}/vars",
        to: "/api/vars/{id}",
        parameters: &[("id", "$response.body#/var/id")],
    },
];

/// Adds all of it.
pub(in crate::http) fn add(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    schemas["NewSecret"]["oneOf"] =
        json!([{ "required": ["value"] }, { "required": ["generate"] }]);
    schemas["SecretPatch"]["not"] = json!({ "required": ["value", "generate"] });
    // For all that stands in a text, and for no list: there, each item says it, and
    // a var cannot.
    for (name, list, not) in
        [("SecretImport", "secrets", "secrets"), ("VarImport", "vars", "dotenv")]
    {
        schemas[name]["oneOf"] = json!([{ "required": [list] }, { "required": ["dotenv"] }]);
        schemas[name]["not"] = json!({ "required": [not, "neverReveal"] });
    }
    schemas["SettingsPatch"]["additionalProperties"] = json!(false);
    let keys = &mut schemas["CopySecrets"]["properties"]["keys"];
    keys["items"] = json!({ "type": "string", "pattern": "^[A-Z][A-Z0-9_]*$", "maxLength": 256 });
    keys["uniqueItems"] = json!(true);
    for name in ["NewUser", "NewServiceAccount", "NewToken"] {
        schemas[name]["anyOf"] =
            json!([{ "required": ["allEnvironments"] }, { "required": ["environmentIds"] }]);
    }
    for name in ["NewUser", "NewServiceAccount", "NewToken", "UserPatch", "ServiceAccountPatch"] {
        scope(&mut schemas[name]);
    }
    let token = &mut schemas["NewToken"];
    token["properties"]["ownerUserId"]["pattern"] = json!(UserId::pattern());
    token["properties"]["ownerServiceAccountId"]["pattern"] = json!(ServiceAccountId::pattern());
    let owner =
        |name: &str| json!({ "required": [name], "properties": { (name): { "type": "string" } } });
    token["not"] = json!({ "allOf": [owner("ownerUserId"), owner("ownerServiceAccountId")] });
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    schemas["Error"]["properties"]["code"]["enum"] = json!(codes);
    for leads in &LEADS {
        let links = links(&document["paths"], leads);
        document["paths"][leads.from]["post"]["responses"]["200"]["links"] = links;
    }
}

/// Which scopes a body can say: all environments, or a list of some.
fn scope(schema: &mut Value) {
    schema["properties"]["environmentIds"]["items"] =
        json!({ "type": "string", "pattern": EnvironmentId::pattern() });
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

/// Says which codes an error answer can carry: its schema is the error object's,
/// and this.
pub(in crate::http) fn narrow(operation: &mut Value, status: u16, codes: &[&str]) {
    let schema = operation
        .pointer_mut(&format!("/responses/{status}/content/application~1json/schema"))
        .filter(|schema| schema["$ref"] == "#/components/schemas/Error");
    if let Some(schema) = schema {
        schema["properties"] = json!({ "code": { "enum": codes } });
    }
}

/// A link to each operation on the row: its path is `to` or goes on below it.
fn links(paths: &Value, leads: &Leads) -> Value {
    let below = |path: &str| {
        path.strip_prefix(leads.to).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut links = Map::new();
    for (path, item) in paths.as_object().into_iter().flatten().filter(|(path, _)| below(path)) {
        if path.contains("{session}") {
            // No creation's answer names a session.
            continue;
        }
        let taken =
            leads.parameters.iter().filter(|(name, _)| path.contains(&format!("{{{name}}}")));
        let parameters: Map<_, _> =
            taken.map(|(name, place)| ((*name).to_owned(), json!(place))).collect();
        for operation in item.as_object().into_iter().flatten().map(|(_, operation)| operation) {
            let id = &operation["operationId"];
            let link = json!({ "operationId": id, "parameters": parameters });
            links.insert(id.as_str().unwrap_or_default().to_owned(), link);
        }
    }
    links.into()
}
