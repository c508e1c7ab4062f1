//! Handlers: one file per resource, one function per route.
//!
//! Owns: the request bodies and query parameters of each route, and the one call that each route
//! makes.
//! Must never: decide who may do what; the permit of a call is the proof that it was decided.
//! Called by: `routes`.

pub(super) mod account_members;
pub(super) mod audit_logs;
pub(super) mod auth;
pub(super) mod backup;
pub(super) mod console;
pub(super) mod copy;
pub(super) mod deliveries;
pub(super) mod doctor;
pub(super) mod environments;
pub(super) mod imports;
pub(super) mod keys;
pub(super) mod on_conflict;
pub(super) mod public;
pub(super) mod replay;
pub(super) mod secrets;
pub(super) mod service_accounts;
pub(super) mod settings;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod usage;
pub(super) mod users;
pub(super) mod vars;
pub(super) mod workloads;
