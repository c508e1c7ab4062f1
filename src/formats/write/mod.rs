//! Writing key-value pairs in another program's format.
//!
//! Owns: how each format quotes, and which values it cannot represent.
//! Must never: write anything that the format's readers interpret differently.
//! Called by: `formats`; `template` uses the sink.

mod document;
mod dotenv;
mod format;
mod lines;
pub(super) mod sink;
mod structured;
mod unsupported;

pub use document::{Heading, write};
pub use format::Format;
pub use unsupported::UnsupportedValue;
