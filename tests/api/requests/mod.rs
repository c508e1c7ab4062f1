//! What holds for every request and every response.

mod bad_http;
mod bad_input;
mod check_order;
mod conventions;
mod errors;
mod form;
mod malformed_json;
mod rate_limits;
