//! The codes of error responses, and the status that each one has.

use actix_web::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $word:literal $status:ident;)*) => {
        /// A stable code that clients branch on.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_a_distinct_word() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')));
    }
}
