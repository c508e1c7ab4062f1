//! The way out: answers, their shapes, and the one map from an error to a status.
//!
//! Owns: the member names of every successful answer and of the error object.
//! Must never: put a piece of the request or an inner error into a message.
//! Called by: handlers, and by `request` for what it refuses.

pub(super) mod account_items;
pub(super) mod answer;
pub(super) mod download;
pub(super) mod error;
pub(super) mod items;
