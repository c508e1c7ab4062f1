//! Responses: their bodies, and the mapping from an error to a status.
//!
//! Owns: the member names of every successful response and of the error object, and which status
//! and code each refusal has.
//! Must never: put any part of the request or of an internal error into a message.
//! Called by: `request` for what it refuses, `handlers` for everything else. Imports no other
//! folder of `http`.

pub(super) mod account_items;
pub(super) mod answer;
pub(super) mod code;
pub(super) mod download;
pub(super) mod error;
pub(super) mod items;
pub(super) mod media_type;
pub(super) mod refusals;
pub(super) mod schema;
