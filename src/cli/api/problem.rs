//! What a person reads when a request came to nothing.
//!
//! The first line says what failed, the next one what to do.

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, StatusCode, header};

use crate::cli::api::place::Place;
use crate::cli::terminal::error::{Failure, Passing};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiError {
    code: String,
    message: String,
    hint: Option<String>,
    request_id: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    field: String,
    message: String,
}

/// An answer that is none of the API's.
pub(in crate::cli) fn not_coffer(why: &str) -> Failure {
    Failure::failed(format!("the answer is not one of coffer's: {why}"))
        .hint("Check that --url or COFFER_URL is the address of a coffer server of this version.")
}

/// Whether an answer is an error of the API's.
pub(super) fn is_ours(body: &[u8]) -> bool {
    serde_json::from_slice::<ApiError>(body).is_ok()
}

/// The server said no.
pub(super) fn refusal(place: &Place, response: &Response<Body>, body: &[u8]) -> Failure {
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        let to = header(header::LOCATION).unwrap_or("somewhere else");
        return Failure::failed(format!("{} sends its callers to {to}", place.base())).hint(
            "The token does not go along. If that is the server, give its address with --url.",
        );
    }
    let Ok(error) = serde_json::from_slice::<ApiError>(body) else {
        return not_coffer(&format!("status {}", status.as_u16()));
    };
    let unknown = error.code == "UNAUTHORIZED";
    let said = place.ended().filter(|_| unknown).unwrap_or(error.message);
    let mut failure = Failure::failed(said);
    if unknown {
        failure = failure.about_the_credential();
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        failure = failure.passing(Passing::Busy);
    }
    for Detail { field, message } in &error.details {
        failure = failure.hint(format!("  {field}: {message}"));
    }
    let remedy = match (status, header(header::RETRY_AFTER)) {
        _ if unknown => place.remedy().or(error.hint),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(seconds)) => {
            Some(format!("Try again in {seconds} s."))
        }
        _ => error.hint,
    };
    match (remedy, error.request_id) {
        (Some(remedy), Some(id)) => failure.hint(format!("{remedy} (request {id})")),
        (Some(remedy), None) => failure.hint(remedy),
        (None, Some(id)) => failure.hint(format!("(request {id})")),
        (None, None) => failure,
    }
}

/// There was no answer, or only a part of one.
pub(super) fn no_answer(place: &Place, changes: bool, error: &ureq::Error) -> Failure {
    use std::io::ErrorKind;
    use ureq::Error as E;

    let base = place.base();
    let start =
        "Start the server with `coffer serve`, or give another address with --url or COFFER_URL.";
    let may_be_done =
        if changes { " The change may have been made; look before you repeat it." } else { "" };
    let unreachable = |why: &str| {
        Failure::failed(format!("cannot reach {base}: {why}")).passing(Passing::Unreached)
    };
    match error {
        E::Io(cause) if cause.kind() == ErrorKind::ConnectionRefused => {
            unreachable("the connection was refused").hint(start)
        }
        E::HostNotFound => unreachable("there is no such host").hint("Check --url or COFFER_URL."),
        E::ConnectionFailed => unreachable("no connection").hint(start),
        E::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            unreachable("no answer in time").hint("Check the address and the network.")
        }
        E::Timeout(_) => Failure::failed(format!("{base} did not answer in time"))
            .passing(Passing::Unreached)
            .hint(format!("See what the server's log says.{may_be_done}")),
        E::Tls(_) | E::Rustls(_) => unreachable(&error.to_string())
            .hint("This host must trust the server's certificate; SSL_CERT_FILE can name a file of further CAs."),
        E::Io(cause) if cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            unreachable(&cause.to_string())
                .hint("This host must trust the server's certificate; SSL_CERT_FILE can name a file of further CAs.")
        }
        // What can only happen to a connection that there was.
        E::Io(cause)
            if matches!(
                cause.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
            ) =>
        {
            Failure::failed(format!("the connection to {base} broke: {cause}"))
                .passing(Passing::Unreached)
                .hint(format!("See whether the server still runs.{may_be_done}"))
        }
        E::Io(cause) => unreachable(&cause.to_string()).hint("Check the address and the network."),
        E::Protocol(_) | E::LargeResponseHeader(..) => not_coffer("it is not HTTP"),
        E::BodyExceedsLimit(_) => not_coffer("it is too long"),
        E::InvalidProxyUrl | E::ConnectProxyFailed(_) => {
            unreachable(&error.to_string()).hint("Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
        }
        _ => Failure::failed(format!("no answer from {base}: {error}"))
            .hint(format!("See what the server's log says.{may_be_done}")),
    }
}
