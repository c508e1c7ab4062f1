//! Users.

mod crud;
mod passwords;
mod revocation;
