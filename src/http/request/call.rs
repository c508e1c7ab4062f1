//! The one way of a request through the server.
//!
//! Owns: the order of the checks, which is part of the contract: size and type
//! of the body, bearer, rate limit, scope, role, idempotency, body, row, rule. Before the caller is
//! known an answer depends on nothing but the request's form.
//! Must never: run a handler without a permit of the handler's own level.

use std::future::Future;

use actix_web::http::header::{HeaderMap, IF_MATCH};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use utoipa::openapi::{RefOr, Schema};

use crate::access::LimitExceeded;
use crate::audit::Action;
use crate::domain::{Origin, Principal, RequestId};
use crate::vault::{Caller, Level, Permit, Target};

use crate::http::State;
use crate::http::request::body::{self, Body};
use crate::http::request::client_address::client_address;
use crate::http::request::credential;
use crate::http::request::idempotency::{self, Once};
use crate::http::request::query::Query;
use crate::http::response::answer::Answer;
use crate::http::response::error::{ApiError, Code};
use crate::http::routes::endpoint::TargetKind;

/// A request on its way to its handler, with everything checked that can be
/// checked without knowing what the handler does.
#[derive(Debug)]
pub(in crate::http) struct Call<L, B> {
    pub state: web::Data<State>,
    pub permit: Permit<L>,
    pub query: Query,
    pub body: B,
    pub request: HttpRequest,
}

impl<L, B> Call<L, B> {
    /// The row id in the path.
    pub fn id(&self) -> &str {
        segment(&self.request, "id")
    }

    /// Another segment of the path.
    pub fn segment(&self, name: &str) -> &str {
        segment(&self.request, name)
    }

    /// Where the request came from.
    pub fn origin(&self) -> Origin {
        origin(&self.request, &request_id(&self.request))
    }

    /// The versions that the caller expects: `If-Match` or `?version=`.
    pub fn expected(&self) -> Result<Option<Vec<u32>>, ApiError> {
        let by_header = if_match(self.request.headers())?;
        let by_query = self.query.number("version", 1..=u32::MAX as usize)?;
        let by_query = by_query.map(|number| vec![u32::try_from(number).unwrap_or(0)]);
        match (by_header, by_query) {
            (Some(_), Some(_)) => {
                Err(ApiError::invalid("Give If-Match or version, not both.").field("version"))
            }
            (header, query) => Ok(header.or(query)),
        }
    }
}

/// A request body that a route takes.
pub(in crate::http) trait RequestBody: Sized {
    /// Its name and schema for the API's description; `None` for no body.
    fn schema() -> Option<(String, RefOr<Schema>)>;

    /// Checks it. Rules that need the stored row come later.
    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError>;
}

/// The route takes no body; one that is sent is not looked at.
#[derive(Debug)]
pub(in crate::http) struct NoBody;

impl RequestBody for NoBody {
    fn schema() -> Option<(String, RefOr<Schema>)> {
        None
    }

    fn parse(_: &[u8], _: &State) -> Result<Self, ApiError> {
        Ok(Self)
    }
}

/// What a route needs before its handler runs.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Needs {
    pub action: Action,
    pub target: TargetKind,
}

/// Takes a request through the steps.
pub(in crate::http) async fn run<L, B, H, F>(
    needs: Needs,
    handler: H,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse
where
    L: Level,
    B: RequestBody,
    H: Fn(Call<L, B>) -> F,
    F: Future<Output = Result<Answer, ApiError>>,
{
    let id = request_id(&request);
    let answer = async {
        let origin = origin(&request, &id);
        let (principal, body) = identify(&request, &origin, &mut payload).await?;
        let caller = Caller { principal, origin };
        let permit = authorise(needs, &caller, &request).await?;
        let (permit, place) = match idempotency::look(state(&request), &request, permit, &body)? {
            Once::Do(permit, place) => (permit, place),
            Once::Replay(answer) => return Ok(answer),
        };
        let call = prepare(*permit, request.clone(), &body)?;
        // Erased before the handler waits for anything.
        drop(body);
        let answer = handler(call).await;
        drop(place);
        answer
    };
    match answer.await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(&id),
    }
}

