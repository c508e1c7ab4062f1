//! The error object, and the one map from what went wrong to a status.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{self, LimitExceeded, LimitKind};
use crate::audit::ResourceType;
use crate::vault;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $status:ident;)*) => {
        /// The stable codes that clients branch on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(in crate::http) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }

            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    Validation "VALIDATION_ERROR" BAD_REQUEST;
    PayloadTooLarge "PAYLOAD_TOO_LARGE" PAYLOAD_TOO_LARGE;
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE;
    ReadonlyField "READONLY_FIELD" UNPROCESSABLE_ENTITY;
    Unauthorized "UNAUTHORIZED" UNAUTHORIZED;
    ForbiddenRole "FORBIDDEN_ROLE" FORBIDDEN;
    ForbiddenScope "FORBIDDEN_SCOPE" FORBIDDEN;
    SecretWriteOnly "SECRET_WRITE_ONLY" FORBIDDEN;
    RevealDisabled "REVEAL_DISABLED" FORBIDDEN;
    NotFound "NOT_FOUND" NOT_FOUND;
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED;
    Conflict "CONFLICT" CONFLICT;
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" CONFLICT;
    RateLimited "RATE_LIMITED" TOO_MANY_REQUESTS;
    ServiceUnavailable "SERVICE_UNAVAILABLE" SERVICE_UNAVAILABLE;
    SecretUnreadable "SECRET_UNREADABLE" INTERNAL_SERVER_ERROR;
    Internal "INTERNAL" INTERNAL_SERVER_ERROR;
}

/// One problem with one member of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Problem {
    /// The member, such as `value` or `generate.length`.
    pub field: String,
    /// The rule that it does not keep.
    pub message: String,
}

/// What an error answer says. It never quotes the request.
#[derive(Debug)]
pub(in crate::http) struct ApiError {
    pub code: Code,
    pub message: String,
    pub field: Option<String>,
    pub hint: Option<&'static str>,
    pub details: Vec<Problem>,
    /// For the log, under the request id; never for the caller.
    pub cause: Option<Box<str>>,
    /// The limit that a 429 is about.
    pub limited: Option<Box<LimitExceeded>>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
            hint: None,
            details: Vec::new(),
            cause: None,
            limited: None,
        }
    }

    /// A request that is not well formed.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Validation, message)
    }

    /// One or more members that break their rules; there must be one.
    pub fn problems(code: Code, problems: Vec<Problem>) -> Self {
        let first = problems.first();
        let message = first.map_or_else(String::new, |problem| problem.message.clone());
        let field = first.map(|problem| problem.field.clone());
        let details = if problems.len() > 1 { problems } else { Vec::new() };
        Self { field, details, ..Self::new(code, message) }
    }

    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// More of such requests are under way than there may be.
    pub fn busy() -> Self {
        Self::new(Code::ServiceUnavailable, "Try again: too many such requests are under way.")
    }

    pub fn internal(cause: impl ToString) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..Self::new(Code::Internal, "Internal Server Error")
        }
    }
}

fn title(resource: ResourceType) -> &'static str {
    match resource {
        ResourceType::Environment => "Environment",
        ResourceType::Settings => "Settings",
        ResourceType::Secret => "Secret",
        ResourceType::Var => "Var",
        ResourceType::Workload => "Workload",
        ResourceType::Delivery => "Delivery",
        ResourceType::Auth => "Credential",
        ResourceType::User => "User",
        ResourceType::Session => "Session",
        ResourceType::ServiceAccount => "Service account",
        ResourceType::Token => "Token",
        ResourceType::Audit => "Audit row",
        ResourceType::Key => "Key",
        ResourceType::Backup => "Backup",
        ResourceType::Server => "Server",
    }
}

