//! Asking again: when a server that is too busy says when, and the wait is short.
//!
//! Must never: do anything twice. Again goes a read; a POST, whose
//! Idempotency-Key makes the server do it once; and any other request that was
//! turned away for its number (429), before anything was done with it.

use std::io::Write;
use std::time::Duration;

use ureq::Body;
use ureq::http::{Method, Response, StatusCode, header};

/// How often a request is sent again.
const MOST: u32 = 3;
/// The longest wait that nobody minds.
const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait before this answer's request is sent again, after so many
/// times; `None` to leave it at that answer.
pub(super) fn wait(
    method: &Method,
    response: &Response<Body>,
    sent_again: u32,
) -> Option<Duration> {
    let repeatable = match response.status() {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => matches!(*method, Method::GET | Method::POST),
        _ => false,
    };
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    let wait = Duration::from_secs(seconds);
    (repeatable && sent_again < MOST && wait <= LONGEST).then_some(wait)
}

/// Waits, and says so: whoever watches must not think that nothing happens.
pub(super) fn pause(wait: Duration) {
    let seconds = wait.as_secs();
    let _ = writeln!(std::io::stderr(), "coffer: the server is busy; trying again in {seconds} s");
    std::thread::sleep(wait);
}
