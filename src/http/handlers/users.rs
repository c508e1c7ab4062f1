//! `/api/users/…`: users, their passwords and their sessions.

use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::access::{NewPassword, NewUser, Password, UserPatch};
use crate::domain::{Email, PersonName, Role};
use crate::vault::{Administer, Own};

use crate::http::State;
use crate::http::handlers::auth::new_password;
use crate::http::request::call::{Call, NoBody, RequestBody};
use crate::http::request::json::{Members, boolean, named, nullable, typed};
use crate::http::request::scope::{required_scope, role, scope};
use crate::http::response::account_items::{RoleWord, SessionsAnswer, UserAnswer, UsersAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// `password` is none of the contract's, but ignoring it would let somebody
/// believe that it had been changed.
const READ_ONLY: [&str; 7] =
    ["id", "email", "passwordHash", "password", "lastActiveAt", "createdAt", "updatedAt"];

/// A user to create. One of `allEnvironments` and `environmentIds` is needed.
#[derive(ToSchema)]
#[schema(as = NewUser)]
#[allow(missing_debug_implementations, dead_code)]
pub(in crate::http) struct CreateUser {
    /// Unique without regard to case.
    #[schema(value_type = String, min_length = 3, max_length = 254, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$", example = "ada@example.org")]
    email: Email,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    password: NewPassword,
    #[schema(value_type = Option<String>, max_length = 100)]
    name: PersonName,
    /// `viewer`, if it is not given.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: Role,
    /// Every environment, those of the future included.
    #[schema(value_type = Option<bool>, nullable = false, rename = "allEnvironments")]
    all_environments: (),
    /// Otherwise these.
    #[schema(value_type = Option<Vec<String>>, max_items = 100, rename = "environmentIds")]
    scope: crate::access::NewScope,
}

/// Changes to a user.
#[derive(ToSchema)]
#[schema(as = UserPatch)]
#[allow(missing_debug_implementations, dead_code)]
pub(in crate::http) struct PatchUser {
    /// `null` or the empty text clears it.
    #[schema(value_type = Option<String>, max_length = 100)]
    name: (),
    /// A lower one ends its sessions, and its tokens with a higher one.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: (),
    #[schema(value_type = Option<bool>, nullable = false, rename = "allEnvironments")]
    all_environments: (),
    #[schema(value_type = Option<Vec<String>>, max_items = 100, rename = "environmentIds")]
    environment_ids: (),
    /// `true` ends its sessions and tokens.
    #[schema(value_type = Option<bool>, nullable = false)]
    disabled: (),
    #[schema(ignore)]
    patch: UserPatch,
}

/// Another password.
#[derive(ToSchema)]
#[schema(as = PasswordChange)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct ChangePassword {
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256, rename = "newPassword")]
    new: NewPassword,
    /// The one in force: needed unless an admin changes somebody else's.
    #[schema(value_type = Option<String>, format = Password, rename = "currentPassword")]
    current: Option<Password>,
}

impl RequestBody for CreateUser {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        let email = members.required("email", named(Email::parse));
        let password = members.required("password", new_password);
        let name = members.optional("name", nullable(PersonName::parse)).unwrap_or_default();
        let role = members.optional("role", role).unwrap_or(Role::Viewer);
        let scope = required_scope(&mut members);
        let body = email.zip(password).zip(scope).map(|((email, password), scope)| Self {
            email,
            password,
            name,
            role,
            all_environments: (),
            scope,
        });
        members.finish(body)
    }
}

impl RequestBody for PatchUser {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        let patch = UserPatch {
            name: members.optional("name", nullable(PersonName::parse)),
            role: members.optional("role", role),
            scope: scope(&mut members),
            disabled: members.optional("disabled", boolean),
        };
        let none = ();
        members.finish(Some(Self {
            name: none,
            role: none,
            all_environments: none,
            environment_ids: none,
            disabled: none,
            patch,
        }))
    }
}

impl RequestBody for ChangePassword {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        Some((Self::name().into(), <Self as PartialSchema>::schema()))
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = Members::parse(body)?;
        let new = members.required("newPassword", new_password);
        let current = members
            .optional("currentPassword", |raw| typed::<Option<Password>>(raw, "must be a string"));
        let body = new.map(|new| Self { new, current: current.flatten() });
        members.finish(body)
    }
}

pub(in crate::http) async fn list(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    let Call { state, permit, .. } = call;
    let listed = actix_web::web::block(move || state.access.list_users(&permit)).await??;
    let users = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&UsersAnswer { users }))
}

pub(in crate::http) async fn create(
    call: Call<Administer, CreateUser>,
) -> Result<Answer, ApiError> {
    let CreateUser { email, password, name, role, scope, .. } = call.body;
    let new = NewUser { email, password, name, role, scope };
    let user = call.state.access.create_user(&call.permit, new).await?.into();
    Ok(Answer::json(&UserAnswer { user }))
}

pub(in crate::http) async fn read(call: Call<Own, NoBody>) -> Result<Answer, ApiError> {
    let user = call.state.access.read_user(&call.permit, call.id())?.into();
    Ok(Answer::json(&UserAnswer { user }))
}

pub(in crate::http) async fn update(call: Call<Own, PatchUser>) -> Result<Answer, ApiError> {
    let id = call.id().to_owned();
    let patch = call.body.patch;
    let user = call.state.access.update_user(&call.permit, &id, patch).await?.into();
    Ok(Answer::json(&UserAnswer { user }))
}

pub(in crate::http) async fn delete(call: Call<Administer, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_user(&call.permit, call.id()).await?;
    Ok(Answer::json(&Done { success: true }))
}

pub(in crate::http) async fn change_password(
    call: Call<Own, ChangePassword>,
) -> Result<Answer, ApiError> {
    let id = call.id().to_owned();
    let ip = call.origin().ip;
    let ChangePassword { new, current } = call.body;
    call.state.access.change_password(&call.permit, &id, new, current, ip).await?;
    Ok(Answer::json(&Done { success: true }))
}

pub(in crate::http) async fn sessions(call: Call<Own, NoBody>) -> Result<Answer, ApiError> {
    let listed = call.state.access.list_sessions(&call.permit, call.id())?;
    let sessions = listed.into_iter().map(Into::into).collect();
    Ok(Answer::json(&SessionsAnswer { sessions }))
}

pub(in crate::http) async fn end_session(call: Call<Own, NoBody>) -> Result<Answer, ApiError> {
    let session = call.segment("session");
    call.state.access.delete_sessions(&call.permit, call.id(), Some(session)).await?;
    Ok(Answer::json(&Done { success: true }))
}

pub(in crate::http) async fn end_sessions(call: Call<Own, NoBody>) -> Result<Answer, ApiError> {
    call.state.access.delete_sessions(&call.permit, call.id(), None).await?;
    Ok(Answer::json(&Done { success: true }))
}
