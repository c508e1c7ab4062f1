//! The audit log: a record of what happened, in a chain in which every change is detected.
//!
//! Owns: the row, the chain's arithmetic, and its verification.
//! Must never: contain the value of a secret, know where rows are stored (`store` appends them
//! inside its batches), or decide who may read them.
//! Called by: `vault` and `access`, which draft rows; `store`'s writer, which seals them.

mod chain;
mod row;
mod walk;

pub use chain::{AuditKey, Broken, Chain, Head, Mac, SealedRow, Start};
pub use row::{Action, Actor, Draft, EnvironmentLabel, RefusalCode, Resource, ResourceType, Row};
pub use walk::{StoredRow, Verification, Walk, verify};
