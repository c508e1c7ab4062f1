//! The form of a request: what can be refused before anybody asks who sent it.
//!
//! Owns: reading a body, within its limit and its deadline.
//! Must never: look at what a body says; keep one whose sender is unknown, but
//! for a short one on the few routes that take anybody's.

use std::time::Duration;

use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING,
};
use actix_web::web::Payload;
use futures_util::StreamExt;
use zeroize::Zeroizing;

use crate::http::response::error::{ApiError, Code};

/// A body that takes longer than this to arrive is not waited for.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// How much of a refused body is still taken off the wire, so that a client
/// that writes before it reads gets to see the refusal, and for how long.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(5);
/// A client that sends nothing for this long waits for its answer.
const LINGER_PAUSE: Duration = Duration::from_millis(200);

/// A body. Erased when dropped, for it may hold a secret's value.
pub(in crate::http) type Body = Zeroizing<Vec<u8>>;

/// What the headers say about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Declared {
    is_json: bool,
    length: Option<usize>,
    /// Whether there is a body at all (RFC 9112, section 6.3).
    body: bool,
}

impl Declared {
    /// Whether there is a body, if only an empty one.
    pub fn has_body(self) -> bool {
        self.body
    }
}

/// Checks encoding, declared length and type.
pub(in crate::http) fn check(headers: &HeaderMap, limit: usize) -> Result<Declared, ApiError> {
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(ApiError::new(
            Code::UnsupportedMediaType,
            "Content-Encoding is not supported; send the body as it is.",
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
    Ok(Declared { is_json, length, body })
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

/// `application/json`, with or without a charset that JSON can have.
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

/// Takes the body off the wire. It is kept only when the sender is known;
/// otherwise it is only counted.
pub(in crate::http) async fn read(
    payload: &mut Payload,
    declared: Declared,
    limit: usize,
    keep: bool,
) -> Result<Body, ApiError> {
    if !declared.body {
        // To wait for one could take long: after an Upgrade the stream goes on.
        return Ok(Body::default());
    }
    let late = |_| ApiError::invalid("The body did not arrive in time.");
    let body = tokio::time::timeout(BODY_DEADLINE, read_all(payload, declared, limit, keep));
    let (body, length) = body.await.map_err(late)??;
    if length > 0 && !declared.is_json {
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
    declared: Declared,
    limit: usize,
    keep: bool,
) -> Result<(Body, usize), ApiError> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = if keep { declared.length.unwrap_or(8 << 10).min(limit) } else { 0 };
    let mut body = Zeroizing::new(Vec::with_capacity(room));
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

/// Makes room in a new buffer and erases the old one.
fn grow(body: &mut Body, more: usize) {
    if body.len() + more > body.capacity() {
        let mut larger = Vec::with_capacity((body.len() + more).next_power_of_two());
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
}

/// Takes a refused body off the wire, up to a limit. A client that asked
/// whether to send it (RFC 9110, section 10.1.1) is not sending it.
pub(in crate::http) async fn linger(headers: &HeaderMap, payload: &mut Payload) {
    if !has_body(headers) || headers.contains_key(EXPECT) {
        return;
    }
    let mut left = LINGER_BYTES;
    let drain = async {
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(LINGER_PAUSE, payload.next()).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whether it came to its end does not matter.
    let _ = tokio::time::timeout(LINGER, drain).await;
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
