//! Fetching a bundle.
//!
//! Must never: take a refusal for a server that cannot be reached; a workload
//! that was struck off the list must not go on with what it had.

use std::time::Duration;

use ureq::http::{Method, StatusCode, header};

use crate::cli::api::{Client, problem};
use crate::cli::terminal::error::Failure;

/// Longest bundle, and what sealing adds.
const LARGEST_BUNDLE_BYTES: u64 = 80 << 20;

/// What came of asking.
pub(in crate::cli) enum Fetched {
    /// A bundle, sealed, and its tag.
    New {
        /// The age file.
        sealed: Vec<u8>,
        /// For asking again.
        tag: Option<String>,
    },
    /// The same as the tag names.
    Same,
}

/// Why there is none.
pub(in crate::cli) enum NotFetched {
    /// Nobody answered, or somebody in between who cannot reach the server.
    Unreachable(Failure),
    /// The server said that it is not for this caller, or not any more.
    StruckOff(Failure),
    /// The server said no to something else.
    Refused(Failure),
}

impl Client {
    /// Asks for a workload's bundle; with a tag, for another one than that, and
    /// waits for it for so many seconds.
    pub fn bundle(
        &self,
        (environment, workload): (&str, &str),
        known: Option<&str>,
        wait: u64,
    ) -> Result<Fetched, NotFetched> {
        let lost = |error| NotFetched::Unreachable(problem::no_answer(&self.place, false, &error));
        let path =
            format!("/api/environments/{environment}/bundle?workload={workload}&wait={wait}");
        let accept = "application/age-encryption, application/json";
        let mut request = self.request(&Method::GET, &path, accept);
        if let Some(tag) = known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(()).map_err(|error| lost(error.into()))?;
        let patience = Duration::from_secs(wait + 30);
        let request =
            self.agent.configure_request(request).timeout_recv_response(Some(patience)).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::Same);
        }
        let body = response.body_mut().with_config().limit(LARGEST_BUNDLE_BYTES).read_to_vec();
        let sealed = body.map_err(lost)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        match response.status() {
            StatusCode::OK
                if header(header::CONTENT_TYPE) == Some("application/age-encryption") =>
            {
                let tag = header(header::ETAG).map(str::to_owned);
                Ok(Fetched::New { sealed, tag })
            }
            // Busy, broken, or somebody in between who is no server of ours: all of
            // that may pass, and none of it says that the values are not to be used.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(NotFetched::Unreachable(problem::refusal(&self.place, &response, &sealed)))
            }
            _ if !problem::is_ours(&sealed) => {
                Err(NotFetched::Unreachable(problem::refusal(&self.place, &response, &sealed)))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(NotFetched::StruckOff(problem::refusal(&self.place, &response, &sealed)))
            }
            _ => Err(NotFetched::Refused(problem::refusal(&self.place, &response, &sealed))),
        }
    }
}
