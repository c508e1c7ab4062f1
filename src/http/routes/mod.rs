//! The route table: every route, what it requires, what it answers.
//!
//! Owns: the path, method, action, target and handler of every route, in one place. The app, the
//! OpenAPI document and the tests of the wire contract are all made from it, so a route that is
//! not in the table cannot be served.
//! Must never: decide anything about a request itself.
//! Called by: `http`, which builds the app and the OpenAPI document from it.

mod accounts;
pub(super) mod endpoint;
mod operations;
mod resources;

use endpoint::Endpoint;

/// Returns the whole table.
pub(super) fn endpoints() -> Vec<Endpoint> {
    [resources::endpoints(), accounts::endpoints(), operations::endpoints()]
        .into_iter()
        .flatten()
        .collect()
}
