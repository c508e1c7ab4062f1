//! Secrets.

mod copy;
mod crud;
mod generate;
mod list;
mod patch;
mod races;
mod reveal;
mod versions;
