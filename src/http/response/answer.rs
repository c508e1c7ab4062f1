//! Answers: bytes with the contract's content type.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{
    CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::LimitExceeded;
use crate::domain::RequestId;

use crate::http::response::download::Download;
use crate::http::response::error::{ApiError, Code, Problem};

pub(in crate::http) const JSON: HeaderValue =
    HeaderValue::from_static("application/json; charset=utf-8");
/// When a client that was told 503 should come back, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// A successful answer: JSON, already rendered.
#[derive(Debug, Clone)]
pub(in crate::http) struct Answer {
    pub body: Bytes,
    /// Whether it was given before, to the same request.
    pub replayed: bool,
    /// A session's cookie to set or to take away.
    pub cookie: Option<HeaderValue>,
    /// What is sent instead of `body`, as it comes.
    pub download: Option<Download>,
    /// Of what is no JSON.
    pub sealed: Option<Sealed>,
}

/// What is in a bundle, by its tag, and whether the client has that.
#[derive(Debug, Clone)]
pub(in crate::http) struct Sealed {
    tag: String,
    is_known: bool,
}

/// <https://www.iana.org/assignments/media-types> has no name for it; this one is
/// what the contract says.
pub(in crate::http) const AGE: &str = "application/age-encryption";

impl Answer {
    pub fn json(body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body)
            .expect("answers have text keys and no type that serde_json cannot write");
        Self::rendered(body)
    }

    pub fn rendered(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), replayed: false, cookie: None, download: None, sealed: None }
    }

    /// Bytes that come piece by piece.
    pub fn download(download: Download) -> Self {
        Self { download: Some(download), ..Self::rendered(Bytes::new()) }
    }

    /// An age file, and the tag of what is in it.
    pub fn sealed(bytes: Vec<u8>, tag: &str) -> Self {
        let sealed = Sealed { tag: tag.to_owned(), is_known: false };
        Self { sealed: Some(sealed), ..Self::rendered(bytes) }
    }

    /// 304: the client has what is in it.
    pub fn not_modified(tag: &str) -> Self {
        let sealed = Sealed { tag: tag.to_owned(), is_known: true };
        Self { sealed: Some(sealed), ..Self::rendered(Bytes::new()) }
    }

    pub fn into_response(self) -> HttpResponse {
        if let Some(Sealed { tag, is_known }) = self.sealed {
            // Weak (RFC 9110, section 8.8.1): sealed again, the same content has
            // other bytes.
            let tag = (ETAG, format!("W/\"{tag}\""));
            if is_known {
                return HttpResponse::NotModified().insert_header(tag).finish();
            }
            return HttpResponse::Ok()
                .insert_header(tag)
                .insert_header((CONTENT_TYPE, HeaderValue::from_static(AGE)))
                .body(self.body);
        }
        let mut response = HttpResponse::Ok();
        if let Some(download) = self.download {
            return download.into_response(&mut response);
        }
        response.insert_header((CONTENT_TYPE, JSON));
        if self.replayed {
            response.insert_header(("idempotent-replayed", "true"));
        }
        if let Some(cookie) = self.cookie {
            response.insert_header((SET_COOKIE, cookie));
        }
        response.body(self.body)
    }
}

/// The error object.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Error)]
pub(in crate::http) struct ErrorBody<'a> {
    /// Stable and machine-readable.
    code: &'static str,
    /// For people.
    message: &'a str,
    /// The first offending member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<&'a str>,
    /// Quote this when you report a problem.
    request_id: &'a str,
    /// Every problem, when there are several.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [Problem],
}

impl ApiError {
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
        response.body(Answer::json(&body).body)
    }
}

/// What a client needs to know about a limit: how much, how much is left (never
/// any, on a 429), when there is more: `Retry-After` in whole seconds from now,
/// `X-RateLimit-Reset` in whole seconds since 1970.
fn insert_limit(response: &mut HttpResponseBuilder, limited: LimitExceeded) {
    let wait = limited.wait.as_secs_f64().ceil().max(1.0) as u64;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    response
        .insert_header((RETRY_AFTER, wait))
        .insert_header(("x-ratelimit-limit", limited.limit))
        .insert_header(("x-ratelimit-remaining", 0))
        .insert_header(("x-ratelimit-reset", now + wait));
}
