//! The bytes of a body: what can be refused before the sender is known.
//!
//! Owns: reading a body within its size limit and its deadline.
//! Must never: interpret a body; keep one of an unknown sender, except a short one on the few
//! routes that need no credential.

use std::time::Duration;

use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING,
};
use actix_web::web::Payload;
use futures_util::StreamExt;
use zeroize::Zeroizing;

use crate::http::response::code::Code;
use crate::http::response::error::ApiError;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// How much of a refused body is still read and discarded, and for how long. A client that writes
/// its whole request before it reads would otherwise never see the refusal.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN: Duration = Duration::from_secs(5);
/// A client that sends nothing for this long is taken to be waiting for its answer.
const DRAIN_PAUSE: Duration = Duration::from_millis(200);

/// A body. It is erased when dropped, because it may contain a secret's value.
pub(in crate::http) type BodyBytes = Zeroizing<Vec<u8>>;

/// What the headers say about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct BodyHeaders {
    is_json: bool,
    length: Option<usize>,
    /// Whether there is a body at all (RFC 9112, section 6.3).
    body: bool,
}

impl BodyHeaders {
    /// Whether there is a body, even an empty one.
    pub fn has_body(self) -> bool {
        self.body
    }
}

/// Checks the encoding and the declared length, and notes the type.
pub(in crate::http) fn check(headers: &HeaderMap, limit: usize) -> Result<BodyHeaders, ApiError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "Content-Encoding is not supported. Send the body without encoding.",
        ));
    }
    let length = match headers.get(CONTENT_LENGTH) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
        None => None,
    };
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let is_json = match headers.get(CONTENT_TYPE) {
        Some(value) => value.to_str().is_ok_and(is_json),
        None => false,
    };
    let body = has_body(headers);
    Ok(BodyHeaders { is_json, length, body })
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// Whether a content type is `application/json`, with no charset or one that is valid for JSON.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            let text =
                value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii");
            !name.trim().eq_ignore_ascii_case("charset") || text
        })
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes."))
}

/// Reads the body. If `keep` is false, its bytes are counted and discarded.
pub(in crate::http) async fn read(
    payload: &mut Payload,
    headers: BodyHeaders,
    limit: usize,
    keep: bool,
) -> Result<BodyBytes, ApiError> {
    if !headers.body {
        // Reading could block for long: after an Upgrade the stream does not end.
        return Ok(BodyBytes::default());
    }
    let late = |_| ApiError::invalid("The body did not arrive in time.");
    let body = tokio::time::timeout(BODY_DEADLINE, read_all(payload, headers, limit, keep));
    let (body, length) = body.await.map_err(late)??;
    if length > 0 && !headers.is_json {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "The body must be JSON with Content-Type: application/json.",
        )
        .hint("Add the header Content-Type: application/json."));
    }
    Ok(body)
}

async fn read_all(
    payload: &mut Payload,
    headers: BodyHeaders,
    limit: usize,
    keep: bool,
) -> Result<(BodyBytes, usize), ApiError> {
    // Allocated in full at once: a buffer that grows leaves copies behind.
    let capacity = if keep { headers.length.unwrap_or(8 << 10).min(limit) } else { 0 };
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::invalid("The body ended too early."))?;
        length += chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        if keep {
            grow(&mut body, chunk.len());
            body.extend_from_slice(&chunk);
        }
    }
    Ok((body, length))
}

/// Moves the body into a larger buffer and erases the old one.
fn grow(body: &mut BodyBytes, more: usize) {
    if body.len() + more > body.capacity() {
        let mut larger = Vec::with_capacity((body.len() + more).next_power_of_two());
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
}

/// Reads and discards the rest of a refused body, up to a limit. Does nothing for a client that
/// sent `Expect` (RFC 9110, section 10.1.1): it waits for permission and is not sending.
pub(in crate::http) async fn drain(headers: &HeaderMap, payload: &mut Payload) {
    if !has_body(headers) || headers.contains_key(EXPECT) {
        return;
    }
    let mut left = DRAIN_BYTES;
    let discard = async {
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(DRAIN_PAUSE, payload.next()).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // It does not matter whether the body came to its end.
    let _ = tokio::time::timeout(DRAIN, discard).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_content_types() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "text/plain",
            "application/json; charset=latin1",
            "application/jsonx",
            "application/json, text/plain",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
