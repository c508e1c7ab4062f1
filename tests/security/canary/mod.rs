//! Planted values, searched for everywhere.

mod accounts;
mod secrets;
