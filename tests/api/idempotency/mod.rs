//! `Idempotency-Key`.

mod accounts;
mod resources;
