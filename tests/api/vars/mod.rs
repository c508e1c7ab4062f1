//! Vars.

mod crud;
mod races;