/// A request on a route that takes anybody, with its body.
#[derive(Debug)]
pub(in crate::http) struct Visit<B> {
    pub state: web::Data<State>,
    pub body: B,
    pub origin: Origin,
    pub request: HttpRequest,
}

/// Longest body of such a request: it is kept in memory for somebody who is not
/// known, and a name and a password are never that long.
const VISIT_BYTES: usize = 64 << 10;

/// Takes a request of anybody through the steps: form, rate limit, body.
pub(in crate::http) async fn run_visit<B, H, F>(
    handler: H,
    request: HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse
where
    B: RequestBody,
    H: Fn(Visit<B>) -> F,
    F: Future<Output = Result<Answer, ApiError>>,
{
    let id = request_id(&request);
    let answer = async {
        let state = state(&request).clone();
        let origin = origin(&request, &id);
        let limit = state.body_bytes.min(VISIT_BYTES);
        // Counted before anything of the body is kept; told after its form.
        let counted = count_stranger(&state, &origin);
        let read = async {
            let declared = body::check(request.headers(), limit)?;
            body::read(&mut payload, declared, limit, counted.is_ok()).await
        };
        let read: Result<Body, ApiError> = read.await;
        if read.is_ok() {
            counted?;
        }
        let body = match read {
            Ok(body) => body,
            Err(error) => {
                body::linger(request.headers(), &mut payload).await;
                return Err(error);
            }
        };
        let parsed = B::parse(&body, &state)?;
        drop(body);
        handler(Visit { state, body: parsed, origin, request: request.clone() }).await
    };
    match answer.await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(&id),
    }
}

/// Form, then bearer, then rate limit.
async fn identify(
    request: &HttpRequest,
    origin: &Origin,
    payload: &mut web::Payload,
) -> Result<(Principal, Body), ApiError> {
    let state = state(request);
    let known = authenticated(request)?;
    let read = async {
        let declared = body::check(request.headers(), state.body_bytes)?;
        let body = body::read(payload, declared, state.body_bytes, known.is_some()).await?;
        // A body can take its time; what was valid before it may not be now.
        let principal = match &known {
            Some(_) if declared.has_body() => authenticated(request)?,
            known => known.clone(),
        };
        Ok((principal, body))
    };
    let read: Result<_, ApiError> = read.await;
    match read {
        Ok((Some(principal), body)) => {
            state.limits.count_principal(&principal.key())?;
            Ok((principal, body))
        }
        Ok((None, _)) => {
            count_stranger(state, origin)?;
            let error = ApiError::new(Code::Unauthorized, "A valid bearer token is required.");
            Err(error.hint(credential::remedy(request)))
        }
        Err(error) => {
            if known.is_none() {
                count_stranger(state, origin)?;
            }
            body::linger(request.headers(), payload).await;
            Err(error)
        }
    }
}

/// Scope, then role.
async fn authorise<L: Level>(
    needs: Needs,
    caller: &Caller,
    request: &HttpRequest,
) -> Result<Permit<L>, ApiError> {
    let target = match needs.target {
        TargetKind::InScope => Target::InScope,
        TargetKind::Everything => Target::Everything(request.match_info().get("id")),
        TargetKind::Environment => Target::Environment(segment(request, "environment")),
        TargetKind::Row => Target::Row(segment(request, "id")),
        TargetKind::User => Target::User(segment(request, "id")),
    };
    Ok(state(request).vault.authorise(caller, needs.action, target).await?)
}

