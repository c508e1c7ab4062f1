//! A successful response of the API.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cli::api::error::{ClientError, unexpected_response};

/// The JSON of a successful response, unchanged. Erased when dropped: it may hold a new token.
pub(in crate::cli) struct ApiResponse {
    text: Zeroizing<String>,
}

impl ApiResponse {
    /// Takes the body of a response, which must be JSON as a whole: it may be printed as it is.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ClientError> {
        let text = std::str::from_utf8(body).ok();
        match text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()) {
            Some(text) => Ok(Self { text: Zeroizing::new(text.to_owned()) }),
            None => Err(unexpected_response("not JSON")),
        }
    }

    /// The JSON text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses the JSON. A mismatch means that the server is of another version, or not coffer.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ClientError> {
        // serde's message may quote the response, so it is not shown.
        serde_json::from_str(&self.text).map_err(|_| unexpected_response("unexpected JSON"))
    }
}

/// Checks an id that a server sent for use as a path segment, so that a compromised server cannot
/// redirect a later request, such as a deletion, to another path.
pub(in crate::cli) fn path_id(id: String) -> Result<String, ClientError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(plain) {
        Ok(id)
    } else {
        Err(unexpected_response("invalid id"))
    }
}
