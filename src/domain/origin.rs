//! Where a request came from: its id and its client address.

use std::fmt;
use std::net::IpAddr;

use super::Timestamp;

/// The id that an answer, its error body, its log lines and its audit row
/// share. Ours begins with `req_`; a client may send its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Longest id that is taken over from a client, in characters.
    pub const MAX_CHARS: usize = 64;

    /// A client's own id: 1 to 64 characters `[A-Za-z0-9._-]`. Anything else is
    /// dropped, because the text ends up in headers and log lines.
    pub fn from_client(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_CHARS).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// A new one.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(super::Id::<RequestKind>::new(now, random).to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

enum RequestKind {}
impl super::Kind for RequestKind {
    const PREFIX: &'static str = "req";
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an action came from, for the audit row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The request; `None` for what the server does by itself.
    pub request_id: Option<RequestId>,
    /// The client's address; `None` for what the server does by itself.
    pub ip: Option<IpAddr>,
}

impl Origin {
    /// The server acting by itself.
    pub fn host() -> Self {
        Self { request_id: None, ip: None }
    }
}
