//! One blocking HTTP client for one server.
//!
//! Must never: follow a redirect, which would take the token along; send the token through a proxy
//! to a server on this host.

use std::io::{Read, Write};
use std::time::Duration;

use serde::Serialize;
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Method, Request, Response, header};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use crate::cli::api::destination::Destination;
use crate::cli::api::error::{ClientError, no_response, refusal, unexpected_response};
use crate::cli::api::response::ApiResponse;
use crate::cli::api::retry;
use crate::cli::terminal::error::Failure;
use crate::config::Config;
use crate::domain::reachable;
use crate::vault::Random;

/// The longest JSON response; a full page of audit events is far below this.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

/// Sends requests to one server with one token.
pub(in crate::cli) struct ApiClient {
    agent: Agent,
    destination: Destination,
}

impl ApiClient {
    pub(super) fn new(destination: Destination) -> Self {
        if destination.is_https() {
            // Fails only if a provider is installed already; then that one is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Following a redirect would take the token along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("coffer/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            // Verifying a long audit log takes a while.
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .timeout_recv_body(Some(Duration::from_secs(120)));
        // HTTP_PROXY is for other hosts: a proxy between this host and itself would see the token.
        let config = if destination.is_local() { config.proxy(None) } else { config };
        Self { agent: config.build().new_agent(), destination }
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        self.destination.base()
    }

    /// Where the token came from, for a person to read.
    pub fn token_source(&self) -> &str {
        self.destination.token_source()
    }

    /// A client of the same server, with one of its sessions as the token.
    pub fn with_session(&self, token: &str) -> Result<Self, Failure> {
        let destination = self.destination.with_session(token)?;
        Ok(Self { agent: self.agent.clone(), destination })
    }

    /// Whether the address is the one that a server of this configuration listens on.
    pub fn is_server_of(&self, config: &Config) -> bool {
        self.destination.base() == format!("http://{}", reachable(config.server.listen))
    }

    pub fn get(&self, path: &str) -> Result<ApiResponse, ClientError> {
        self.send(Method::GET, path, None)
    }

    /// Sends a GET that may take any time, for requests that read the whole database. Giving up
    /// would leave the server working, and busy for the next try.
    pub fn get_without_timeout(&self, path: &str) -> Result<ApiResponse, ClientError> {
        let lost = |error| no_response(&self.destination, false, &error);
        let request = self.request(&Method::GET, path, "application/json").body(());
        let request = request.map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_recv_response(None).timeout_recv_body(None).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        let body = read_body(&mut response).map_err(lost)?;
        self.parse(&response, &body)
    }

    pub fn delete(&self, path: &str) -> Result<ApiResponse, ClientError> {
        self.send(Method::DELETE, path, None)
    }

    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<ApiResponse, ClientError> {
        self.send(Method::POST, path, Some(&to_json(body)))
    }

    /// Sends a POST without a body.
    pub fn post_empty(&self, path: &str) -> Result<ApiResponse, ClientError> {
        self.send(Method::POST, path, None)
    }

    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<ApiResponse, ClientError> {
        self.send(Method::PATCH, path, Some(&to_json(body)))
    }

    /// Opens a binary download: a stream, and about how many bytes it has if the server knows.
    /// The stream has no timeout, and only its end tells whether it is complete.
    pub fn download(&self, path: &str) -> Result<(impl Read + use<>, Option<u64>), ClientError> {
        let lost = |error| no_response(&self.destination, false, &error);
        let accept = "application/octet-stream, application/json";
        let request = self.request(&Method::GET, path, accept).body(());
        let request = request.map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request).timeout_recv_body(None).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        if !response.status().is_success() {
            let body = read_body(&mut response).map_err(lost)?;
            return Err(refusal(&self.destination, &response, &body));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if content_type.is_none_or(|value| value != "application/octet-stream") {
            return Err(unexpected_response("unexpected content type"));
        }
        let expected = response.headers().get("x-coffer-expected-bytes");
        let expected = expected.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((response.into_body().into_reader(), expected))
    }

    /// Sends a request, and again where that is safe and the server says when.
    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<ApiResponse, ClientError> {
        // One key however often the request is sent.
        let key = if method == Method::POST { Some(idempotency_key()?) } else { None };
        let mut retries = 0;
        loop {
            let lost = |error| no_response(&self.destination, method != Method::GET, &error);
            let mut response = self.send_once(&method, path, body, key.as_ref()).map_err(lost)?;
            if let Some(delay) = retry::delay(&method, &response, retries)
                // A failed login counts against a limit, so the person decides about another try.
                && self.destination.token().is_some()
            {
                retry::pause(delay);
                retries += 1;
                continue;
            }
            let body = read_body(&mut response).map_err(lost)?;
            return self.parse(&response, &body);
        }
    }

    fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
        idempotency_key: Option<&HeaderValue>,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.request(method, path, "application/json");
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json").body(body);
                self.agent.run(request.map_err(ureq::Error::from)?)
            }
            None => self.agent.run(request.body(()).map_err(ureq::Error::from)?),
        }
    }

    pub(super) fn request(&self, method: &Method, path: &str, accept: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.destination.base()))
            .header(header::ACCEPT, accept);
        match self.authorization() {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }

    fn parse(&self, response: &Response<Body>, body: &[u8]) -> Result<ApiResponse, ClientError> {
        if response.status().is_success() {
            ApiResponse::parse(body)
        } else {
            Err(refusal(&self.destination, response, body))
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", self.destination.token()?));
        let mut value = HeaderValue::from_str(&text)
            .expect("a token of visible ASCII characters fits in a header");
        value.set_sensitive(true);
        Some(value)
    }
}

fn read_body(response: &mut Response<Body>) -> Result<Zeroizing<Vec<u8>>, ureq::Error> {
    let body = response.body_mut().with_config().limit(MAX_RESPONSE_BYTES).read_to_vec();
    body.map(Zeroizing::new)
}

/// A key that no other request has.
fn idempotency_key() -> Result<HeaderValue, ClientError> {
    let bytes = Random.bytes().map_err(|error| ClientError::local(&error))?;
    let number = u128::from_be_bytes(bytes);
    Ok(HeaderValue::from_str(&format!("coffer-{number:032x}"))
        .expect("letters and digits fit in a header"))
}

/// Serializes a body into a buffer of exactly its length: one that grew would leave copies of a
/// password or a value behind.
fn to_json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    const PROOF: &str = "structs of strings, numbers and lists always serialize";
    let mut length = LengthCounter(0);
    serde_json::to_writer(&mut length, body).expect(PROOF);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body).expect(PROOF);
    bytes
}

/// Counts what is written and keeps none of it.
struct LengthCounter(usize);

impl Write for LengthCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
