//! Creating, restoring and damaging backups.

mod create;
mod damage;
mod restore;
