//! Roles and scopes as arguments and as text: people name environments, the API
//! wants their ids.

use std::collections::HashMap;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::api::{Answer, Client};
use crate::cli::terminal::error::Failure;

/// The roles there are, for clap.
pub(in crate::cli) const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// Where somebody may do something. It must be said: neither "everywhere" nor
/// "nowhere" is what a person would expect of silence.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct ScopeArguments {
    /// In every environment, those of the future included
    #[arg(long)]
    all_environments: bool,
    /// In this environment (name or id) only; can be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    env: Vec<String>,
}

/// A scope as request bodies carry it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Scope {
    all_environments: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    environment_ids: Vec<String>,
}

impl ScopeArguments {
    /// Finds the ids.
    pub fn resolve(&self, client: &Client) -> Result<Scope, Failure> {
        let mut environment_ids = Vec::new();
        if !self.all_environments {
            let answer = environments(client)?;
            let known = answer.read::<Environments>()?.environments;
            for wanted in &self.env {
                let same =
                    |one: &&Environment| one.id == *wanted || one.name.eq_ignore_ascii_case(wanted);
                let found = known.iter().find(same).ok_or_else(|| {
                    Failure::failed(format!("there is no environment {wanted:?}"))
                        .hint("`coffer env list` shows those there are.")
                })?;
                environment_ids.push(found.id.clone());
            }
        }
        Ok(Scope { all_environments: self.all_environments, environment_ids })
    }
}

/// An environment, as far as it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Environment {
    pub id: String,
    pub name: String,
    pub display_name: Option<String>,
    pub created_at: String,
    #[serde(rename = "_count")]
    pub count: Count,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Count {
    pub secrets: u64,
    pub vars: u64,
}

#[derive(Deserialize)]
pub(in crate::cli) struct Environments {
    pub environments: Vec<Environment>,
}

pub(in crate::cli) fn environments(client: &Client) -> Result<Answer, Failure> {
    client.get("/api/environments")
}

/// A scope as answers carry it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ScopeShown {
    pub all_environments: bool,
    pub environment_ids: Vec<String>,
}

/// Environments' names by their ids.
pub(in crate::cli) struct Names(HashMap<String, String>);

impl Names {
    /// Asks for them, if any of these scopes needs one.
    pub fn of<'a>(
        client: &Client,
        mut scopes: impl Iterator<Item = &'a ScopeShown>,
    ) -> Result<Self, Failure> {
        if scopes.all(|scope| scope.environment_ids.is_empty()) {
            return Ok(Self(HashMap::new()));
        }
        let known = environments(client)?.read::<Environments>()?.environments;
        Ok(Self(known.into_iter().map(|one| (one.id, one.name)).collect()))
    }

    /// The scope in one cell.
    pub fn cell(&self, scope: &ScopeShown) -> String {
        if scope.all_environments {
            return "all".to_owned();
        }
        let name = |id: &String| self.0.get(id).unwrap_or(id).clone();
        let names: Vec<_> = scope.environment_ids.iter().map(name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
