//! `/api/environments/{environment}/secrets/copy`.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::{KeyName, OnConflict};
use crate::vault::{Administer, Copied, CopyOutcome, CopyRefusal, Copying};

use crate::http::State;
use crate::http::openapi::document::words;
use crate::http::request::call::{Call, RequestBody};
use crate::http::request::json::{Members, Rule, text};
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code, Problem};
use crate::http::response::items::SecretItem;

fn on_conflict_words() -> ObjectBuilder {
    words(OnConflict::ALL.map(OnConflict::as_str))
        .description(Some("What to do about a key that is taken; `fail` if it is not given."))
}

/// Secrets to copy into the environment in the path. All of them are copied, or
/// none.
#[derive(Debug, ToSchema)]
#[schema(as = CopySecrets)]
pub(in crate::http) struct CopySecrets {
    /// The environment that they are in: its id or name. Not the one in the path.
    from: String,
    /// Their keys, each once.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100)]
    keys: Vec<KeyName>,
    #[schema(rename = "onConflict", required = false, schema_with = on_conflict_words)]
    on_conflict: OnConflict,
}

impl RequestBody for CopySecrets {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        members.refuse_misspelt("onConflict")?;
        let from = members.required("from", |raw| Ok(text(raw)?.into_owned()));
        let keys = keys(&mut members);
        let on_conflict = members.optional("onConflict", |raw| {
            OnConflict::from_word(&text(raw)?)
                .ok_or(Rule::Borrowed("must be fail, skip or replace"))
        });
        let on_conflict = on_conflict.unwrap_or(OnConflict::Fail);
        let body = from.zip(keys).map(|(from, keys)| Self { from, keys, on_conflict });
        members.finish(body)
    }
}

/// The list of keys: some, and none of them twice.
fn keys(members: &mut Members<'_>) -> Option<Vec<KeyName>> {
    if !members.has_more_than_null("keys") {
        members.problem("keys", "is required");
        return None;
    }
    let seen = RefCell::new(HashSet::new());
    let rule = |text: &str| {
        let key = KeyName::parse(text).map_err(|violation| violation.0)?;
        if seen.borrow_mut().insert(key.clone()) { Ok(key) } else { Err("stands twice") }
    };
    let keys = members.list("keys", Copying::MAX_KEYS, rule)?;
    if keys.is_empty() {
        members.problem("keys", "must name a key");
    }
    Some(keys)
}

fn outcome_words() -> ObjectBuilder {
    words(["created", "replaced", "skipped"]).description(Some("What became of it."))
}

/// A secret of a copy.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CopiedSecret)]
pub(in crate::http) struct CopiedItem {
    #[schema(schema_with = outcome_words)]
    outcome: &'static str,
    /// As it is in the target now.
    secret: SecretItem,
}

/// What a copy has done, in the order of the keys that were asked for.
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

impl From<CopyRefusal> for ApiError {
    fn from(refusal: CopyRefusal) -> Self {
        match refusal {
            CopyRefusal::Source(error) => Self::from(*error).field("from"),
            CopyRefusal::SameEnvironment => {
                Self::invalid("from must be another environment than the one in the path")
                    .field("from")
            }
            CopyRefusal::Missing(places) => {
                at(Code::NotFound, &places, "names no secret of the source")
            }
            CopyRefusal::Taken(places) => at(Code::Conflict, &places, "is taken in the target")
                .hint("Nothing was copied. Leave them out, or say onConflict: skip or replace."),
            CopyRefusal::TooMany { most } => {
                Self::invalid(format!("keys must name at most {most} secrets"))
                    .field("keys")
                    .hint("Copy them in several requests.")
            }
            CopyRefusal::Secret { at, error } => Self::from(*error).field(format!("keys.{at}")),
        }
    }
}

fn at(code: Code, places: &[usize], rule: &str) -> ApiError {
    let problem = |at: &usize| {
        let field = format!("keys.{at}");
        Problem { message: format!("{field} {rule}"), field }
    };
    ApiError::problems(code, places.iter().map(problem).collect())
}
