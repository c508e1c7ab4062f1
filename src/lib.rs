//! coffer: a secrets server in one binary.
//!
//! # The promise
//!
//! A secret marked `neverReveal` goes in and never comes out: once it is written, no request to this
//! server, by anyone, in any role, returns the value or anything computed from it. The trust boundary
//! is the host: anyone who has the root key *and* the data directory can decrypt.
//!
//! # The import law
//!
//! Each folder is a module. A module may use the modules to its left, never one to its right or
//! in the same group:
//!
//! ```text
//! domain <- config | formats | audit <- store <- vault <- access | delivery <- http <- server <- cli
//! ```
//!
//! * Only `store` knows sled, and it sees ciphertext only.
//! * Only `vault` holds plaintext.
//! * Only a few files know ring; the list is in the test of the import law.
//! * `http` never names `store`, sled or ring.
//!
//! A test reads the sources and fails if one of these rules is broken. ARCHITECTURE.md describes
//! how requests pass through the modules.

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
