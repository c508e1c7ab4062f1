//! The way in: from bytes on the wire to a checked call.
//!
//! Owns: the order of the checks, reading bodies and query strings, credentials, the client's
//! address, idempotency keys, and the headers that every answer carries.
//! Must never: run a handler without a permit of the handler's own level.
//! Called by: `routes`, for every request; handlers read what it has checked.

pub(super) mod body;
pub(super) mod call;
pub(super) mod client_address;
pub(super) mod credential;
pub(super) mod envelope;
pub(super) mod idempotency;
pub(super) mod if_none_match;
pub(super) mod json;
pub(super) mod query;
pub(super) mod scope;
