//! Delivery: values for the workloads and files that the host has enrolled.
//!
//! Owns: enrolments, what they resolve to, and the two ways in which values leave the vault: sealed
//! to recipients, or into an open file.
//! Must never: deliver on a permit alone (a caller of the API only gets ciphertext); let the length
//! of a value show; leave out silently a value that does not open.
//! Called by: `delivery` for files, `http` for bundles, `cli` to open a bundle.
//!
//! What an enrolment resolves to is of one moment: it is read inside the writer, in the same change
//! as its audit row, and is returned only once that row is durable.

mod bundle;
mod enrolment;
mod file;
mod resolve;
mod workload;

pub use bundle::{Bundle, BundleError};
pub use enrolment::{Enrolment, ToRecipients};
pub use file::{FileContent, FileForm, NotFilled, ToFile};
pub use resolve::name_digest;
pub use workload::SealedBundle;
