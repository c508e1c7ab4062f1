//! The path of a request with a credential, from its arrival to its handler.
//!
//! Owns: the order of the checks, which is part of the wire contract: size and type of the body,
//! bearer token, rate limit, scope, role, idempotency, body, row, rule. Before the caller is
//! known, an answer depends on nothing but the request's form.
//! Must never: run a handler without a permit of the level that the handler asks for.

use std::future::Future;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::audit::Action;
use crate::domain::Origin;
use crate::vault::{Caller, Level, Permit};

use crate::http::request::caller::identify;
use crate::http::request::context::{origin, request_id, segment, state};
use crate::http::request::idempotency::{self, Replay};
use crate::http::request::if_match::expected_versions;
use crate::http::request::parse::RequestBody;
use crate::http::request::query::Query;
use crate::http::request::state::State;
use crate::http::request::target::TargetKind;
use crate::http::response::answer::Answer;
use crate::http::response::error::ApiError;

/// A request that has passed every check that does not depend on what its handler does.
#[derive(Debug)]
pub(in crate::http) struct Call<L, B> {
    pub state: web::Data<State>,
    pub permit: Permit<L>,
    pub query: Query,
    pub body: B,
    pub request: HttpRequest,
}

impl<L, B> Call<L, B> {
    /// Returns the row id in the path.
    pub fn id(&self) -> &str {
        self.segment("id")
    }

    /// Returns another variable segment of the path.
    pub fn segment(&self, name: &str) -> &str {
        segment(&self.request, name)
    }

    /// Returns where the request came from.
    pub fn origin(&self) -> Origin {
        origin(&self.request, &request_id(&self.request))
    }

    /// Returns the versions that the caller accepts as the current one; `None` for any.
    pub fn expected(&self) -> Result<Option<Vec<u32>>, ApiError> {
        expected_versions(self.request.headers(), &self.query)
    }
}

/// What a route requires before its handler runs.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Needs {
    pub action: Action,
    pub target: TargetKind,
}

/// Takes a request through the checks and runs its handler.
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
        let target = needs.target.resolve(&request);
        let permit = state(&request).vault.authorize(&caller, needs.action, target).await?;
        let (permit, guard) = match idempotency::check(state(&request), &request, permit, &body)? {
            Replay::Run(permit, guard) => (permit, guard),
            Replay::Answered(answer) => return Ok(answer),
        };
        let call = prepare(*permit, request.clone(), &body)?;
        // The handler may wait for a long time, and the body may contain a secret.
        drop(body);
        let answer = handler(call).await;
        drop(guard);
        answer
    };
    match answer.await {
        Ok(answer) => answer.into_response(),
        Err(error) => error.into_response(&id),
    }
}

/// Parses query and body.
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
