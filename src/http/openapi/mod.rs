//! The API's description: the route table as an OpenAPI 3.1 document, and as a page for people.
//!
//! Owns: what the document says beyond the table.
//! Must never: describe what the table does not have.
//! Called by: `routes`, which hands in the endpoints.

pub(super) mod docs;
pub(super) mod document;
pub(super) mod rules;
