//! `Idempotency-Key`: a POST that is sent again is answered again, not done again.
//!
//! Owns: which such requests are under way; how an answer is made of what a
//! change gave back. What was done is in the vault's receipts, over restarts.

use std::collections::HashSet;
use std::sync::Mutex;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::web::Data;

use crate::vault::{IdempotencyRecord, Lookup, Permit, Render, VerbResult};

use crate::http::State;
use crate::http::handlers::copy::CopyAnswer;
use crate::http::handlers::imports::ImportAnswer;
use crate::http::handlers::keys::RotationAnswer;
use crate::http::response::account_items::{ServiceAccountAnswer, UserAnswer};
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code};
use crate::http::response::items::{
    Done, EnvironmentAnswer, SecretAnswer, SettingsAnswer, VarAnswer,
};

const HEADER: &str = "Idempotency-Key";
const MOST_CHARACTERS: usize = 200;

/// The receipts of requests that are under way.
#[derive(Debug, Default)]
pub(in crate::http) struct UnderWay(Mutex<HashSet<[u8; 32]>>);

/// Holds a request's place among those under way; gives it up when dropped.
pub(in crate::http) struct Place {
    state: Data<State>,
    key: [u8; 32],
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut keys = self.state.under_way.0.lock().expect("no holder of this lock can panic");
        keys.remove(&self.key);
    }
}

/// What becomes of a request.
pub(in crate::http) enum Once<L> {
    /// It is done, under this permit, while the place is held.
    Do(Box<Permit<L>>, Option<Place>),
    /// It was done.
    Replay(Answer),
}

/// Looks whether a request wants to be done once, and whether it was.
pub(in crate::http) fn look<L>(
    state: &Data<State>,
    request: &HttpRequest,
    permit: Permit<L>,
    body: &[u8],
) -> Result<Once<L>, ApiError> {
    let Some(key) = wanted(request)? else { return Ok(Once::Do(Box::new(permit), None)) };
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let what = (request.method().as_str(), path, body);
    let by = state.clone();
    let render = Render::new(move |outcome| render(&by, outcome));
    let receipt = state.vault.idempotency_record(&permit, key, what, render);
    let place = take_place(state, &receipt)?;
    match state.vault.lookup(&permit, &receipt)? {
        Lookup::New => Ok(Once::Do(Box::new(permit.once(receipt)), Some(place))),
        Lookup::Done(body) => Ok(Once::Replay(Answer { replayed: true, ..Answer::rendered(body) })),
        Lookup::Withheld => {
            let message = "The request was done, and its answer is not kept: it held a token.";
            Err(ApiError::new(Code::Conflict, message).field(HEADER).hint(
                "If the token was lost, delete it and create another under a new Idempotency-Key.",
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

/// The key of a POST that has one.
fn wanted(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let mut values = request.headers().get_all(HEADER);
    let (first, second) = (values.next(), values.next());
    let (Some(value), true) = (first, request.method() == Method::POST) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=MOST_CHARACTERS).contains(&text.len()));
    match (text, second) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(ApiError::invalid("Idempotency-Key must be one text of 1 to 200 characters.")
            .field(HEADER)),
    }
}

fn take_place(state: &Data<State>, receipt: &IdempotencyRecord) -> Result<Place, ApiError> {
    let key = receipt.key();
    let mut keys = state.under_way.0.lock().expect("no holder of this lock can panic");
    if keys.insert(key) {
        Ok(Place { state: state.clone(), key })
    } else {
        Err(ApiError::new(Code::Conflict, "A request with this Idempotency-Key is under way.")
            .field(HEADER)
            .hint("Repeat it when the first one has been answered."))
    }
}

/// The answer that the routes' handlers would make of it.
fn render(state: &State, outcome: VerbResult<'_>) -> Vec<u8> {
    let answer = match outcome {
        VerbResult::Secret(info) => {
            Answer::json(&SecretAnswer { secret: state.secret_item(info.clone()) })
        }
        VerbResult::Var(info) => Answer::json(&VarAnswer { var: state.var_item(info.clone()) }),
        VerbResult::Environment(info) => {
            Answer::json(&EnvironmentAnswer { environment: info.clone().into() })
        }
        VerbResult::Settings(settings) => {
            Answer::json(&SettingsAnswer { settings: (*settings).into() })
        }
        VerbResult::User(info) => Answer::json(&UserAnswer { user: info.clone().into() }),
        VerbResult::ServiceAccount(info) => {
            Answer::json(&ServiceAccountAnswer { service_account: info.clone().into() })
        }
        VerbResult::Import(report) => Answer::json(&ImportAnswer { import: report.into() }),
        VerbResult::Rotation(begun) => {
            Answer::json(&RotationAnswer { rotation: begun.clone().into() })
        }
        VerbResult::Copied(copied) => Answer::json(&CopyAnswer::new(state, copied)),
        VerbResult::Done => Answer::json(&Done { success: true }),
        VerbResult::Credential => Answer::rendered(Vec::new()),
    };
    answer.body.to_vec()
}
