//! The route table: every route, what it needs, what it answers.

use actix_web::http::Method;

use crate::audit::Action;

use super::call::Needs;
use super::error::Code;
use super::table::{Endpoint, TargetKind};

mod accounts;
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
