//! The API's description: the route table as an OpenAPI 3.1 document, and as a page for people.
//!
//! Owns: what the document says beyond the table.
//! Must never: describe what is not in the table.
//! Called by: `http`, which hands in the table.

pub(super) mod docs;
pub(super) mod document;
mod rules;
