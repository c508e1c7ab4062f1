//! The verbs on environments, secrets and vars: one function per operation.
//!
//! Owns: the changes that run in the writer, and the audit rows they return.
//! Must never: act without a permit of the operation's own level.
//! Called by: `http`, through `Vault`; the other folders of `vault`, which read values.

pub(super) mod copy;
mod delete;
pub(super) mod environments;
pub(super) mod import;
pub(super) mod secrets;
pub(super) mod settings;
pub(super) mod value;
pub(super) mod var_values;
pub(super) mod vars;
pub(super) mod versions;
