//! The routes of users, sessions, service accounts and tokens.

use crate::audit::Action as A;

use crate::http::handlers::{auth, service_accounts, tokens, users};
use crate::http::request::target::TargetKind::{Everything, InScope, User};
use crate::http::response::account_items::{self, LoginAnswer};
use crate::http::response::code::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::Endpoint;

/// The errors of a public POST with a body.
const PUBLIC_POST: &[Code] =
    &[Code::Validation, Code::Unauthorized, Code::ServiceUnavailable, Code::Internal];
const REGISTER: &[Code] = &[
    Code::Validation,
    Code::Unauthorized,
    Code::ForbiddenRole,
    Code::ForbiddenScope,
    Code::ServiceUnavailable,
    Code::Internal,
];

/// Returns the routes of this file.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [sessions(), users(), service_accounts(), tokens()].into_iter().flatten().collect()
}

/// Logging in and out, and who the caller is.
fn sessions() -> Vec<Endpoint> {
    const LOGOUT: &str = "/api/auth/logout";
    const ME: &str = "/api/auth/me";

    vec![
        Endpoint::public_post("/api/auth/login", "Log in", auth::login)
            .answers::<LoginAnswer>()
            .fails(PUBLIC_POST),
        Endpoint::public(
            "/api/auth/registration",
            "Check whether the first user can be created",
            auth::registration,
        )
        .answers::<account_items::RegistrationAnswer>(),
        Endpoint::public_post("/api/auth/register", "Create the first user", auth::register)
            .answers::<LoginAnswer>()
            .fails(REGISTER),
        Endpoint::post(LOGOUT, (A::AuthLogout, InScope), "Log out", auth::logout)
            .answers::<items::Done>()
            .fails(&[Code::Conflict]),
        Endpoint::get(ME, (A::AuthRead, InScope), "Read who the caller is", auth::me)
            .answers::<account_items::MeAnswer>(),
    ]
}

/// Users, their passwords and their sessions.
fn users() -> Vec<Endpoint> {
    const USERS: &str = "/api/users";
    const USER: &str = "/api/users/{id}";
    const PASSWORD: &str = "/api/users/{id}/change-password";
    const SESSIONS: &str = "/api/users/{id}/sessions";
    const SESSION: &str = "/api/users/{id}/sessions/{session}";

    vec![
        Endpoint::get(USERS, (A::UserList, Everything), "List users", users::list)
            .answers::<account_items::UsersAnswer>(),
        Endpoint::post(USERS, (A::UserCreate, Everything), "Create a user", users::create)
            .answers::<account_items::UserAnswer>()
            .fails(&[Code::Conflict]),
        Endpoint::get(USER, (A::UserRead, User), "Read a user", users::read)
            .answers::<account_items::UserAnswer>(),
        Endpoint::patch(
            USER,
            (A::UserUpdate, User),
            "Change a user (users may change their own name)",
            users::update,
        )
        .answers::<account_items::UserAnswer>()
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::delete(
            USER,
            (A::UserDelete, Everything),
            "Delete a user and its sessions and tokens",
            users::delete,
        )
        .answers::<items::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
        Endpoint::post(
            PASSWORD,
            (A::UserChangePassword, User),
            "Change a user's password, which ends its sessions and revokes its tokens",
            users::change_password,
        )
        .answers::<items::Done>(),
        Endpoint::get(
            SESSIONS,
            (A::SessionList, User),
            "List a user's sessions, newest first",
            users::sessions,
        )
        .answers::<account_items::SessionsAnswer>(),
        Endpoint::delete(
            SESSIONS,
            (A::SessionDelete, User),
            "End all sessions of a user",
            users::end_sessions,
        )
        .answers::<items::Done>(),
        Endpoint::delete(
            SESSION,
            (A::SessionDelete, User),
            "End one session of a user",
            users::end_session,
        )
        .answers::<items::Done>(),
    ]
}

/// Service accounts.
fn service_accounts() -> Vec<Endpoint> {
    const ACCOUNTS: &str = "/api/admin/service-accounts";
    const ACCOUNT: &str = "/api/admin/service-accounts/{id}";

    vec![
        Endpoint::get(
            ACCOUNTS,
            (A::ServiceAccountList, Everything),
            "List service accounts",
            service_accounts::list,
        )
        .answers::<account_items::ServiceAccountsAnswer>(),
        Endpoint::post(
            ACCOUNTS,
            (A::ServiceAccountCreate, Everything),
            "Create a service account",
            service_accounts::create,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(&[Code::Conflict]),
        Endpoint::get(
            ACCOUNT,
            (A::ServiceAccountRead, Everything),
            "Read a service account",
            service_accounts::read,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(&[Code::NotFound]),
        Endpoint::patch(
            ACCOUNT,
            (A::ServiceAccountUpdate, Everything),
            "Change a service account",
            service_accounts::update,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(&[Code::NotFound, Code::ReadonlyField]),
        Endpoint::delete(
            ACCOUNT,
            (A::ServiceAccountDelete, Everything),
            "Delete a service account and its tokens",
            service_accounts::delete,
        )
        .answers::<items::Done>()
        .fails(&[Code::NotFound]),
    ]
}

/// API tokens.
fn tokens() -> Vec<Endpoint> {
    const TOKENS: &str = "/api/admin/tokens";
    const TOKEN: &str = "/api/admin/tokens/{id}";

    vec![
        Endpoint::get(
            TOKENS,
            (A::TokenList, Everything),
            "List API tokens, newest first, without the tokens themselves",
            tokens::list,
        )
        .answers::<account_items::TokensAnswer>()
        .takes(tokens::FILTERS),
        Endpoint::post(
            TOKENS,
            (A::TokenCreate, Everything),
            "Create an API token, which is shown only once",
            tokens::create,
        )
        .answers::<account_items::NewTokenAnswer>()
        .fails(&[Code::Conflict]),
        Endpoint::delete(
            TOKEN,
            (A::TokenDelete, Everything),
            "Revoke an API token",
            tokens::delete,
        )
        .answers::<items::Done>()
        .fails(&[Code::NotFound]),
    ]
}