impl From<vault::Error> for ApiError {
    fn from(error: vault::Error) -> Self {
        use vault::Error as E;

        match error {
            E::NotFound(what) => Self::new(Code::NotFound, format!("{} not found", title(what))),
            E::Role { needed } => {
                Self::new(Code::ForbiddenRole, format!("This needs the role {needed}."))
            }
            E::Scope => Self::new(Code::ForbiddenScope, "The credential does not cover this.")
                .hint("Ask for a credential whose scope covers the environment."),
            E::Exists(what) => {
                let (field, hint) = match what {
                    ResourceType::Secret => {
                        ("key", "PATCH the existing secret to give it a new value.")
                    }
                    ResourceType::Var => ("key", "PATCH the existing var to give it a new value."),
                    _ => ("name", "Choose another name; case does not count."),
                };
                Self::new(Code::Conflict, format!("{} already exists", title(what)))
                    .field(field)
                    .hint(hint)
            }
            E::NotEmpty { secrets } => {
                let plural = if secrets == 1 { "secret" } else { "secrets" };
                Self::new(Code::Conflict, format!("Environment holds {secrets} {plural}"))
                    .hint("Delete them first, or everything in it at once (?force=true).")
            }
            E::OtherVersion { current } => {
                Self::new(Code::Conflict, format!("Version {current} is in force"))
                    .hint("Read it again and repeat the request with its version.")
            }
            E::VersionsExhausted => Self::new(Code::Conflict, "No version number is left")
                .hint("Delete it and create it again."),
            E::WriteOnly => Self::new(Code::SecretWriteOnly, "The secret is write-only")
                .field("neverReveal")
                .hint("Its value can be replaced, but nobody can see it again."),
            E::RevealDisabled => {
                Self::new(Code::RevealDisabled, "Reveal is switched off for the environment")
                    .hint("An admin can switch it on with allowSecretReveal in the environment's settings.")
            }
            E::NeverRevealIsForGood => {
                Self::new(Code::ReadonlyField, "Field \"neverReveal\" cannot be cleared.")
                    .field("neverReveal")
                    .hint("A write-only secret stays write-only. Create another secret if you need one that can be revealed.")
            }
            E::ValueSize { limit } => {
                Self::new(Code::Validation, format!("value must be 1 to {limit} bytes of UTF-8")).field("value")
            }
            E::Unreadable { key } => Self {
                cause: Some(format!("a value does not open under key {key}").into()),
                ..Self::new(
                    Code::SecretUnreadable,
                    format!("The stored value does not open: it is damaged, or key {key} is not loaded."),
                )
            },
            E::Damaged(ResourceType::Secret) => Self {
                cause: Some("a row of a secret is damaged".into()),
                ..Self::new(Code::SecretUnreadable, "The stored secret is damaged.")
            },
            E::Unavailable(vault::Unavailable::Damaged) => Self::internal(error),
            E::Undeliverable { keys } => Self {
                cause: Some(format!("values do not open: {}", keys.join(", ")).into()),
                ..Self::new(
                    Code::SecretUnreadable,
                    format!("Nothing is delivered, because stored values do not open: {}.", keys.join(", ")),
                )
            },
            E::BundleTooLarge => Self::new(Code::Conflict, "The bundle is too large")
                .hint("It has at most 64 MiB, in which each secret counts as the longest value there may be. Remove secrets or vars, or ask the host's operator to give the workload fewer keys."),
            E::Unavailable(why) => Self {
                cause: Some(why.to_string().into()),
                ..Self::new(Code::ServiceUnavailable, format!("Try again: {why}."))
            },
            E::JustDone => {
                Self::new(Code::Conflict, "A request with this Idempotency-Key is under way.")
                    .field("Idempotency-Key")
                    .hint("Repeat it to get its answer.")
            }
            E::NoLongerValid => Self::new(
                Code::Unauthorized,
                "The credential ended, or may do less, while the request was under way.",
            )
            .hint("Log in again, or ask for another token."),
            E::OfItem { list, index, error } => {
                let error = Self::from(*error);
                let place = format!("{list}.{index}");
                let field = error.field.map_or(place.clone(), |field| format!("{place}.{field}"));
                Self { field: Some(field), ..error }
            }
            E::Conflicts { list, indices } => {
                let problem = |index| Problem {
                    field: format!("{list}.{index}.key"),
                    message: format!("{list}.{index}.key exists already"),
                };
                Self::problems(Code::Conflict, indices.into_iter().map(problem).collect())
                    .hint("Nothing was imported. Say onConflict: skip or replace, or leave these out.")
            }
            E::RotationUnderWay => Self::new(Code::Conflict, "A rotation is under way")
                .hint("GET /api/admin/keys shows how far it is; repeat the request when it is finished."),
            E::KeyInForce => Self::new(Code::Conflict, "The key is in force")
                .hint("Rotate first: POST /api/admin/keys/rotate makes a new one."),
            E::KeyNeeded { wrapped } => {
                let plural = if wrapped == 1 { "key is" } else { "keys are" };
                Self::new(Code::Conflict, format!("{wrapped} {plural} still wrapped under it"))
                    .hint("GET /api/admin/keys shows which do not open. A secret with one of them has to be deleted or restored from a backup first; where there is no such secret any more, run `coffer doctor --repair` on the stopped server.")
            }
            E::KeysExhausted => Self::new(Code::Conflict, "No key number is left"),
            E::Copy(refusal) => refusal.into(),
            E::NoSuchVersion => Self::new(Code::NotFound, "Version not found"),
            E::Damaged(_) | E::Read(_) | E::NoRandomness | E::Panicked => Self::internal(error),
        }
    }
}

