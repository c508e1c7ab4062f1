//! `/api/admin/tokens/…`.

use serde_json::value::RawValue;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{NewScope, NewToken, NewTokenOwner, TokenFilter};
use crate::domain::{Id, IdKind, Role, TokenName};
use crate::vault::Administer;

use crate::http::State;
use crate::http::request::call::{Call, NoBody, RequestBody};
use crate::http::request::json::{Members, Rule, named, text, typed};
use crate::http::request::scope::{required_scope, role};
use crate::http::response::account_items::{NewTokenAnswer, RoleWord, TokensAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// Longest life of a token that ends, in days.
const MOST_DAYS: u32 = 365;

/// A token to create. One of `allEnvironments` and `environmentIds` is needed.
#[derive(Debug, ToSchema)]
#[schema(as = NewToken)]
#[allow(dead_code)]
pub(in crate::http) struct CreateToken {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: TokenName,
    /// At most its owner's.
    #[schema(value_type = RoleWord)]
    role: Role,
    /// Every environment that its owner reaches, those of the future included.
    #[schema(value_type = Option<bool>, nullable = false, rename = "allEnvironments")]
    all_environments: (),
    /// Otherwise these.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, rename = "environmentIds")]
    scope: NewScope,
    /// Its owner, if that is a user. Without an owner it is the caller's.
    #[schema(value_type = Option<String>, rename = "ownerUserId")]
    owner: NewTokenOwner,
    /// Its owner, if that is a service account.
    #[schema(value_type = Option<String>, rename = "ownerServiceAccountId")]
    owner_service_account_id: (),
    /// After how many days it stops working; `null` is never.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 365, rename = "expiresInDays")]
    expires_in_days: Option<u32>,
}

fn optional_id<K: IdKind>(
    rule: &'static str,
) -> impl FnOnce(&RawValue) -> Result<Option<Id<K>>, Rule> {
    move |raw| {
        if raw.get() == "null" {
            return Ok(None);
        }
        text(raw)?.parse().map(Some).map_err(|_| Rule::Borrowed(rule))
    }
}

fn days(raw: &RawValue) -> Result<Option<u32>, Rule> {
    let rule = "must be a whole number from 1 to 365, or null";
    let days: Option<u32> = typed(raw, rule)?;
    if days.is_none_or(|days| (1..=MOST_DAYS).contains(&days)) {
        Ok(days)
    } else {
        Err(Rule::Borrowed(rule))
    }
}

impl RequestBody for CreateToken {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        let name = members.required("name", named(TokenName::parse));
        let role = members.required("role", role);
        let scope = required_scope(&mut members);
        let user = members.optional("ownerUserId", optional_id("must be the id of a user"));
        let account = members
            .optional("ownerServiceAccountId", optional_id("must be the id of a service account"));
        let owner = match (user.flatten(), account.flatten()) {
            (None, None) => NewTokenOwner::Caller,
            (Some(id), None) => NewTokenOwner::User(id),
            (None, Some(id)) => NewTokenOwner::ServiceAccount(id),
            (Some(_), Some(_)) => {
                members.problem("ownerServiceAccountId", "must not be given beside ownerUserId");
                NewTokenOwner::Caller
            }
        };
        let expires_in_days = members.optional("expiresInDays", days).flatten();
        let body = name.zip(role).zip(scope).map(|((name, role), scope)| Self {
            name,
            role,
            all_environments: (),
            scope,
            owner,
            owner_service_account_id: (),
            expires_in_days,
        });
        members.finish(body)
    }
}

pub(in crate::http) async fn list(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let filter = TokenFilter {
        user: call.query.parsed("ownerUserId", "must be the id of a user", |id| id.parse().ok())?,
        service_account: call.query.parsed(
            "ownerServiceAccountId",
            "must be the id of a service account",
            |id| id.parse().ok(),
        )?,
    };
    let Call { state, permit, .. } = call;
    let listed = actix_web::web::block(move || state.access.list_tokens(&permit, filter)).await??;
    let tokens = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&TokensAnswer { tokens }))
}

pub(in crate::http) async fn create(
    call: Call<Administer, CreateToken>,
) -> Result<Answer, ApiError> {
    let CreateToken { name, role, scope, owner, expires_in_days, .. } = call.body;
    let new = NewToken { name, role, scope, owner, expires_in_days };
    let (info, token) = call.state.access.create_token(&call.permit, new).await?;
    Ok(Answer::json(&NewTokenAnswer { token: token.expose(), token_record: info.into() }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_token(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}
