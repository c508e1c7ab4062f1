//! Imports.

mod dotenv;
mod items;
