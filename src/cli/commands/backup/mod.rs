//! `coffer backup`: everything in one sealed file, and back.
//!
//! `create` asks a running server, or reads the data directory of a stopped one. `verify` and
//! `restore` need only the file and the root key.
//!
//! Must never: overwrite a file, or restore into a directory that is in use; create a root key;
//! leave an incomplete file under the name of a backup.

mod command;
mod create;
mod failure;
mod opened;
mod report;
mod restore;
mod verify;

pub(in crate::cli) use command::BackupCommand;