/// Query and body.
fn prepare<L: Level, B: RequestBody>(
    permit: Permit<L>,
    request: HttpRequest,
    body: &[u8],
) -> Result<Call<L, B>, ApiError> {
    let state = state(&request).clone();
    let query = Query::parse(request.query_string())?;
    let body = B::parse(body, &state)?;
    Ok(Call { state, permit, query, body, request })
}

pub(in crate::http) fn state(request: &HttpRequest) -> &web::Data<State> {
    request.app_data().expect("the app is built with its state")
}

pub(in crate::http) fn request_id(request: &HttpRequest) -> RequestId {
    request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .expect("the envelope gives every request an id")
}

pub(in crate::http) fn origin(request: &HttpRequest, id: &RequestId) -> Origin {
    let trusted = &state(request).trusted_proxies;
    let ip = request
        .peer_addr()
        .map(|peer| client_address(peer.ip().to_canonical(), request.headers(), trusted));
    Origin { request_id: Some(id.clone()), ip }
}

/// Who the request's credential belongs to, if it shows one that is good now.
pub(in crate::http) fn authenticated(request: &HttpRequest) -> Result<Option<Principal>, ApiError> {
    match credential::shown(request) {
        Some(token) => Ok(state(request).access.authenticate(token)?),
        None => Ok(None),
    }
}

/// Counts a request on a route that takes anybody: against its principal if it
/// has a valid credential, otherwise against its address.
pub(in crate::http) fn count_anybody(
    request: &HttpRequest,
    origin: &Origin,
) -> Result<(), ApiError> {
    let state = state(request);
    match authenticated(request)? {
        Some(principal) => state.limits.count_principal(&principal.key())?,
        None => count_stranger(state, origin)?,
    }
    Ok(())
}

/// Counts a request without a valid credential against its address.
fn count_stranger(state: &State, origin: &Origin) -> Result<(), LimitExceeded> {
    origin.ip.map_or(Ok(()), |ip| state.limits.count_address(ip))
}

fn segment<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.match_info().get(name).unwrap_or_default()
}

/// `If-Match` (RFC 9110, section 13.1.1): `*`, or a list of `"version"`. A
/// weak tag never matches, so it names no version.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u32>>, ApiError> {
    let malformed = || {
        ApiError::invalid("If-Match must be \"*\" or a version in double quotes").field("If-Match")
    };
    let mut values = headers.get_all(IF_MATCH).peekable();
    let Some(first) = values.peek() else { return Ok(None) };
    if first.as_bytes() == b"*" && headers.get_all(IF_MATCH).count() == 1 {
        return Ok(None);
    }
    let mut versions = Vec::new();
    for value in values {
        let mut rest = value.to_str().map_err(|_| malformed())?.trim();
        loop {
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            // A tag may hold a comma, so the quotes say where it ends.
            let inner = quoted.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let (inner, after) = inner.ok_or_else(malformed)?;
            if !inner.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(malformed());
            }
            // A tag of another form is a tag of another server; it names none.
            let version = inner.parse::<u32>().ok().filter(|number| number.to_string() == inner);
            versions.extend(version.filter(|_| !weak));
            match after.trim_start() {
                "" => break,
                more => rest = more.strip_prefix(',').ok_or_else(malformed)?.trim_start(),
            }
        }
    }
    Ok(Some(versions))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn if_match_headers() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_static(text));
            if_match(&headers)
        };
        assert_eq!(parse("*").unwrap(), None);
        assert_eq!(parse("\"3\"").unwrap(), Some(vec![3]));
        assert_eq!(parse("\"3\", \"4\"").unwrap(), Some(vec![3, 4]));
        assert_eq!(parse("W/\"3\"").unwrap(), Some(vec![]));
        assert_eq!(parse("\"abc\"").unwrap(), Some(vec![]));
        assert_eq!(parse("\"a,b\",\t\"3\" , W/\",\"").unwrap(), Some(vec![3]));
        for bad in ["3", "", "\"3\",", "\"3\" \"4\"", "\"3", "\"a b\"", "*, \"3\"", "\"3\", *"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
