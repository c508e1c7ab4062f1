//! The error object: what every refused request gets as its response.
//!
//! Must never: quote the request, or show the caller an internal cause. The cause goes to the log
//! under the request id.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::LimitExceeded;
use crate::domain::RequestId;

use crate::http::response::code::Code;
use crate::http::response::media_type::JSON;

/// How long a client waits after a 503 before it tries again, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// One problem with one member of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Problem {
    /// The member, such as `value` or `generate.length`.
    pub field: String,
    /// The rule that the member breaks.
    pub message: String,
}

/// Why a request was refused. Its text never quotes the request.
#[derive(Debug)]
pub(in crate::http) struct ApiError {
    pub code: Code,
    pub message: String,
    pub field: Option<String>,
    pub hint: Option<&'static str>,
    pub details: Vec<Problem>,
    /// The internal cause. It is logged under the request id and never sent.
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

    /// A request that breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Validation, message)
    }

    /// An error that names every member that breaks its rule. `problems` must not be empty.
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

    pub fn cause(mut self, cause: impl Into<Box<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// 503: too many requests of this kind are in progress.
    pub fn busy() -> Self {
        Self::new(
            Code::ServiceUnavailable,
            "Try again: too many requests of this kind are in progress.",
        )
    }

    /// 500, with the cause in the log only.
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(Code::Internal, "Internal Server Error").cause(cause.to_string())
    }

    /// Logs the cause, if there is one, and renders the response.
    pub fn into_response(self, request_id: &RequestId) -> HttpResponse {
        if let Some(cause) = &self.cause {
            log::error!("{request_id}: {}: {cause}", self.code.as_str());
        }
        let body = ErrorBody {
            code: self.code.as_str(),
            message: &self.message,
            field: self.field.as_deref(),
            hint: self.hint,
            request_id: request_id.as_str(),
            details: &self.details,
        };
        let mut response = HttpResponse::build(self.code.status());
        response.insert_header((CONTENT_TYPE, JSON));
        match self.code {
            Code::Unauthorized => {
                response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            }
            Code::ServiceUnavailable => {
                response.insert_header((RETRY_AFTER, RETRY_SECONDS));
            }
            _ => {}
        }
        if let Some(limited) = self.limited {
            insert_limit(&mut response, *limited);
        }
        response.body(serde_json::to_vec(&body).expect("an error object has only text members"))
    }
}

/// The error object on the wire.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub(in crate::http) struct ErrorBody<'a> {
    /// Stable and machine-readable.
    code: &'static str,
    /// For people.
    message: &'a str,
    /// The first member that breaks a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<&'a str>,
    /// Quote this when you report a problem.
    request_id: &'a str,
    /// Every problem, if there are several.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [Problem],
}

/// Adds the headers that describe a rate limit: the limit, how many requests are left (always 0 on
/// a 429), and when more are allowed. `Retry-After` counts whole seconds from now,
/// `X-RateLimit-Reset` whole seconds since 1970.
fn insert_limit(response: &mut HttpResponseBuilder, limited: LimitExceeded) {
    let wait = limited.wait.as_secs_f64().ceil().max(1.0) as u64;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    response
        .insert_header((RETRY_AFTER, wait))
        .insert_header(("x-ratelimit-limit", limited.limit))
        .insert_header(("x-ratelimit-remaining", 0))
        .insert_header(("x-ratelimit-reset", now + wait));
}
