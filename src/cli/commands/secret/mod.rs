//! `coffer secret`: the secrets of an environment.
//!
//! Must never: take a value from the arguments; print a value that was not asked for.

mod command;
mod set;
mod table;

pub(in crate::cli) use command::SecretCommand;
pub(in crate::cli) use set::{takes_value, unknown_argument};
