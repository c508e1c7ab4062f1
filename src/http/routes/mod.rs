//! The route table: every route, what it needs, what it answers.

use actix_web::http::Method;

use crate::audit::Action;

use crate::http::request::call::Needs;
use crate::http::response::error::Code;
use endpoint::{Endpoint, TargetKind};

mod accounts;
pub(super) mod endpoint;
mod operations;
mod resources;

const CONFLICT: &[Code] = &[Code::Conflict];
const MISSING: &[Code] = &[Code::NotFound];
fn get() -> Method {
    Method::GET
}

fn post() -> Method {
    Method::POST
}

fn patch() -> Method {
    Method::PATCH
}

fn delete() -> Method {
    Method::DELETE
}

fn needs(action: Action, target: TargetKind) -> Needs {
    Needs { action, target }
}

/// The table itself.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [resources::endpoints(), accounts::endpoints(), operations::endpoints()]
        .into_iter()
        .flatten()
        .collect()
}
