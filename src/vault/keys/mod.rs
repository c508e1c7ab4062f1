//! The life of the keys: unlocking a database and rotating the wrapping key.
//!
//! Owns: the step from a root key to an unlocked database, rotation, and the rewrapping of data
//! keys.
//! Must never: drop a key while a row is still wrapped under it.
//! Called by: `server` and `cli` at the start; `http` for rotations.

pub(super) mod rewrap;
pub(super) mod rotation;
pub(super) mod unlock;
pub(super) mod unlock_error;
pub(super) mod wrapping_keys;
