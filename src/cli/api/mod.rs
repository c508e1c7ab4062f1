//! The client's side of the API.
//!
//! Owns: one blocking HTTP client; what a failed request looks like on stderr.
//! Must never: send the token anywhere but in the Authorization header, to any
//! server but the one that was named, or into a log.
//! Called by: the commands that ask a running server.

mod bundle;
mod logins;
mod place;
mod problem;
mod retry;

pub(super) use bundle::{Fetched, NotFetched};
pub(super) use logins::{Login, Logins, place_of_process as login_place};
pub(super) use place::{ClientArguments, PlaceArguments};
pub(super) use problem::not_coffer;

use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::request::Builder;
use ureq::http::{HeaderValue, Method, Request, Response, header};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use crate::cli::terminal::error::Failure;
use crate::config::Config;
use crate::domain::reachable;
use crate::vault::Random;
use place::Place;

/// Longest answer: a full page of audit rows stays far below it.
const LARGEST_ANSWER_BYTES: u64 = 64 << 20;

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

    /// The server's address.
    pub fn server(&self) -> &str {
        self.place.base()
    }

    /// Where the token came from, in words.
    pub fn token_source(&self) -> &str {
        self.place.token_source()
    }

    /// A client of the same server that shows a session of it.
    pub fn with_session(&self, token: &str) -> Result<Self, Failure> {
        Ok(Self { agent: self.agent.clone(), place: self.place.with_session(token)? })
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
        let request = self.request(&Method::GET, path, "application/json").body(());
        let request = request.map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_recv_response(None).timeout_recv_body(None).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        let body = Self::whole(&mut response).map_err(lost)?;
        self.answer(&response, &body)
    }

    fn request(&self, method: &Method, path: &str, accept: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.place.base()))
            .header(header::ACCEPT, accept);
        match self.authorization() {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }

    fn whole(response: &mut Response<Body>) -> Result<Zeroizing<Vec<u8>>, ureq::Error> {
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER_BYTES).read_to_vec();
        body.map(Zeroizing::new)
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

    /// What a path sends that is no JSON, as it comes, and about how many bytes that
    /// will be, if the server says. It may take as long as it takes; whether it came
    /// whole shows at its end.
    pub fn download(&self, path: &str) -> Result<(impl Read + use<>, Option<u64>), Failure> {
        let lost = |error| problem::no_answer(&self.place, false, &error);
        let accept = "application/octet-stream, application/json";
        let request = self.request(&Method::GET, path, accept).body(());
        let request = request.map_err(|error| lost(error.into()))?;
        let request = self.agent.configure_request(request).timeout_recv_body(None).build();
        let mut response = self.agent.run(request).map_err(lost)?;
        if !response.status().is_success() {
            let body = Self::whole(&mut response).map_err(lost)?;
            return Err(problem::refusal(&self.place, &response, &body));
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "application/octet-stream") {
            return Err(problem::not_coffer("it is of another type"));
        }
        let expected = response.headers().get("x-coffer-expected-bytes");
        let expected = expected.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((response.into_body().into_reader(), expected))
    }

    /// Sends a request, again if that is safe and the server says when.
    fn send(&self, method: Method, path: &str, body: Option<&[u8]>) -> Result<Answer, Failure> {
        // One key for the request however often it is sent.
        let once = if method == Method::POST { Some(idempotency_key()?) } else { None };
        let mut sent_again = 0;
        loop {
            let lost = |error| problem::no_answer(&self.place, method != Method::GET, &error);
            let mut response = self.send_once(&method, path, body, once.as_ref()).map_err(lost)?;
            if let Some(wait) = retry::wait(&method, &response, sent_again)
                // A failed login is counted; the person decides about the next try.
                && self.place.token().is_some()
            {
                retry::pause(wait);
                sent_again += 1;
                continue;
            }
            let body = Self::whole(&mut response).map_err(lost)?;
            return self.answer(&response, &body);
        }
    }

    fn send_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&[u8]>,
        once: Option<&HeaderValue>,
    ) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.request(method, path, "application/json");
        if let Some(key) = once {
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

    fn answer(&self, response: &Response<Body>, body: &[u8]) -> Result<Answer, Failure> {
        if !response.status().is_success() {
            return Err(problem::refusal(&self.place, response, body));
        }
        let text = std::str::from_utf8(body).ok();
        // Looked at as a whole first: what is passed on must be JSON.
        match text.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()) {
            Some(text) => Ok(Answer { text: Zeroizing::new(text.to_owned()) }),
            None => Err(problem::not_coffer("it is not JSON")),
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", self.place.token()?));
        let mut value = HeaderValue::from_str(&text)
            .expect("a token of visible ASCII characters fits in a header");
        value.set_sensitive(true);
        Some(value)
    }
}

/// Something that no other request has.
fn idempotency_key() -> Result<HeaderValue, Failure> {
    let number = u128::from_be_bytes(Random.bytes().map_err(Failure::failed)?);
    Ok(HeaderValue::from_str(&format!("coffer-{number:032x}"))
        .expect("letters and digits fit in a header"))
}

/// A body, in a buffer of just its length: one that grew would leave copies of a
/// password or a value behind.
fn json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    const PROOF: &str = "structs of texts, numbers and lists are always JSON";
    let mut length = Counter(0);
    serde_json::to_writer(&mut length, body).expect(PROOF);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *bytes, body).expect(PROOF);
    bytes
}

/// Counts what is written, and keeps nothing of it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An id that a server gave, as a segment of a path. It leads nowhere else: a
/// server that has been taken over may not send its callers' deletions astray.
pub(super) fn path_id(id: String) -> Result<String, Failure> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !id.is_empty() && id.bytes().all(plain) { Ok(id) } else { Err(not_coffer("an id is none")) }
}
