//! `/api/admin/service-accounts/…`.

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{NewScope, NewServiceAccount, ServiceAccountPatch};
use crate::domain::{Description, Role, ServiceAccountName};
use crate::vault::Administer;

use crate::http::State;
use crate::http::request::call::{Call, NoBody, RequestBody};
use crate::http::request::json::{Members, boolean, named, nullable};
use crate::http::request::scope::{required_scope, role, scope};
use crate::http::response::account_items::{RoleWord, ServiceAccountAnswer, ServiceAccountsAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

const READ_ONLY: [&str; 4] = ["id", "name", "createdAt", "updatedAt"];

/// A service account to create. One of `allEnvironments` and `environmentIds`
/// is needed.
#[derive(Debug, ToSchema)]
#[schema(as = NewServiceAccount)]
#[allow(dead_code)]
pub(in crate::http) struct CreateServiceAccount {
    #[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
    name: ServiceAccountName,
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: Description,
    /// `viewer`, if it is not given.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: Role,
    /// Every environment, those of the future included.
    #[schema(value_type = Option<bool>, nullable = false, rename = "allEnvironments")]
    all_environments: (),
    /// Otherwise these.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, rename = "environmentIds")]
    scope: NewScope,
}

/// Changes to a service account.
#[derive(Debug, ToSchema)]
#[schema(as = ServiceAccountPatch)]
#[allow(dead_code)]
pub(in crate::http) struct PatchServiceAccount {
    /// `null` or the empty text clears it.
    #[schema(value_type = Option<String>, max_length = 1000)]
    description: (),
    /// A lower one ends its tokens with a higher one.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: (),
    #[schema(value_type = Option<bool>, nullable = false, rename = "allEnvironments")]
    all_environments: (),
    #[schema(value_type = Option<Vec<String>>, max_items = 100, rename = "environmentIds")]
    environment_ids: (),
    /// `true` ends its tokens.
    #[schema(value_type = Option<bool>, nullable = false)]
    disabled: (),
    #[schema(ignore)]
    patch: ServiceAccountPatch,
}

impl RequestBody for CreateServiceAccount {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        let name = members.required("name", named(ServiceAccountName::parse));
        let description = members.optional("description", nullable(Description::parse));
        let role = members.optional("role", role).unwrap_or(Role::Viewer);
        let scope = required_scope(&mut members);
        let body = name.zip(scope).map(|(name, scope)| Self {
            name,
            description: description.unwrap_or_default(),
            role,
            all_environments: (),
            scope,
        });
        members.finish(body)
    }
}

impl RequestBody for PatchServiceAccount {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        let patch = ServiceAccountPatch {
            description: members.optional("description", nullable(Description::parse)),
            role: members.optional("role", role),
            scope: scope(&mut members),
            disabled: members.optional("disabled", boolean),
        };
        let none = ();
        members.finish(Some(Self {
            description: none,
            role: none,
            all_environments: none,
            environment_ids: none,
            disabled: none,
            patch,
        }))
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
    let CreateServiceAccount { name, description, role, scope, .. } = call.body;
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
    let patch = call.body.patch;
    let updated = call.state.access.update_service_account(&call.permit, &id, patch).await?;
    Ok(Answer::json(&ServiceAccountAnswer { service_account: updated.into() }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_service_account(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}
