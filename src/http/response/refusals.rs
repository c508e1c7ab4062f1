//! The mapping from every refusal of the vault and of access to a code, a message and a hint.
//!
//! Owns: the only place that knows which status a refusal has. Each `match` names every variant,
//! so that a new refusal does not compile until it has an answer here.
//! Must never: quote the request, or put an internal cause into a message.

use crate::access::{self, LimitExceeded, LimitKind};
use crate::audit::{RefusalCode, ResourceType};
use crate::vault::{self, CopyRefusal};

use crate::http::response::code::Code;
use crate::http::response::error::{ApiError, Problem};

impl From<RefusalCode> for Code {
    fn from(refusal: RefusalCode) -> Self {
        match refusal {
            RefusalCode::Unauthorized => Self::Unauthorized,
            RefusalCode::ForbiddenRole => Self::ForbiddenRole,
            RefusalCode::ForbiddenScope => Self::ForbiddenScope,
            RefusalCode::NotFound => Self::NotFound,
            RefusalCode::ValidationError => Self::Validation,
            RefusalCode::Conflict | RefusalCode::MissingKeys => Self::Conflict,
            RefusalCode::RevealDisabled => Self::RevealDisabled,
            RefusalCode::SecretWriteOnly => Self::SecretWriteOnly,
            RefusalCode::SecretUnreadable => Self::SecretUnreadable,
            RefusalCode::Internal | RefusalCode::DeliveryFailed => Self::Internal,
        }
    }
}

impl ApiError {
    /// An error with the code under which the audit log records the refusal.
    fn refused(refusal: RefusalCode, message: impl Into<String>) -> Self {
        Self::new(refusal.into(), message)
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
            E::NoSuchVersion => Self::new(Code::NotFound, "Version not found"),
            E::Role { needed } => Self::refused(
                RefusalCode::ForbiddenRole,
                format!("This requires the role {needed}."),
            ),
            E::Scope => Self::refused(
                RefusalCode::ForbiddenScope,
                "The credential's scope does not cover this.",
            )
            .hint("Use a credential whose scope covers the environment."),
            E::NoLongerValid => credential_changed(),
            E::Exists(what) => exists(what),
            E::NotEmpty { secrets } => not_empty(secrets),
            E::OtherVersion { current } => {
                Self::new(Code::Conflict, format!("The current version is {current}"))
                    .hint("Read it again and repeat the request with that version.")
            }
            E::VersionsExhausted => Self::new(Code::Conflict, "No version numbers are left")
                .hint("Delete it and create it again."),
            E::WriteOnly => Self::refused(RefusalCode::SecretWriteOnly, "The secret is write-only")
                .field("neverReveal")
                .hint("Its value can be replaced, but nobody can see it again."),
            E::RevealDisabled => reveal_disabled(),
            E::NeverRevealIsPermanent => write_only_is_permanent(),
            E::ValueSize { limit } => {
                Self::invalid(format!("value must be 1 to {limit} bytes of UTF-8")).field("value")
            }
            E::Unreadable { key } => Self::refused(
                RefusalCode::SecretUnreadable,
                format!(
                    "The stored value cannot be decrypted: it is damaged, or key {key} is not \
                     loaded."
                ),
            )
            .cause(format!("a value cannot be decrypted under key {key}")),
            E::Damaged(ResourceType::Secret) => {
                Self::refused(RefusalCode::SecretUnreadable, "The stored secret is damaged.")
                    .cause("a row of a secret is damaged")
            }
            E::Undeliverable { keys } => undeliverable(&keys.join(", ")),
            E::BundleTooLarge => bundle_too_large(),
            E::Unavailable(vault::Unavailable::Damaged) => Self::internal(error),
            E::Unavailable(why) => {
                Self::new(Code::ServiceUnavailable, format!("Try again: {why}."))
                    .cause(why.to_string())
            }
            E::JustDone => Self::in_progress().hint("Repeat it to get its answer."),
            E::OfItem { list, index, error } => {
                Self::from(*error).inside(&format!("{list}.{index}"))
            }
            E::Conflicts { list, indices } => conflicts(list, indices),
            E::RotationInProgress => Self::new(Code::Conflict, "A key rotation is in progress")
                .hint("Check GET /api/admin/keys and repeat the request when it is finished."),
            E::KeyIsActive => Self::new(Code::Conflict, "The key is active")
                .hint("Rotate first: POST /api/admin/keys/rotate creates a new key."),
            E::KeyNeeded { wrapped } => key_needed(wrapped),
            E::KeysExhausted => Self::new(Code::Conflict, "No key numbers are left"),
            E::Copy(refusal) => refusal.into(),
            E::Damaged(_) | E::Read(_) | E::NoRandomness | E::Panicked => Self::internal(error),
        }
    }
}

