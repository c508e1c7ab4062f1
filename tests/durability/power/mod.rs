//! Power cuts.

mod commands;
mod server;
