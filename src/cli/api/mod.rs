//! The client's side of the API.
//!
//! Owns: one blocking HTTP client; what a failed request looks like on stderr.
//! Must never: send the token anywhere but in the Authorization header, to any
//! server but the one that was named, or into a log.
//! Called by: the commands that ask a running server.

mod place;
mod problem;

pub(super) use place::{ClientArguments, PlaceArguments, reachable};
pub(super) use problem::not_coffer;

use std::io::Read;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::{HeaderValue, Method, Request, header};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::config::Config;
use place::Place;

/// Longest answer: a full page of audit rows stays far below it.
const LARGEST_ANSWER_BYTES: u64 = 64 << 20;

/// Room for any request body there is, so that the buffer never moves and
/// leaves a copy of a password behind.
const BODY_BYTES: usize = 8 << 10;

/// Talks to one server with one token.
pub(super) struct Client {
    agent: Agent,
    place: Place,
}

/// A good answer, as it came. Erased when dropped: it may hold a new token.
pub(super) struct Answer {
    text: Zeroizing<String>,
}

impl Answer {
    /// The JSON itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The JSON's content. One that does not fit comes from another server.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        // serde's message may quote the answer, so it is not shown.
        serde_json::from_str(&self.text).map_err(|_| problem::not_coffer("it lacks a member"))
    }
}

impl Client {
    fn new(place: Place) -> Self {
        if place.is_https() {
            // Refused only if there is one already: then that one is used.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect is an answer: following it would take the token along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("coffer/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .timeout_resolve(Some(Duration::from_secs(10)))
            .timeout_connect(Some(Duration::from_secs(10)))
            // Verifying a long audit log takes its time.
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .timeout_recv_body(Some(Duration::from_secs(120)));
        // HTTP_PROXY is for other hosts: one that stood between this host and
        // itself would get the token.
        let config = if place.is_local() { config.proxy(None) } else { config };
        Self { agent: config.build().new_agent(), place }
    }

    /// Whether it is the server that this configuration is of, as far as the
    /// address tells.
    pub fn asks_host_of(&self, config: &Config) -> bool {
        self.place.base() == format!("http://{}", reachable(config.server.listen))
    }

    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None)
    }

    /// Likewise, of what reads the whole database: whoever gave up would leave the
    /// server at work, and find it busy when asking again.
    pub fn get_patiently(&self, path: &str) -> Result<Answer, Failure> {
        let lost = |error| problem::no_answer(&self.place, false, &error);
        let request = self.request(Method::GET, path).body(());
        let request = request.map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_recv_response(None).timeout_recv_body(None).build();
        self.taken(self.agent.run(request).map_err(lost)?, false)
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.place.base()))
            .header(header::AUTHORIZATION, self.authorization())
            .header(header::ACCEPT, "application/json")
    }

    pub fn delete(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::DELETE, path, None)
    }

    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(&json(body)))
    }

    /// A POST without a body.
    pub fn send_empty(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::POST, path, None)
    }

    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        self.send(Method::PATCH, path, Some(&json(body)))
    }

    /// What a path sends that is no JSON, as it comes. It may take as long as it
    /// takes; whether it came whole shows at its end.
    pub fn download(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let lost = |error| problem::no_answer(&self.place, false, &error);
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{path}", self.place.base()))
            .header(header::AUTHORIZATION, self.authorization())
            .header(header::ACCEPT, "application/octet-stream, application/json")
            .body(())
            .map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request).timeout_recv_body(None).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        if !response.status().is_success() {
            let body = response.body_mut().with_config().limit(LARGEST_ANSWER_BYTES);
            let body = body.read_to_vec().map_err(lost)?;
            return Err(problem::refusal(&self.place, &response, &body));
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "application/octet-stream") {
            return Err(problem::not_coffer("it is of another type"));
        }
        Ok(response.into_body().into_reader())
    }

    fn send(&self, method: Method, path: &str, body: Option<&[u8]>) -> Result<Answer, Failure> {
        let changes = method != Method::GET;
        let lost = |error| problem::no_answer(&self.place, changes, &error);
        let request = self.request(method, path);
        let sent = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.agent.run(request)),
        };
        self.taken(sent.map_err(lost)?, changes)
    }

    /// The whole of an answer, if it is a good one.
    fn taken(
        &self,
        mut response: ureq::http::Response<ureq::Body>,
        changes: bool,
    ) -> Result<Answer, Failure> {
        let lost = |error| problem::no_answer(&self.place, changes, &error);
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER_BYTES).read_to_vec();
        let body = Zeroizing::new(body.map_err(lost)?);
        if !response.status().is_success() {
            return Err(problem::refusal(&self.place, &response, &body));
        }
        let text = std::str::from_utf8(&body).ok();
        // Looked at as a whole first: what is passed on must be JSON.
        match text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()) {
            Some(text) => Ok(Answer { text: Zeroizing::new(text.to_owned()) }),
            None => Err(problem::not_coffer("it is not JSON")),
        }
    }

    fn authorization(&self) -> HeaderValue {
        let text = Zeroizing::new(format!("Bearer {}", self.place.token()));
        let mut value = HeaderValue::from_str(&text)
            .expect("a token of visible ASCII characters fits in a header");
        value.set_sensitive(true);
        value
    }
}

fn json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES));
    serde_json::to_writer(&mut *bytes, body)
        .expect("structs of texts, numbers and lists are always JSON");
    bytes
}

/// An id that a server gave, as a segment of a path. It leads nowhere else: a
/// server that has been taken over may not send its callers' deletions astray.
pub(super) fn path_id(id: String) -> Result<String, Failure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(plain) { Ok(id) } else { Err(not_coffer("an id is none")) }
}
