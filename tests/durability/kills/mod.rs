//! SIGKILL.

mod backup;
mod keys;
mod rotation;
mod server;
