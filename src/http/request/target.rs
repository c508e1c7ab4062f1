//! What the path of a route refers to, and so what the caller's scope has to cover.

use actix_web::HttpRequest;

use crate::vault::Target;

use crate::http::request::context::segment;

/// What the path of a route refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Everything in the caller's scope.
    InScope,
    /// Something that requires a scope of all environments.
    Everything,
    /// The environment `{environment}` in the path.
    Environment,
    /// The row `{id}` in the path.
    Row,
    /// The user `{id}` in the path: allowed for that user, and for admins of all environments.
    User,
}

impl TargetKind {
    /// Reads the target from the path of a request.
    pub(in crate::http) fn resolve(self, request: &HttpRequest) -> Target<'_> {
        match self {
            TargetKind::InScope => Target::InScope,
            TargetKind::Everything => Target::Everything(request.match_info().get("id")),
            TargetKind::Environment => Target::Environment(segment(request, "environment")),
            TargetKind::Row => Target::Row(segment(request, "id")),
            TargetKind::User => Target::User(segment(request, "id")),
        }
    }
}
