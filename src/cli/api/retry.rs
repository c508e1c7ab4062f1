//! Retries, for a busy server that names a short wait.
//!
//! Must never: make a change happen twice. Only these are sent again: reads; POSTs, which the
//! server executes once per Idempotency-Key; and requests rejected by a rate limit (429), which
//! have had no effect.

use std::io::Write;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Method, Response, StatusCode, header};

/// How many times a request is sent again.
const MAX_RETRIES: u32 = 3;
/// The longest wait that the client takes on without asking.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long to wait before sending the request again; `None` to report this response instead.
/// `retries` is how many times it was sent again already.
pub(super) fn delay(method: &Method, response: &Response<Body>, retries: u32) -> Option<Duration> {
    let repeatable = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => matches!(*method, Method::GET | Method::POST),
        _ => false,
    };
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let delay = Duration::from_secs(seconds);
    (repeatable && retries < MAX_RETRIES && delay <= MAX_WAIT).then_some(delay)
}

/// Waits, and says so on stderr, so that the command does not seem to hang.
pub(super) fn pause(delay: Duration) {
    let seconds = delay.as_secs();
    let _ = writeln!(std::io::stderr(), "coffer: server is busy, trying again in {seconds} s");
    std::thread::sleep(delay);
}
