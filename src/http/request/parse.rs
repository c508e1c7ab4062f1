//! What a route reads from the body of a request.

use serde_json::Value;
use utoipa::ToSchema;

use crate::http::request::state::State;
use crate::http::response::error::ApiError;

/// The parsed body of a request. Its schema in the OpenAPI document is derived from it.
pub(in crate::http) trait RequestBody: ToSchema + Sized {
    /// Whether the route reads a body at all.
    const IS_READ: bool = true;

    /// Adds to the derived schema what a derive cannot express, such as rules between members.
    fn constrain(_schema: &mut Value) {}

    /// Checks every rule that can be checked without the stored row.
    fn parse(body: &[u8], state: &State) -> Result<Self, ApiError>;
}

/// No body: whatever is sent is ignored.
#[derive(Debug, ToSchema)]
pub(in crate::http) struct NoBody;

impl RequestBody for NoBody {
    const IS_READ: bool = false;

    fn parse(_: &[u8], _: &State) -> Result<Self, ApiError> {
        Ok(Self)
    }
}