impl ApiError {
    /// 409: another request with the same Idempotency-Key has not been answered yet.
    pub fn in_progress() -> Self {
        Self::new(Code::Conflict, "A request with this Idempotency-Key is in progress.")
            .field("Idempotency-Key")
    }

    /// Says that the error is about the member at `place`, or about one inside it.
    fn inside(self, place: &str) -> Self {
        let field = match &self.field {
            Some(field) => format!("{place}.{field}"),
            None => place.to_owned(),
        };
        self.field(field)
    }
}

fn credential_changed() -> ApiError {
    ApiError::refused(
        RefusalCode::Unauthorized,
        "The credential was revoked or restricted while the request was running.",
    )
    .hint("Log in again, or ask for another token.")
}

fn exists(what: ResourceType) -> ApiError {
    let (field, hint) = match what {
        ResourceType::Secret => ("key", "PATCH the existing secret to give it a new value."),
        ResourceType::Var => ("key", "PATCH the existing var to give it a new value."),
        _ => ("name", "Choose another name. Names are not case-sensitive."),
    };
    ApiError::new(Code::Conflict, format!("{} already exists", title(what))).field(field).hint(hint)
}

fn not_empty(secrets: u32) -> ApiError {
    let plural = if secrets == 1 { "secret" } else { "secrets" };
    ApiError::new(Code::Conflict, format!("Environment holds {secrets} {plural}"))
        .hint("Delete the secrets first, or add ?force=true to delete everything in it.")
}

fn reveal_disabled() -> ApiError {
    ApiError::refused(
        RefusalCode::RevealDisabled,
        "Revealing secrets is disabled in this environment",
    )
    .hint("An admin can enable it by setting allowSecretReveal in the environment's settings.")
}

fn write_only_is_permanent() -> ApiError {
    ApiError::new(Code::ReadonlyField, "Field \"neverReveal\" cannot be cleared.")
        .field("neverReveal")
        .hint(
            "A write-only secret stays write-only. Create another secret if you need one that can \
             be revealed.",
        )
}

fn undeliverable(keys: &str) -> ApiError {
    ApiError::refused(
        RefusalCode::SecretUnreadable,
        format!("Nothing was delivered: stored values cannot be decrypted: {keys}."),
    )
    .cause(format!("values cannot be decrypted: {keys}"))
}

fn bundle_too_large() -> ApiError {
    ApiError::new(Code::Conflict, "The bundle is too large").hint(
        "The limit is 64 MiB, and each secret counts as the longest value allowed. Remove secrets \
         or vars, or give the workload fewer keys in config.toml on the server.",
    )
}

fn conflicts(list: &str, indices: Vec<usize>) -> ApiError {
    let problem = |index| Problem {
        field: format!("{list}.{index}.key"),
        message: format!("{list}.{index}.key already exists"),
    };
    ApiError::problems(Code::Conflict, indices.into_iter().map(problem).collect())
        .hint("Nothing was imported. Use onConflict: skip or replace, or leave these out.")
}

fn key_needed(wrapped: u64) -> ApiError {
    let plural = if wrapped == 1 { "key is" } else { "keys are" };
    ApiError::new(Code::Conflict, format!("{wrapped} {plural} still wrapped under it")).hint(
        "GET /api/admin/keys lists the versions that cannot be decrypted. Their secrets have to be \
         deleted or restored from a backup first. If those secrets no longer exist, run `coffer \
         doctor --repair` on the stopped server.",
    )
}

