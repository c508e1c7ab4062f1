//! The audit log through the API.

mod accounts;
mod export;
mod list;
mod rows;
