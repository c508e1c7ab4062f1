//! The audit log: what happened, in a chain that cannot be quietly changed.
//!
//! Owns: the row, the chain's arithmetic, its verification.
//! Must never: hold a value of a secret; know where rows are stored (`store`
//! appends them inside its batches); decide who may read them.
//! Called by: `vault` and `access` draft rows, `store`'s writer seals them.

mod chain;
mod row;
mod walk;

pub use chain::{AuditKey, Broken, Chain, Head, Mac, SealedRow, Start};
pub use row::{Action, Actor, Draft, EnvironmentLabel, RefusalCode, Resource, ResourceType, Row};
pub use walk::{Stored, Verification, Walk, verify};