impl From<CopyRefusal> for ApiError {
    fn from(refusal: CopyRefusal) -> Self {
        match refusal {
            CopyRefusal::Source(error) => Self::from(*error).field("from"),
            CopyRefusal::SameEnvironment => {
                Self::invalid("from must not be the environment in the path").field("from")
            }
            CopyRefusal::Missing(indices) => {
                of_keys(Code::NotFound, &indices, "does not exist in the source")
            }
            CopyRefusal::Taken(indices) => {
                of_keys(Code::Conflict, &indices, "already exists in the target").hint(
                    "Nothing was copied. Use onConflict: skip or replace, or leave these out.",
                )
            }
            CopyRefusal::TooMany { most } => {
                Self::invalid(format!("keys must have at most {most} items"))
                    .field("keys")
                    .hint("Copy them in several requests.")
            }
            CopyRefusal::Secret { at, error } => Self::from(*error).field(format!("keys.{at}")),
        }
    }
}

fn of_keys(code: Code, indices: &[usize], rule: &str) -> ApiError {
    let problem = |index: &usize| {
        let field = format!("keys.{index}");
        Problem { message: format!("{field} {rule}"), field }
    };
    ApiError::problems(code, indices.iter().map(problem).collect())
}

impl From<LimitExceeded> for ApiError {
    fn from(limited: LimitExceeded) -> Self {
        let message = match limited.what {
            LimitKind::Requests => {
                format!("The limit is {} requests per minute.", limited.limit)
            }
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
            E::WrongLogin => {
                Self::refused(RefusalCode::Unauthorized, "Wrong email address or password.")
            }
            E::WrongPassword => Self::invalid("currentPassword is wrong").field("currentPassword"),
            E::PasswordNeeded => Self::invalid("currentPassword is required")
                .field("currentPassword")
                .hint("Only an admin who changes another user's password can leave it out."),
            E::RegistrationClosed => Self::refused(
                RefusalCode::ForbiddenRole,
                "Registration is closed: a user already exists.",
            )
            .hint("Log in, or ask an admin to create a user for you."),
            E::RegistrationNeedsToken => Self::refused(
                RefusalCode::Unauthorized,
                "Creating the first user requires the first token.",
            )
            .hint(
                "Send Authorization: Bearer with the token in the file bootstrap-token in \
                         the data directory.",
            ),
            E::NotASession => Self::new(Code::Conflict, "The credential is not a session")
                .hint("To revoke an API token, delete it: DELETE /api/admin/tokens/{id}."),
            E::LastAdmin => last_admin(),
            E::EmailInUse => Self::new(Code::Conflict, "Email already in use").field("email").hint(
                "Email addresses are not case-sensitive. Choose another, or change the user who \
                 has it.",
            ),
            E::NoSuchEnvironment { index } => {
                let field = format!("environmentIds.{index}");
                Self::invalid(format!("{field} must be the id of an environment")).field(field)
            }
            E::NoSuchOwner { user } => no_such_owner(user),
            E::OwnerDisabled => Self::new(Code::Conflict, "The owner is disabled")
                .hint("Enable it first: a disabled owner's tokens are not accepted."),
            E::RoleAboveOwner { owner } => {
                Self::invalid(format!("role must not be above the owner's role, {owner}"))
                    .field("role")
            }
            E::Read(_) | E::BadHash => Self::internal(error),
        }
    }
}

fn last_admin() -> ApiError {
    ApiError::new(
        Code::Conflict,
        "The last admin cannot be deleted, disabled, demoted or given a smaller scope",
    )
    .hint("Give another user the admin role in all environments first.")
}

fn no_such_owner(user: bool) -> ApiError {
    let (field, what) = if user {
        ("ownerUserId", "a user")
    } else {
        ("ownerServiceAccountId", "a service account")
    };
    ApiError::invalid(format!("{field} must be the id of {what}")).field(field)
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
    fn the_audit_log_records_the_code_that_the_caller_gets() {
        // No caller gets these: they are about files on the host.
        let host = [RefusalCode::MissingKeys, RefusalCode::DeliveryFailed];
        for refusal in RefusalCode::ALL.iter().filter(|refusal| !host.contains(refusal)) {
            assert_eq!(refusal.as_str(), Code::from(*refusal).as_str());
        }
    }
}
