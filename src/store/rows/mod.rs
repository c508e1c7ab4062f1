//! Rows: what is stored, under which keys, and how it is read.
//!
//! Owns: the keyspace, the tables, the byte layout of every row, and reading rows through a view of
//! the database.
//! Must never: write to the database or touch a file.
//! Called by: the rest of `store`; `vault` and `access` use the tables.

pub(super) mod account_row;
pub(super) mod keyspace;
pub(super) mod row;
pub(super) mod tables;
pub(super) mod view;
pub(super) mod write_set;
