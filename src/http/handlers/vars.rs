//! `/api/environments/{environment}/vars` and `/api/vars/{id}`.

use utoipa::ToSchema;

use crate::domain::{Description, KeyName};
use crate::vault::{NewVar, Read, VarPatch, Write};

use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, Rule, named, nullable, text};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::{Done, VarAnswer, VarsAnswer};

const READ_ONLY: [&str; 6] = ["id", "key", "environmentId", "createdAt", "updatedAt", "version"];

/// A var to create.
#[derive(Debug, ToSchema)]
#[schema(as = NewVar)]
pub(in crate::http) struct CreateVar {
    #[schema(value_type = String, pattern = "^[A-Z][A-Z0-9_]*$", max_length = 256)]
    key: KeyName,
    /// 1 byte to 64 KiB of UTF-8, stored byte for byte.
    #[schema(min_length = 1)]
    value: String,
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Description,
}

/// Changes to a var. Read-only members (`id`, `key`, `environmentId`, `createdAt`, `updatedAt`,
/// `version`) are refused with 422, whatever their value is.
#[derive(Debug, ToSchema)]
#[schema(as = VarPatch)]
pub(in crate::http) struct PatchVar {
    /// Adds a new version, even if the value is the same.
    #[schema(min_length = 1, nullable = false)]
    value: Option<String>,
    /// `null` or an empty string clears it.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
}

/// Parses a value and checks its length.
pub(in crate::http) fn value(
    raw: &serde_json::value::RawValue,
    limit: usize,
) -> Result<String, Rule> {
    let value = text(raw)?.into_owned();
    if (1..=limit).contains(&value.len()) {
        Ok(value)
    } else {
        Err(Rule::Owned(format!("must be 1 to {limit} bytes of UTF-8")))
    }
}

impl RequestBody for CreateVar {
    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = BodyMembers::parse(body)?;
        let key = members.required("key", named(KeyName::parse));
        let value = members.required("value", |raw| value(raw, limit));
        let description = members.optional("description", nullable(Description::parse));
        let body = key.zip(value).map(|(key, value)| Self {
            key,
            value,
            description: description.unwrap_or_default(),
        });
        members.finish(body)
    }
}

impl RequestBody for PatchVar {
    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError> {
        let limit = state.vault.limits().value_bytes;
        let mut members = BodyMembers::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        let body = Self {
            value: members.optional("value", |raw| value(raw, limit)),
            description: members.optional("description", nullable(Description::parse)),
        };
        members.finish(Some(body))
    }
}

pub(in crate::http) async fn list(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let page = call.query.page()?;
    let Call { state, permit, .. } = call;
    let shared = state.clone();
    let listed = actix_web::web::block(move || shared.vault.list_vars(&permit, &page)).await??;
    let vars = listed.into_iter().map(|info| state.var_item(info)).collect();
    Ok(Answer::json(&VarsAnswer { vars }))
}

pub(in crate::http) async fn create(call: Call<Write, CreateVar>) -> Result<Answer, ApiError> {
    let CreateVar { key, value, description } = call.body;
    let new = NewVar { key, value, description };
    let var = call.state.var_item(call.state.vault.create_var(&call.permit, new).await?);
    Ok(Answer::json(&VarAnswer { var }))
}

pub(in crate::http) async fn read(call: Call<Read, NoBody>) -> Result<Answer, ApiError> {
    let var = call.state.var_item(call.state.vault.read_var(&call.permit, call.id()).await?);
    Ok(Answer::json(&VarAnswer { var }))
}

pub(in crate::http) async fn update(call: Call<Write, PatchVar>) -> Result<Answer, ApiError> {
    let expected = call.expected()?;
    let id = call.id().to_owned();
    let PatchVar { value, description } = call.body;
    let patch = VarPatch { value, description, expected };
    let var = call.state.var_item(call.state.vault.update_var(&call.permit, &id, patch).await?);
    Ok(Answer::json(&VarAnswer { var }))
}

pub(in crate::http) async fn delete(call: Call<Write, NoBody>) -> Result<Answer, ApiError> {
    let expected = call.expected()?;
    call.state.vault.delete_var(&call.permit, call.id(), expected).await?;
    Ok(Answer::json(&Done { success: true }))
}
