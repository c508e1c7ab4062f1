//! Who is asking.

use crate::audit::Action;

use crate::http::handlers::{auth, service_accounts, tokens, users};
use crate::http::response::account_items::{self, LoginAnswer};
use crate::http::response::error::Code;
use crate::http::response::items;
use crate::http::routes::endpoint::{Endpoint, Parameter, TargetKind};
use crate::http::routes::{CONFLICT, MISSING, delete, get, needs, patch, post};

/// What a route that takes anybody and a body may answer besides.
const OPEN: &[Code] =
    &[Code::Validation, Code::Unauthorized, Code::ServiceUnavailable, Code::Internal];
const REGISTER: &[Code] = &[
    Code::Validation,
    Code::Unauthorized,
    Code::ForbiddenRole,
    Code::ForbiddenScope,
    Code::ServiceUnavailable,
    Code::Internal,
];

pub(super) fn endpoints() -> Vec<Endpoint> {
    use Action as A;
    use TargetKind::{Everything, InScope, User};

    const LOGOUT: &str = "/api/auth/logout";
    const ME: &str = "/api/auth/me";
    const USERS: &str = "/api/users";
    const USER: &str = "/api/users/{id}";
    const PASSWORD: &str = "/api/users/{id}/change-password";
    const SESSIONS: &str = "/api/users/{id}/sessions";
    const SESSION: &str = "/api/users/{id}/sessions/{session}";
    const ACCOUNTS: &str = "/api/admin/service-accounts";
    const ACCOUNT: &str = "/api/admin/service-accounts/{id}";
    const TOKENS: &str = "/api/admin/tokens";
    const TOKEN: &str = "/api/admin/tokens/{id}";

    vec![
        Endpoint::open("/api/auth/login", "Log in", auth::login)
            .answers::<LoginAnswer>()
            .fails(OPEN),
        Endpoint::public(
            "/api/auth/registration",
            "Whether the first user can still be created",
            auth::registration,
        )
        .answers::<account_items::RegistrationAnswer>(),
        Endpoint::open("/api/auth/register", "Create the first user", auth::register)
            .answers::<LoginAnswer>()
            .fails(REGISTER),
        Endpoint::new(post(), LOGOUT, needs(A::AuthLogout, InScope), "Log out", auth::logout)
            .answers::<items::Done>()
            .fails(CONFLICT),
        Endpoint::new(get(), ME, needs(A::AuthRead, InScope), "Who the caller is", auth::me)
            .answers::<account_items::MeAnswer>(),
        Endpoint::new(get(), USERS, needs(A::UserList, Everything), "List users", users::list)
            .answers::<account_items::UsersAnswer>(),
        Endpoint::new(
            post(),
            USERS,
            needs(A::UserCreate, Everything),
            "Create a user",
            users::create,
        )
        .answers::<account_items::UserAnswer>()
        .fails(CONFLICT),
        Endpoint::new(get(), USER, needs(A::UserRead, User), "Read a user", users::read)
            .answers::<account_items::UserAnswer>(),
        Endpoint::new(
            patch(),
            USER,
            needs(A::UserUpdate, User),
            "Change a user; the user itself may change its name",
            users::update,
        )
        .answers::<account_items::UserAnswer>()
        .fails(&[Code::Conflict, Code::ReadonlyField]),
        Endpoint::new(
            delete(),
            USER,
            needs(A::UserDelete, Everything),
            "Delete a user with its sessions and tokens",
            users::delete,
        )
        .answers::<items::Done>()
        .fails(&[Code::Conflict, Code::NotFound]),
        Endpoint::new(
            post(),
            PASSWORD,
            needs(A::UserChangePassword, User),
            "Give a user another password; its sessions and tokens end",
            users::change_password,
        )
        .answers::<items::Done>(),
        Endpoint::new(
            get(),
            SESSIONS,
            needs(A::SessionList, User),
            "List a user's sessions, newest first",
            users::sessions,
        )
        .answers::<account_items::SessionsAnswer>(),
        Endpoint::new(
            delete(),
            SESSIONS,
            needs(A::SessionDelete, User),
            "End all sessions of a user",
            users::end_sessions,
        )
        .answers::<items::Done>(),
        Endpoint::new(
            delete(),
            SESSION,
            needs(A::SessionDelete, User),
            "End a session of a user",
            users::end_session,
        )
        .answers::<items::Done>(),
        Endpoint::new(
            get(),
            ACCOUNTS,
            needs(A::ServiceAccountList, Everything),
            "List service accounts",
            service_accounts::list,
        )
        .answers::<account_items::ServiceAccountsAnswer>(),
        Endpoint::new(
            post(),
            ACCOUNTS,
            needs(A::ServiceAccountCreate, Everything),
            "Create a service account",
            service_accounts::create,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            get(),
            ACCOUNT,
            needs(A::ServiceAccountRead, Everything),
            "Read a service account",
            service_accounts::read,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(MISSING),
        Endpoint::new(
            patch(),
            ACCOUNT,
            needs(A::ServiceAccountUpdate, Everything),
            "Change a service account",
            service_accounts::update,
        )
        .answers::<account_items::ServiceAccountAnswer>()
        .fails(&[Code::NotFound, Code::ReadonlyField]),
        Endpoint::new(
            delete(),
            ACCOUNT,
            needs(A::ServiceAccountDelete, Everything),
            "Delete a service account with its tokens",
            service_accounts::delete,
        )
        .answers::<items::Done>()
        .fails(MISSING),
        Endpoint::new(
            get(),
            TOKENS,
            needs(A::TokenList, Everything),
            "List API tokens, newest first, without the tokens themselves",
            tokens::list,
        )
        .answers::<account_items::TokensAnswer>()
        .takes(&[Parameter::OwnerUser, Parameter::OwnerServiceAccount]),
        Endpoint::new(
            post(),
            TOKENS,
            needs(A::TokenCreate, Everything),
            "Create an API token; it is shown this once",
            tokens::create,
        )
        .answers::<account_items::NewTokenAnswer>()
        .fails(CONFLICT),
        Endpoint::new(
            delete(),
            TOKEN,
            needs(A::TokenDelete, Everything),
            "Delete an API token; it lets nobody in any more",
            tokens::delete,
        )
        .answers::<items::Done>()
        .fails(MISSING),
    ]
}
