//! `/api/admin/tokens/…`: API tokens.

use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::access::{NewScope, NewToken, NewTokenOwner, TokenFilter};
use crate::domain::{Id, IdKind, Role, ServiceAccountId, TokenName, UserId};
use crate::vault::Administer;

use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, Rule, named, text, typed};
use crate::http::request::parameter::Parameter;
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::scope::{describe_required_scope, required_scope, role};
use crate::http::request::state::State;
use crate::http::response::account_items::{NewTokenAnswer, RoleWord, TokensAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;
use crate::http::response::schema;

/// The longest lifetime of a token that expires, in days.
const MAX_DAYS: u32 = 365;

/// The parameters of the list.
pub(in crate::http) const FILTERS: &[Parameter] = &[BY_USER, BY_SERVICE_ACCOUNT];
const BY_USER: Parameter = Parameter::query(
    "ownerUserId",
    || schema::text().pattern(Some(UserId::pattern())),
    "Only tokens of this user.",
);
const BY_SERVICE_ACCOUNT: Parameter = Parameter::query(
    "ownerServiceAccountId",
    || schema::text().pattern(Some(ServiceAccountId::pattern())),
    "Only tokens of this service account.",
);

/// A token to create. One of `allEnvironments` and `environmentIds` is required.
#[derive(Debug, ToSchema)]
#[schema(as = NewToken)]
pub(in crate::http) struct CreateToken {
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: TokenName,
    /// At most the owner's role.
    #[schema(value_type = RoleWord)]
    role: Role,
    /// Described by `constrain`, because it is two members on the wire.
    #[schema(ignore)]
    scope: NewScope,
    /// Described by `constrain`, because it is two members on the wire.
    #[schema(ignore)]
    owner: NewTokenOwner,
    /// After how many days the token expires; `null` for never.
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
    if days.is_none_or(|days| (1..=MAX_DAYS).contains(&days)) {
        Ok(days)
    } else {
        Err(Rule::Borrowed(rule))
    }
}

impl RequestBody for CreateToken {
    fn constrain(schema: &mut Value) {
        describe_required_scope(schema);
        let members = &mut schema["properties"];
        members["ownerUserId"] = json!({
            "type": ["string", "null"],
            "pattern": UserId::pattern(),
            "description": "The owner, if it is a user. Without an owner the token belongs to the \
                            caller.",
        });
        members["ownerServiceAccountId"] = json!({
            "type": ["string", "null"],
            "pattern": ServiceAccountId::pattern(),
            "description": "The owner, if it is a service account.",
        });
        let given = |name: &str| json!({ "required": [name], "properties": { (name): { "type": "string" } } });
        schema["not"] = json!({ "allOf": [given("ownerUserId"), given("ownerServiceAccountId")] });
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
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
                members.problem("ownerServiceAccountId", "cannot be combined with ownerUserId");
                NewTokenOwner::Caller
            }
        };
        let expires_in_days = members.optional("expiresInDays", days).flatten();
        let body = name.zip(role).zip(scope).map(|((name, role), scope)| Self {
            name,
            role,
            scope,
            owner,
            expires_in_days,
        });
        members.finish(body)
    }
}

pub(in crate::http) async fn list(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let filter = TokenFilter {
        user: call.query.parsed(BY_USER.name, "must be the id of a user", |id| id.parse().ok())?,
        service_account: call.query.parsed(
            BY_SERVICE_ACCOUNT.name,
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
    let CreateToken { name, role, scope, owner, expires_in_days } = call.body;
    let new = NewToken { name, role, scope, owner, expires_in_days };
    let (info, token) = call.state.access.create_token(&call.permit, new).await?;
    Ok(Answer::json(&NewTokenAnswer { token: token.expose(), token_record: info.into() }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_token(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}
