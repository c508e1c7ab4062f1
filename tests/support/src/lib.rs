//! What the tests share: the app that production builds and the real binary, each with its own
//! database; clients with every kind of credential; disks, terminals and servers that fail on
//! demand. Only the tests use it.

pub mod accounts;
pub mod api;
pub mod backups;
pub mod cli;
pub mod client;
pub mod damage;
#[cfg(target_os = "linux")]
pub mod disk;
pub mod doctor;
pub mod fake_server;
pub mod kill_points;
pub mod load;
mod log_capture;
#[cfg(target_os = "linux")]
pub mod machine;
pub mod paths;
pub mod process;
pub mod rng;
pub mod rotations;
pub mod sample_secrets;
pub mod search;
mod server;
#[cfg(target_os = "linux")]
pub mod small_disk;
mod stopped;
pub mod tampered_db;
pub mod terminal;
pub mod tier;
pub mod workloads;

pub use client::{Client, Reply};
pub use log_capture::{expect_log, keep_log, kept_log};
pub use server::{Setup, TestApp, TestClock};
pub use stopped::{audit_rows, await_release, data_dir, open_stopped, rows_fit};
pub use tier::skip;
