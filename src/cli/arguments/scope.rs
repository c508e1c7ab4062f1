//! Roles and scopes, as arguments and as text. People name environments, the API uses their ids.

use std::collections::HashMap;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::{ApiClient, ApiResponse, ClientError};
use crate::cli::terminal::error::Failure;

/// The names of all roles, for clap.
pub(in crate::cli) const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Where a user, service account or token has access. Required, because neither "everywhere" nor
/// "nowhere" is an obvious default.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct ScopeArguments {
    /// Access to all environments, including future ones
    #[arg(long)]
    all_environments: bool,
    /// Access to this environment (name or id) only; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    env: Vec<String>,
}

/// A scope in a request body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RequestScope {
    all_environments: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    environment_ids: Vec<String>,
}

impl ScopeArguments {
    /// Looks up the ids of the named environments.
    pub fn resolve(&self, client: &ApiClient) -> Result<RequestScope, Failure> {
        let mut environment_ids = Vec::new();
        if !self.all_environments {
            let response = environments(client)?;
            let known = response.read::<EnvironmentList>()?.environments;
            for wanted in &self.env {
                let same = |one: &&ListedEnvironment| {
                    one.id == *wanted || one.name.eq_ignore_ascii_case(wanted)
                };
                let found = known.iter().find(same).ok_or_else(|| {
                    Failure::failed(format!("no environment named {wanted:?}"))
                        .hint("List environments: coffer env list")
                })?;
                environment_ids.push(found.id.clone());
            }
        }
        Ok(RequestScope { all_environments: self.all_environments, environment_ids })
    }
}

/// An environment as the API lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ListedEnvironment {
    pub id: String,
    pub name: String,
    pub display_name: Option<String>,
    pub created_at: String,
    #[serde(rename = "_count")]
    pub count: EnvironmentCounts,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct EnvironmentCounts {
    pub secrets: u64,
    pub vars: u64,
}

#[derive(Deserialize)]
pub(in crate::cli) struct EnvironmentList {
    pub environments: Vec<ListedEnvironment>,
}

pub(in crate::cli) fn environments(client: &ApiClient) -> Result<ApiResponse, ClientError> {
    client.get("/api/environments")
}

/// A scope in a response.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ResponseScope {
    pub all_environments: bool,
    pub environment_ids: Vec<String>,
}

/// The names of environments by id.
pub(in crate::cli) struct EnvironmentNames(HashMap<String, String>);

impl EnvironmentNames {
    /// Fetches the names, unless none of these scopes needs one.
    pub fn of<'a>(
        client: &ApiClient,
        mut scopes: impl Iterator<Item = &'a ResponseScope>,
    ) -> Result<Self, Failure> {
        if scopes.all(|scope| scope.environment_ids.is_empty()) {
            return Ok(Self(HashMap::new()));
        }
        let known = environments(client)?.read::<EnvironmentList>()?.environments;
        Ok(Self(known.into_iter().map(|one| (one.id, one.name)).collect()))
    }

    /// Formats a scope for one cell of a table.
    pub fn cell(&self, scope: &ResponseScope) -> String {
        if scope.all_environments {
            return "all".to_owned();
        }
        let name = |id: &String| self.0.get(id).unwrap_or(id).clone();
        let names: Vec<_> = scope.environment_ids.iter().map(name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
