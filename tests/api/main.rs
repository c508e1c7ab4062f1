//! The HTTP API: one module per resource and action.

mod audit;
mod auth;
mod description;
mod environments;
mod idempotency;
mod imports;
mod keys;
mod regressions;
mod requests;
mod secrets;
mod service_accounts;
mod status;
mod tokens;
mod users;
mod vars;
mod workloads;
