//! Logging in and out, registration, and their limits.

mod cookie;
mod login_limits;
mod login_memory;
mod login_time;
mod register;
mod sessions;
