//! `/api/environments/{environment}/secrets/copy`: copying secrets between environments.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::ObjectBuilder;

use crate::domain::{KeyName, OnConflict};
use crate::vault::{Administer, Copied, CopyOutcome, Copying};

use crate::http::handlers::on_conflict::{self, on_conflict, on_conflict_schema};
use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, text};
use crate::http::request::parse::RequestBody;
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::SecretItem;
use crate::http::response::schema::words;

/// Secrets to copy into the environment in the path. Either all of them are copied or none.
#[derive(Debug, ToSchema)]
#[schema(as = CopySecrets)]
pub(in crate::http) struct CopySecrets {
    /// The id or name of the environment to copy from. Must not be the one in the path.
    from: String,
    /// The keys of the secrets, without duplicates.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    keys: Vec<KeyName>,
    #[schema(rename = "onConflict", required = false, schema_with = on_conflict_schema)]
    on_conflict: OnConflict,
}

impl RequestBody for CopySecrets {
    fn constrain(schema: &mut Value) {
        let keys = &mut schema["properties"]["keys"];
        keys["items"] =
            json!({ "type": "string", "pattern": "^[A-Z][A-Z0-9_]*$", "maxLength": 256 });
        keys["uniqueItems"] = json!(true);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_misspelled(on_conflict::MEMBER)?;
        let from = members.required("from", |raw| Ok(text(raw)?.into_owned()));
        let keys = keys(&mut members);
        let on_conflict = on_conflict(&mut members);
        let body = from.zip(keys).map(|(from, keys)| Self { from, keys, on_conflict });
        members.finish(body)
    }
}

/// Parses the list of keys, which must not be empty or have duplicates.
fn keys(members: &mut BodyMembers<'_>) -> Option<Vec<KeyName>> {
    if !members.has_more_than_null("keys") {
        members.problem("keys", "is required");
        return None;
    }
    let seen = RefCell::new(HashSet::new());
    let rule = |text: &str| {
        let key = KeyName::parse(text).map_err(|violation| violation.0)?;
        if seen.borrow_mut().insert(key.clone()) { Ok(key) } else { Err("is a duplicate") }
    };
    let keys = members.list("keys", Copying::MAX_KEYS, rule)?;
    if keys.is_empty() {
        members.problem("keys", "must have at least one item");
    }
    Some(keys)
}

fn outcome_words() -> ObjectBuilder {
    words(["created", "replaced", "skipped"]).description(Some("What was done."))
}

/// A secret that was copied or skipped.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CopiedSecret)]
pub(in crate::http) struct CopiedItem {
    #[schema(schema_with = outcome_words)]
    outcome: &'static str,
    /// The secret in the target environment.
    secret: SecretItem,
}

/// The result of a copy, in the order of the requested keys.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CopyAnswer {
    copied: Vec<CopiedItem>,
}

impl CopyAnswer {
    pub fn new(state: &State, copied: &[Copied]) -> Self {
        let item = |one: &Copied| CopiedItem {
            outcome: match one.outcome {
                CopyOutcome::Created => "created",
                CopyOutcome::Replaced => "replaced",
                CopyOutcome::Skipped => "skipped",
            },
            secret: state.secret_item(one.secret.clone()),
        };
        Self { copied: copied.iter().map(item).collect() }
    }
}

pub(in crate::http) async fn copy(call: Call<Administer, CopySecrets>) -> Result<Answer, ApiError> {
    let CopySecrets { from, keys, on_conflict } = call.body;
    let copying = Copying { from, keys, on_conflict };
    let copied = call.state.vault.copy_secrets(&call.permit, copying).await?;
    Ok(Answer::json(&CopyAnswer::new(&call.state, &copied)))
}
