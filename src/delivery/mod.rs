//! Deliveries: values that workloads and files receive without a person seeing them.
//!
//! Owns: the catalog of receivers declared in the host's configuration, its replacement while the
//! server runs, and the files that the server keeps up to date.
//! Must never: keep a value, or take a declaration from anywhere but the host (`server` reads the
//! configuration and passes it on).
//! Called by: `http`, which lists what is declared; `server`, at a start and on SIGHUP.

mod atomic_file;
mod catalog;
mod file_delivery;
mod hook;
mod keep_delivering;
mod status;

pub use atomic_file::FileAttributes;
pub use catalog::{Catalog, Declared, KeyUsage};
pub use file_delivery::{FileDelivery, FormName};
pub use hook::CommandExit;
pub use keep_delivering::keep_delivering;
pub use status::{DeliveryOutcome, DeliveryStatus, DeliveryStatuses};
