//! Requests: from bytes on the wire to a checked call.
//!
//! Owns: the order of the checks, reading bodies and query strings, credentials, the client's
//! address, idempotency keys, and the headers that every response carries.
//! Must never: run a handler without a permit of the level that the handler asks for; import a
//! handler or the route table.
//! Called by: `routes`, for every request. Handlers read what was checked here.

pub(super) mod anonymous;
pub(super) mod body;
pub(super) mod call;
pub(super) mod caller;
pub(super) mod client_address;
pub(super) mod context;
pub(super) mod credential;
pub(super) mod envelope;
pub(super) mod idempotency;
pub(super) mod if_match;
pub(super) mod if_none_match;
pub(super) mod in_flight;
pub(super) mod json;
pub(super) mod parameter;
pub(super) mod parse;
pub(super) mod query;
pub(super) mod scope;
pub(super) mod state;
pub(super) mod stop_signal;
pub(super) mod target;
