//! Backups and restores.

mod create;
mod damage;
mod restore;
