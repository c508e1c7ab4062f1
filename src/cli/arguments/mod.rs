//! Arguments that several commands share.
//!
//! Owns: how an environment, a scope, a key and a value are given on the command line.
//! Must never: take a secret's value from the arguments.
//! Called by: `commands`.

pub(super) mod environment;
pub(super) mod keyed;
pub(super) mod scope;
pub(super) mod value;
