//! coffer: a secrets server in one binary.
//!
//! # The promise
//!
//! A secret marked `neverReveal` goes in and never comes out: once it is
//! written, no request to this server, by anyone, in any role, returns the
//! value or anything computed from it. The trust boundary is the host: whoever
//! holds the root key *and* the data directory can decrypt.
//!
//! # The import law
//!
//! Each room is a module. A room may use the rooms to its left, never one to
//! its right, never sideways:
//!
//! ```text
//! domain <- config
//! domain <- formats
//! domain <- audit <- store <- vault <- access | delivery <- http <- cli
//! ```
//!
//! * only `store` knows sled, and it sees ciphertext only;
//! * only `vault` holds plaintext, and inside it only `cipher`, `keyring`,
//!   `random` know ring (besides the hashing in `access` and `audit`);
//! * `http` never names `store`, sled or ring.
//!
//! `tests/layering.rs` reads the sources and fails when one of these is broken.
//! ARCHITECTURE.md walks through the rooms with two requests in hand.

#![forbid(unsafe_code)]
#![deny(missing_debug_implementations)]
#![warn(missing_docs)]

pub mod access;
pub mod audit;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod domain;
pub mod formats;
pub mod http;
pub mod server;
pub mod store;
pub mod vault;
