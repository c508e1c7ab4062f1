//! `coffer doctor`: checks a server and says what to do about each problem, one line each. With
//! `--repair`, repairs what is safe to repair.
//!
//! Opens the database of a stopped server. Asks a running server for its own findings, and checks
//! its files as well if they are on this host.
//!
//! Must never: print a value, a key or a token; repair anything before a copy is complete.
//!
//! Exit codes: 0 healthy, possibly after repairs; 1 warnings; 2 errors, including checks that
//! could not be made.

mod command;
mod database;
mod files;
mod keys;
mod repair;
mod safety_copy;

pub(in crate::cli) use command::DoctorArguments;
