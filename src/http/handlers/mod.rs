//! The handlers: one file a resource, one function a route.
//!
//! Owns: the shapes of request bodies, and the one call that each route makes.
//! Must never: decide who may do what; a handler's permit says that it was decided.
//! Called by: `routes`.

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
pub(super) mod public;
pub(super) mod secrets;
pub(super) mod service_accounts;
pub(super) mod settings;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod usage;
pub(super) mod users;
pub(super) mod vars;
pub(super) mod workloads;
