//! Who may do what.

mod hidden;
mod roles;
