//! Damage to files.

mod files;
mod leaves;
mod limits;
