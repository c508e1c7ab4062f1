//! `coffer doctor`.

mod repair;
mod report;
