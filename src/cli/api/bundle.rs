//! Fetching a workload's bundle.
//!
//! Must never: mistake a refusal for an unreachable server, because a workload that lost its
//! access must not go on with cached values.

use std::time::Duration;

use ureq::http::{Method, StatusCode, header};

use crate::cli::api::client::ApiClient;
use crate::cli::api::error::{ClientError, is_api_error, no_response, refusal};

/// The longest bundle, including what sealing adds.
const MAX_BUNDLE_BYTES: u64 = 80 << 20;

/// A successful response.
pub(in crate::cli) enum FetchedBundle {
    /// A bundle other than the known one.
    New {
        /// The age file.
        sealed: Vec<u8>,
        /// Names this bundle in the next request.
        tag: Option<String>,
    },
    /// The known bundle is current.
    Unchanged,
}

/// Why no bundle was fetched.
pub(in crate::cli) enum BundleFetchError {
    /// Neither the server nor a working proxy responded.
    Unreachable(ClientError),
    /// The server denies the caller access, or no longer has the workload.
    Revoked(ClientError),
    /// The server rejected the request for another reason.
    Rejected(ClientError),
}

impl ApiClient {
    /// Fetches a workload's bundle. With a known tag, waits up to `wait` seconds for another
    /// bundle than that.
    pub fn bundle(
        &self,
        (environment, workload): (&str, &str),
        known: Option<&str>,
        wait: u64,
    ) -> Result<FetchedBundle, BundleFetchError> {
        let destination = self.destination();
        let lost = |error| BundleFetchError::Unreachable(no_response(destination, false, &error));
        let path =
            format!("/api/environments/{environment}/bundle?workload={workload}&wait={wait}");
        let accept = "application/age-encryption, application/json";
        let mut request = self.request(&Method::GET, &path, accept);
        if let Some(tag) = known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(()).map_err(|error| lost(error.into()))?;
        let timeout = Duration::from_secs(wait + 30);
        let request =
            self.agent().configure_request(request).timeout_recv_response(Some(timeout)).build();
        let mut response = self.agent().run(request).map_err(lost)?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(FetchedBundle::Unchanged);
        }
        let body = response.body_mut().with_config().limit(MAX_BUNDLE_BYTES).read_to_vec();
        let sealed = body.map_err(lost)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        match response.status() {
            StatusCode::OK
                if header(header::CONTENT_TYPE) == Some("application/age-encryption") =>
            {
                let tag = header(header::ETAG).map(str::to_owned);
                Ok(FetchedBundle::New { sealed, tag })
            }
            // Busy, broken, or a proxy in between: all of these may pass, and none of them says
            // that the values must not be used.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(BundleFetchError::Unreachable(refusal(destination, &response, &sealed)))
            }
            _ if !is_api_error(&sealed) => {
                Err(BundleFetchError::Unreachable(refusal(destination, &response, &sealed)))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Err(BundleFetchError::Revoked(refusal(destination, &response, &sealed)))
            }
            _ => Err(BundleFetchError::Rejected(refusal(destination, &response, &sealed))),
        }
    }
}
