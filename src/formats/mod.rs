//! Text forms of key-value pairs: the files that programs read their environment from, and
//! templates.
//!
//! Owns: what each format can represent, how it is written, and how it is read.
//! Must never: touch a file, keep a value, know where values come from or who may have them, or put
//! a value (or a line that could contain one) into an error.
//! Called by: `vault` and `cli`.
//!
//! A writer refuses values that its format cannot represent or that its readers interpret
//! differently, and names the key. Every text is produced twice: once to measure it, then into a
//! buffer of exactly that length, so that growing the buffer leaves no copy of a value behind. The
//! buffer is zeroed on drop. The scratch space in which serde_json and the YAML parser unescape
//! their input cannot be zeroed.

mod read;
mod template;
mod write;

pub use read::{BadInput, InputEntries, InputEntry, InputFormat, InputPosition};
pub use template::{BadTemplate, Template};
pub use write::{Format, Heading, UnsupportedValue, write};
