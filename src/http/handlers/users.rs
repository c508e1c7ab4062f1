//! `/api/users/…`: users, their passwords and their sessions.

use serde_json::Value;
use utoipa::ToSchema;

use crate::access::{NewPassword, NewScope, NewUser, Password, UserPatch};
use crate::domain::{Email, PersonName, Role};
use crate::vault::{Administer, Own};

use crate::http::handlers::account_members::{AccountMembers, Revoked};
use crate::http::handlers::auth::new_password;
use crate::http::request::call::Call;
use crate::http::request::json::{BodyMembers, named, nullable, typed};
use crate::http::request::parse::{NoBody, RequestBody};
use crate::http::request::scope::{describe_required_scope, required_scope, role};
use crate::http::request::state::State;
use crate::http::response::account_items::{RoleWord, SessionsAnswer, UserAnswer, UsersAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;
use crate::http::response::items::Done;

/// Members that PATCH cannot set. `password` is included because a client that sends it would
/// otherwise believe that the password was changed.
const READ_ONLY: [&str; 7] =
    ["id", "email", "passwordHash", "password", "lastActiveAt", "createdAt", "updatedAt"];

/// A user to create. One of `allEnvironments` and `environmentIds` is required.
#[derive(ToSchema)]
#[schema(as = NewUser)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct CreateUser {
    /// Unique, not case-sensitive.
    #[schema(value_type = String, min_length = 3, max_length = 254, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+$", example = "ada@example.org")]
    email: Email,
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    password: NewPassword,
    #[schema(value_type = Option<String>, max_length = 100)]
    name: PersonName,
    /// Default: `viewer`.
    #[schema(value_type = Option<RoleWord>, nullable = false)]
    role: Role,
    /// Described by `constrain`, because it is two members on the wire.
    #[schema(ignore)]
    scope: NewScope,
}

/// Changes to a user.
#[derive(ToSchema)]
#[schema(as = UserPatch)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct PatchUser {
    /// `null` or an empty string clears it.
    #[schema(value_type = Option<String>, max_length = 100)]
    name: Option<PersonName>,
    /// Described by `constrain`, because service accounts have the same members.
    #[schema(ignore)]
    account: AccountMembers,
}

/// A new password for a user.
#[derive(ToSchema)]
#[schema(as = PasswordChange)]
#[allow(missing_debug_implementations)]
pub(in crate::http) struct ChangePassword {
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256, rename = "newPassword")]
    new: NewPassword,
    /// The current password. Required unless an admin changes another user's password.
    #[schema(value_type = Option<String>, format = Password, rename = "currentPassword")]
    current: Option<Password>,
}

impl RequestBody for CreateUser {
    fn constrain(schema: &mut Value) {
        describe_required_scope(schema);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
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
            scope,
        });
        members.finish(body)
    }
}

impl RequestBody for PatchUser {
    fn constrain(schema: &mut Value) {
        let revoked = Revoked {
            by_lower_role: "A lower role ends the user's sessions and revokes tokens with a higher \
                            one.",
            by_disabling: "`true` ends the user's sessions and revokes its tokens.",
        };
        AccountMembers::describe(schema, &revoked);
    }

    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
        members.refuse_read_only(&READ_ONLY)?;
        let body = Self {
            name: members.optional("name", nullable(PersonName::parse)),
            account: AccountMembers::parse(&mut members),
        };
        members.finish(Some(body))
    }
}

impl RequestBody for ChangePassword {
    fn parse(body: &[u8], _: &State) -> Result<Self, ApiError> {
        let mut members = BodyMembers::parse(body)?;
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
    let CreateUser { email, password, name, role, scope } = call.body;
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
    let PatchUser { name, account } = call.body;
    let AccountMembers { role, scope, disabled } = account;
    let patch = UserPatch { name, role, scope, disabled };
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
