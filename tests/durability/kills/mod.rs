//! Kills of the server and of commands with SIGKILL.

mod backup;
mod keys;
mod rotation;
mod server;
