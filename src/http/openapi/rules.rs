//! What the builder of the OpenAPI document cannot express.
//!
//! Owns: which codes each status of an operation can have; which answer holds the id that another
//! operation takes.

use serde_json::{Map, Value, json};

use crate::http::response::code::Code;

/// A POST that creates a row, the path of that row, and where the answer has the path's parameters.
struct Creation {
    path: &'static str,
    row: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const CREATIONS: [Creation; 6] = [
    Creation {
        path: "/api/admin/tokens",
        row: "/api/admin/tokens/{id}",
        parameters: &[("id", "$response.body#/tokenRecord/id")],
    },
    Creation {
        path: "/api/users",
        row: "/api/users/{id}",
        parameters: &[("id", "$response.body#/user/id")],
    },
    Creation {
        path: "/api/admin/service-accounts",
        row: "/api/admin/service-accounts/{id}",
        parameters: &[("id", "$response.body#/serviceAccount/id")],
    },
    Creation {
        path: "/api/environments",
        row: "/api/environments/{environment}",
        parameters: &[("environment", "$response.body#/environment/id")],
    },
    Creation {
        path: "/api/environments/{environment}/secrets",
        row: "/api/secrets/{id}",
        parameters: &[
            ("id", "$response.body#/secret/id"),
            ("version", "$response.body#/secret/version"),
        ],
    },
    Creation {
        path: "/api/environments/{environment}/vars",
        row: "/api/vars/{id}",
        parameters: &[("id", "$response.body#/var/id")],
    },
];

/// Adds the list of codes and the links between operations.
pub(in crate::http) fn add(document: &mut Value) {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] = json!(codes);
    for creation in &CREATIONS {
        let links = links(&document["paths"], creation);
        document["paths"][creation.path]["post"]["responses"]["200"]["links"] = links;
    }
}

/// Narrows an error response to the codes that it can have.
pub(in crate::http) fn narrow(operation: &mut Value, status: u16, codes: &[&str]) {
    let schema = operation
        .pointer_mut(&format!("/responses/{status}/content/application~1json/schema"))
        .filter(|schema| schema["$ref"] == "#/components/schemas/Error");
    if let Some(schema) = schema {
        schema["properties"] = json!({ "code": { "enum": codes } });
    }
}

/// Makes a link to each operation on the created row or on something below it.
fn links(paths: &Value, creation: &Creation) -> Value {
    let below = |path: &str| {
        path.strip_prefix(creation.row).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut links = Map::new();
    for (path, item) in paths.as_object().into_iter().flatten().filter(|(path, _)| below(path)) {
        if path.contains("{session}") {
            // The answer to a creation does not contain a session.
            continue;
        }
        let taken =
            creation.parameters.iter().filter(|(name, _)| path.contains(&format!("{{{name}}}")));
        let parameters: Map<_, _> =
            taken.map(|(name, pointer)| ((*name).to_owned(), json!(pointer))).collect();
        for operation in item.as_object().into_iter().flatten().map(|(_, operation)| operation) {
            let id = &operation["operationId"];
            let link = json!({ "operationId": id, "parameters": parameters });
            links.insert(id.as_str().unwrap_or_default().to_owned(), link);
        }
    }
    links.into()
}
