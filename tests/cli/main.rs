//! The commands, as a person or a script runs them.

mod audit;
mod backup;
mod connection;
mod end_to_end;
mod env;
mod export;
mod formats;
mod import;
mod keys;
mod login;
mod manual;
mod readme;
mod recover;
mod run;
mod secret;
mod tokens;
mod users;
mod var;