impl From<LimitExceeded> for ApiError {
    fn from(limited: LimitExceeded) -> Self {
        let message = match limited.what {
            LimitKind::Requests => format!("There may be {} requests a minute.", limited.limit),
            LimitKind::FailedLogins => "Too many failed logins.".to_owned(),
        };
        Self {
            limited: Some(Box::new(limited)),
            ..Self::new(Code::RateLimited, message).hint("Wait as long as Retry-After says.")
        }
    }
}

impl From<access::Error> for ApiError {
    fn from(error: access::Error) -> Self {
        use access::Error as E;

        match error {
            E::Vault(error) => error.into(),
            E::Limited(limited) => limited.into(),
            E::WrongLogin => Self::new(Code::Unauthorized, "Wrong e-mail address or password."),
            E::WrongPassword => Self::invalid("currentPassword is not the password in force")
                .field("currentPassword"),
            E::PasswordNeeded => {
                Self::invalid("currentPassword is required").field("currentPassword").hint(
                    "Only an admin who changes somebody else's password can do without it.",
                )
            }
            E::RegistrationClosed => {
                Self::new(Code::ForbiddenRole, "Registration is closed: there is a user already.")
                    .hint("Log in, or ask an admin to create a user for you.")
            }
            E::RegistrationNeedsToken => {
                Self::new(Code::Unauthorized, "The first user has to show the first token.").hint(
                    "Send Authorization: Bearer with the token in the file bootstrap-token of the data directory.",
                )
            }
            E::NotASession => Self::new(Code::Conflict, "The credential is not a session")
                .hint("An API token ends when it is deleted: DELETE /api/admin/tokens/{id}."),
            E::LastAdmin => Self::new(
                Code::Conflict,
                "The last admin cannot be deleted, disabled, demoted or given a smaller scope",
            )
            .hint("Give somebody else the role admin in all environments first."),
            E::EmailInUse => Self::new(Code::Conflict, "Email already in use")
                .field("email")
                .hint("Case does not count. Change the user who has it, or choose another."),
            E::NoSuchEnvironment { index } => {
                let field = format!("environmentIds.{index}");
                Self::invalid(format!("{field} must be the id of an environment")).field(field)
            }
            E::NoSuchOwner { user } => {
                let (field, what) = if user {
                    ("ownerUserId", "a user")
                } else {
                    ("ownerServiceAccountId", "a service account")
                };
                Self::invalid(format!("{field} must be the id of {what}")).field(field)
            }
            E::OwnerDisabled => Self::new(Code::Conflict, "The owner is disabled")
                .hint("Enable it first: a token of a disabled owner lets nobody in."),
            E::RoleAboveOwner { owner } => {
                Self::invalid(format!("role must not be above the owner's, {owner}")).field("role")
            }
            E::Read(_) | E::BadHash => Self::internal(error),
        }
    }
}

impl From<actix_web::error::BlockingError> for ApiError {
    fn from(error: actix_web::error::BlockingError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_word_of_its_own() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
    }
}
