//! Why a request to the server failed, in words for a person.
//!
//! The message says what failed, the hints say what to do about it.

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use crate::cli::api::destination::Destination;
use crate::cli::terminal::error::Failure;

/// A failed request.
#[derive(Debug)]
pub(in crate::cli) struct ClientError {
    message: String,
    hints: Vec<String>,
    kind: ClientErrorKind,
}

/// What a caller may do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum ClientErrorKind {
    /// The server did not accept the credential.
    Unauthorized,
    /// The server is up but busy; a later try may succeed.
    Busy,
    /// The server could not be reached, or went away; a later try may succeed.
    Unreachable,
    /// Anything else; a later try fails in the same way.
    Other,
}

impl ClientError {
    fn new(kind: ClientErrorKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), kind }
    }

    /// A request that failed before it was sent.
    pub(super) fn local(error: &impl std::fmt::Display) -> Self {
        Self::new(ClientErrorKind::Other, error.to_string())
    }

    /// Adds a line that says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> ClientErrorKind {
        self.kind
    }

    /// Names the environment, if the server could not find it. The server also answers so for one
    /// that exists and that the caller has no access to.
    pub fn naming_environment(self, environment: &str) -> Self {
        if self.message != "Environment not found" {
            return self;
        }
        let hint = format!(
            "Create it: coffer env create {environment}. To list the environments that you have access to: coffer env list"
        );
        self.replaced(format!("no environment named {environment:?}"), hint)
    }

    /// Names the workload, if the server could not find it for this environment.
    pub fn naming_workload(self, workload: &str, environment: &str) -> Self {
        if self.message != "Workload not found" {
            return self;
        }
        let message = format!("workload {workload:?} does not include {environment}");
        let hint =
            "Add the environment to that [[workload]] in the server's config.toml, then reload.";
        self.replaced(message, hint.to_owned())
    }

    /// Keeps the kind and the request id.
    fn replaced(mut self, message: String, mut hint: String) -> Self {
        let last = self.hints.pop().unwrap_or_default();
        if let Some(at) = last.rfind("(request ") {
            hint = format!("{hint} {}", &last[at..]);
        }
        Self { message, hints: vec![hint], kind: self.kind }
    }

    /// Rewrites every line, to name command-line arguments instead of request fields.
    pub fn reworded(mut self, reword: impl Fn(&str) -> String) -> Self {
        self.message = reword(&self.message);
        self.hints.iter_mut().for_each(|line| *line = reword(line));
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::failed(error.message);
        error.hints.into_iter().fold(failure, |failure, hint| failure.hint(hint))
    }
}

/// The body of an error response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErrorResponse {
    code: String,
    message: String,
    hint: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    details: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct FieldProblem {
    field: String,
    message: String,
}

/// Reports a response that no coffer server of this version sends.
pub(in crate::cli) fn unexpected_response(why: &str) -> ClientError {
    let message = format!("unexpected response from the server: {why}");
    ClientError::new(ClientErrorKind::Other, message)
        .hint("Check that --url or COFFER_URL points to a coffer server of this version.")
}

/// Whether a response body is an error of the API, as opposed to one from a proxy in between.
pub(super) fn is_api_error(body: &[u8]) -> bool {
    serde_json::from_slice::<ErrorResponse>(body).is_ok()
}

/// Turns an error response into an error.
pub(super) fn refusal(
    destination: &Destination,
    response: &Response<Body>,
    body: &[u8],
) -> ClientError {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        let to = header(header::LOCATION).unwrap_or("another address");
        let message = format!("{} redirects to {to}", destination.base());
        return ClientError::new(ClientErrorKind::Other, message).hint(
            "Redirects are not followed, to protect the token. If the server has moved, pass its new address with --url.",
        );
    }
    let Ok(error) = serde_json::from_slice::<ErrorResponse>(body) else {
        return unexpected_response(&format!("status {}", status.as_u16()));
    };
    let is_busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let kind = match error.code.as_str() {
        "UNAUTHORIZED" => ClientErrorKind::Unauthorized,
        _ if is_busy => ClientErrorKind::Busy,
        _ => ClientErrorKind::Other,
    };
    let is_unauthorized = kind == ClientErrorKind::Unauthorized;
    let explained = destination.rejected().filter(|_| is_unauthorized);
    let mut failure = ClientError::new(kind, explained.unwrap_or(error.message));
    for FieldProblem { field, message } in &error.details {
        failure = failure.hint(format!("  {field}: {message}"));
    }
    let remedy = match header(header::RETRY_AFTER) {
        _ if is_unauthorized => destination.remedy().or(error.hint),
        Some(seconds) if is_busy => Some(format!("Try again in {seconds} s.")),
        _ => error.hint,
    };
    match (remedy, error.request_id) {
        (Some(remedy), Some(id)) => failure.hint(format!("{remedy} (request {id})")),
        (Some(remedy), None) => failure.hint(remedy),
        (None, Some(id)) => failure.hint(format!("(request {id})")),
        (None, None) => failure,
    }
}

/// Turns a missing or partial response into an error. `changes` is whether the request may have
/// changed something on the server.
pub(super) fn no_response(
    destination: &Destination,
    changes: bool,
    error: &ureq::Error,
) -> ClientError {
    use std::io::ErrorKind;
    use ureq::Error as E;

    const START: &str =
        "Start the server with `coffer serve`, or pass another address with --url or COFFER_URL.";
    const CHECK_NETWORK: &str = "Check the address and the network.";
    const TRUST: &str = "This host must trust the server's certificate. Set SSL_CERT_FILE to a file with additional CA certificates.";
    let base = destination.base();
    let unknown = if changes { " The change may or may not have been saved." } else { "" };
    let lost = |message: String| ClientError::new(ClientErrorKind::Unreachable, message);
    let unreachable = |why: &str| lost(format!("cannot reach {base}: {why}"));
    match error {
        E::Io(cause) if cause.kind() == ErrorKind::ConnectionRefused => {
            unreachable("connection refused").hint(START)
        }
        E::HostNotFound => unreachable("unknown host").hint("Check --url or COFFER_URL."),
        E::ConnectionFailed => unreachable("no connection").hint(START),
        E::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            unreachable("timed out").hint(CHECK_NETWORK)
        }
        E::Timeout(_) => lost(format!("{base} did not respond in time"))
            .hint(format!("Check the server's log.{unknown}")),
        E::Tls(_) | E::Rustls(_) => unreachable(&error.to_string()).hint(TRUST),
        E::Io(cause) if cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            unreachable(&cause.to_string()).hint(TRUST)
        }
        // These can only happen to an established connection.
        E::Io(cause)
            if matches!(
                cause.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
            ) =>
        {
            lost(format!("lost the connection to {base}: {cause}"))
                .hint(format!("Check that the server is running.{unknown}"))
        }
        E::Io(cause) => unreachable(&cause.to_string()).hint(CHECK_NETWORK),
        E::Protocol(_) | E::LargeResponseHeader(..) => unexpected_response("not HTTP"),
        E::BodyExceedsLimit(_) => unexpected_response("too long"),
        E::InvalidProxyUrl | E::ConnectProxyFailed(_) => {
            unreachable(&error.to_string()).hint("Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
        }
        _ => {
            let message = format!("no response from {base}: {error}");
            ClientError::new(ClientErrorKind::Other, message)
                .hint(format!("Check the server's log.{unknown}"))
        }
    }
}
