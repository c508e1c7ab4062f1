//! `Idempotency-Key`: a repeated POST gets the first answer again and does nothing.
//!
//! Owns: reading the header, and which of these requests are in progress. The answers are kept by
//! the vault, across restarts; `State` knows how to render them.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::web::Data;
use utoipa::openapi::ObjectBuilder;

use crate::vault::{Lookup, Permit, Render};

use crate::http::request::in_flight::InFlightGuard;
use crate::http::request::parameter::Parameter;
use crate::http::request::state::State;
use crate::http::response::answer::Answer;
use crate::http::response::code::Code;
use crate::http::response::error::ApiError;
use crate::http::response::schema;

const HEADER: &str = "Idempotency-Key";
const MAX_CHARACTERS: usize = 200;

/// The header, which every POST with a credential takes.
pub(in crate::http) const IDEMPOTENCY_KEY: Parameter = Parameter::header(
    HEADER,
    key_schema,
    "Up to 200 characters. Within 24 hours, the same request with the same key gets the same \
     answer with `Idempotent-Replayed: true` and does nothing.",
);

fn key_schema() -> ObjectBuilder {
    // Leading and trailing blanks are not part of a header's value.
    schema::text()
        .min_length(Some(1))
        .max_length(Some(MAX_CHARACTERS))
        .pattern(Some(r"^[!-~]([\t -~]*[!-~])?$"))
}

/// What to do with a request.
pub(in crate::http) enum Replay<L> {
    /// Run it with this permit, and hold the guard meanwhile.
    Run(Box<Permit<L>>, Option<InFlightGuard>),
    /// It was answered before; send the same answer.
    Answered(Answer),
}

/// Decides whether a request has to run or was answered before.
pub(in crate::http) fn check<L>(
    state: &Data<State>,
    request: &HttpRequest,
    permit: Permit<L>,
    body: &[u8],
) -> Result<Replay<L>, ApiError> {
    let Some(key) = given_key(request)? else { return Ok(Replay::Run(Box::new(permit), None)) };
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let content = (request.method().as_str(), path, body);
    let shared = state.clone();
    let render = Render::new(move |outcome| (shared.render)(&shared, outcome));
    let record = state.vault.idempotency_record(&permit, key, content, render);
    let guard = state.in_flight.start(record.key()).ok_or_else(|| {
        ApiError::in_progress().hint("Repeat it when the first request has been answered.")
    })?;
    match state.vault.lookup(&permit, &record)? {
        Lookup::New => Ok(Replay::Run(Box::new(permit.once(record)), Some(guard))),
        Lookup::Done(body) => {
            Ok(Replay::Answered(Answer { replayed: true, ..Answer::rendered(body) }))
        }
        Lookup::Withheld => {
            let message =
                "The request succeeded, but its answer contained a token and is not kept.";
            Err(ApiError::new(Code::Conflict, message).field(HEADER).hint(
                "If the token is lost, delete it and create another with a new Idempotency-Key.",
            ))
        }
        Lookup::Other => {
            let message = "The Idempotency-Key was used for another request.";
            Err(ApiError::new(Code::IdempotencyKeyReused, message)
                .field(HEADER)
                .hint("Use a new key for each request that is not a repetition."))
        }
    }
}

/// Returns the key of a POST that has one.
fn given_key(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let mut values = request.headers().get_all(HEADER);
    let (first, second) = (values.next(), values.next());
    let (Some(value), true) = (first, request.method() == Method::POST) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MAX_CHARACTERS).contains(&text.len()));
    match (text, second) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(ApiError::invalid(
            "Idempotency-Key must be given once and have 1 to 200 characters.",
        )
        .field(HEADER)),
    }
}
