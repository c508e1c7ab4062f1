//! `/api/admin/service-accounts/…`: service accounts, which are machines that own tokens.

use serde_json::Value;
use utoipa::ToSchema;

use crate::access::{NewScope, NewServiceAccount, ServiceAccountPatch};
use crate::domain::{Description, Role, ServiceAccountName};
use crate::vault::Administer;

use crate::http::handlers::account_members::{AccountMembers, Revoked};
use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, named, nullable};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::scope::{describe_required_scope, required_scope, role};
use crate::http::request::state::State;
use crate::http::response::account_items::{RoleWord, ServiceAccountAnswer, ServiceAccountsAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

const READ_ONLY: [&str; 4] = ["id", "name", "createdAt", "updatedAt"];

/// A service account to create. One of `allEnvironments` and `environmentIds` is required.
#[derive(Debug, ToSchema)]
#[schema(as = NewServiceAccount)]
pub(in crate::http) struct CreateServiceAccount {
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    name: ServiceAccountName,
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Description,
    /// Default: `viewer`.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: Role,
    /// Described by `constrain`, because it is two members on the wire.
    #[schema(ignore)]
    scope: NewScope,
}

/// Changes to a service account.
#[derive(Debug, ToSchema)]
#[schema(as = ServiceAccountPatch)]
pub(in crate::http) struct PatchServiceAccount {
    /// `null` or an empty string clears it.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Option<Description>,
    /// Described by `constrain`, because users have the same members.
    #[schema(ignore)]
    account: AccountMembers,
}

impl RequestBody for CreateServiceAccount {
    fn constrain(schema: &mut Value) {
        describe_required_scope(schema);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        let name = members.required("name", named(ServiceAccountName::parse));
        let description = members.optional("description", nullable(Description::parse));
        let role = members.optional("role", role).unwrap_or(Role::Viewer);
        let scope = required_scope(&mut members);
        let body = name.zip(scope).map(|(name, scope)| Self {
            name,
            description: description.unwrap_or_default(),
            role,
            scope,
        });
        members.finish(body)
    }
}

impl RequestBody for PatchServiceAccount {
    fn constrain(schema: &mut Value) {
        let revoked = Revoked {
            by_lower_role: "A lower role revokes tokens with a higher one.",
            by_disabling: "`true` revokes its tokens.",
        };
        AccountMembers::describe(schema, &revoked);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        let body = Self {
            description: members.optional("description", nullable(Description::parse)),
            account: AccountMembers::parse(&mut members),
        };
        members.finish(Some(body))
    }
}

pub(in crate::http) async fn list(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let list = move || state.access.list_service_accounts(&permit);
    let listed = actix_web::web::block(list).await??;
    let service_accounts = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&ServiceAccountsAnswer { service_accounts }))
}

pub(in crate::http) async fn create(
    call: Call<Administer, CreateServiceAccount>,
) -> Result<Answer, ApiError> {
    let CreateServiceAccount { name, description, role, scope } = call.body;
    let new = NewServiceAccount { name, description, role, scope };
    let service_account = call.state.access.create_service_account(&call.permit, new).await?.into();
    Ok(Answer::json(&ServiceAccountAnswer { service_account }))
}

pub(in crate::http) async fn read(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let id = call.id().to_owned();
    let Call { state, permit, .. } = call;
    let read = move || state.access.read_service_account(&permit, &id);
    let service_account = actix_web::web::block(read).await??.into();
    Ok(Answer::json(&ServiceAccountAnswer { service_account }))
}

pub(in crate::http) async fn update(
    call: Call<Administer, PatchServiceAccount>,
) -> Result<Answer, ApiError> {
    let id = call.id().to_owned();
    let PatchServiceAccount { description, account } = call.body;
    let AccountMembers { role, scope, disabled } = account;
    let patch = ServiceAccountPatch { description, role, scope, disabled };
    let updated = call.state.access.update_service_account(&call.permit, &id, patch).await?;
    Ok(Answer::json(&ServiceAccountAnswer { service_account: updated.into() }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_service_account(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}
