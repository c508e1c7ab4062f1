//! Maintenance: examining, repairing, pruning, and reporting on what is stored.
//!
//! Owns: the doctor's checks, repairs, audit retention, reads of the audit log, the status.
//! Must never: show a value; change a row without recording it.
//! Called by: `http`, `server` and `cli`.

pub(super) mod audit_log;
pub(super) mod doctor;
mod records;
pub(super) mod repair;
pub(super) mod retention;
pub(super) mod status;
