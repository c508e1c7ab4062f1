//! The audit log by the API.

mod accounts;
mod export;
mod list;
mod rows;
