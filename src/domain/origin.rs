//! The origin of a request: its id and its client address.
//!
//! Owns: the rule for request ids.
//! Must never: accept an id that could break a header or a log line.
//! Called by: `http`, which creates them; `audit`, `vault` and `access`, which record them.

use std::fmt;
use std::net::IpAddr;

use crate::domain::id::{Id, IdKind};
use crate::domain::time::Timestamp;

/// The id shared by a response, its error body, its log lines and its audit row. A generated id
/// starts with `req_`; a client may send its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The longest id accepted from a client, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Accepts an id of a client: 1 to 64 characters `[A-Za-z0-9._-]`. Returns `None` for anything
    /// else, because the text ends up in headers and log lines.
    pub fn from_client(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// Generates an id.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(Id::<RequestKind>::new(now, random).to_string())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

enum RequestKind {}
impl IdKind for RequestKind {
    const PREFIX: &'static str = "req";
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origin of an action, for its audit row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request; `None` for an action of the server itself.
    pub request_id: Option<RequestId>,
    /// The client's address; `None` for an action of the server itself.
    pub ip: Option<IpAddr>,
}

impl Origin {
    /// Returns the origin of an action of the server itself.
    pub fn host() -> Self {
        Self { request_id: None, ip: None }
    }
}
