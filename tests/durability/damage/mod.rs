//! Damaged files.

mod files;
mod leaves;
mod limits;
