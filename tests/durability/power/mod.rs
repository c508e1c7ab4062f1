//! Power cuts under the server and under commands.

mod commands;
mod server;
